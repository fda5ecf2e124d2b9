"""`open_source` recognises what it is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from res2net.errors import InputError
from res2net.images import DataSettings, DataSource, ImageFiles, eval_transform, open_source
from res2net.images.sources import SOURCES
from res2net.weights.records import Preprocessing


@pytest.fixture
def pets(tmp_path):
    for name in ("cat/1", "cat/2", "dog/1", "dog/2"):
        path = tmp_path / "pets" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), "red").save(path)
    return tmp_path / "pets"


@pytest.fixture
def registered():
    """A source called "dots", for one test."""
    train, val = (ImageFiles([name], [0], ["a"]) for name in ("1.png", "2.png"))
    with SOURCES.restored():
        SOURCES.add("dots", lambda labels, counts: DataSource("dots", train, val, ["a"]))
        yield


@pytest.mark.parametrize("name", ["pets", "shapes:80,40"])
def test_a_few_images_to_train_and_to_validate_on(request, name):
    source = open_source(request.getfixturevalue("pets") if name == "pets" else name)
    few = source.overfit(2)
    assert len(few.train) == len(few.val) == 2
    for index in range(2):
        image, target = source.train[index]
        for samples in (few.train, few.val):
            again, same = samples[index]
            assert np.array_equal(np.asarray(again), np.asarray(image))
            assert same["label"] == target["label"]
    assert len(source.overfit(10**6).val) == len(source.train)


def test_a_folder_of_images(pets):
    source = open_source(str(pets), DataSettings(val_fraction=0.5))
    assert (source.name, len(source.train), len(source.val)) == ("pets", 2, 2)
    assert source.class_names == ["cat", "dog"]
    assert source.preprocessing == Preprocessing()


def test_fraction_and_seed_reach_the_split(pets):
    with pytest.raises(InputError, match="validation fraction 2 is out of range"):
        open_source(pets, DataSettings(val_fraction=2))
    chosen = {tuple(open_source(pets, DataSettings(seed=seed)).val.paths) for seed in range(8)}
    assert len(chosen) > 1


def test_both_halves_go_through_their_transforms(pets):
    (pets / "cat" / "1.png").write_bytes(b"")
    source = open_source(pets, DataSettings(val_fraction=0.5, bad_images="skip"))
    train, val = source.transformed(eval_transform(Preprocessing(16)), eval_transform(Preprocessing(8)))
    assert train[1][0].shape == (3, 16, 16)
    assert val[1][0].shape == (3, 8, 8)
    assert train.bad_images == val.bad_images == "skip"


@pytest.mark.usefixtures("registered")
def test_a_name_calls_what_is_registered(tmp_path, monkeypatch):
    (tmp_path / "dots").mkdir()
    monkeypatch.chdir(tmp_path)
    source = open_source("dots", DataSettings(bad_images="skip"))
    assert (source.name, source.bad_images) == ("dots", "skip")
    for path in ("./dots", Path("dots")):
        with pytest.raises(InputError, match="no class folders"):
            open_source(path)


@pytest.mark.usefixtures("registered")
def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="'dots' is registered twice"):
        SOURCES.add("dots", lambda labels, counts: None)


@pytest.mark.usefixtures("registered")
def test_neither_a_name_nor_a_path_is_told_with_the_nearest_name():
    with pytest.raises(
        InputError, match=r"no file or folder 'dotts', .* did you mean 'dots'\? \(names: dots, .*shapes.*\)"
    ):
        open_source("dotts")
    with pytest.raises(InputError, match=r"no file or folder '/no/where', .* give a path \(names: dots, .*shapes.*\)"):
        open_source("/no/where")


NAMES_OF_TASKS = """
import sys
from res2net.errors import InputError
from res2net.images import open_source
for name in ("roads", "shapes-masks", "volumes"):
    try:
        open_source(name)
    except InputError as error:
        print(error)
print([name for name in sys.modules if name.startswith("res2net.tasks.") and name.endswith(".task")])
"""


def test_the_source_of_another_task_names_that_task_in_a_fresh_process(fresh):
    *sentences, tasks = fresh(NAMES_OF_TASKS).splitlines()
    assert ["use it with the task roads" in sentences[0], "the task translate" in sentences[1]] == [True, True]
    assert "use it with the task volumes" in sentences[2]
    assert tasks == "[]"


def test_a_file_is_no_source(pets):
    with pytest.raises(InputError, match=r"1.png is a file: give a folder that has a folder of images for each class"):
        open_source(pets / "cat" / "1.png")


def test_a_misspelt_treatment_of_bad_images_is_told(pets):
    with pytest.raises(InputError, match=r"'ignore': .*allowed: stop, skip"):
        open_source(pets, DataSettings(bad_images="ignore"))
