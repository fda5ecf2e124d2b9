"""What several models make of the same images: which images are chosen, their scores and their drawings."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from res2net.engine.restore import restore_task
from res2net.engine.sheet import (
    choose,
    compare_images,
    difference_of,
    evaluate_image,
    image_scores,
    is_readable,
    name_of,
)
from res2net.errors import InputError
from res2net.images.decode import BadImage

FILES = Path(__file__).parents[1] / "legacy" / "files"


@pytest.fixture(scope="module")
def task():
    return restore_task(FILES / "checkpoints" / "classify.safetensors")[0]


@pytest.fixture
def source(task, tmp_path):
    """Four images of two classes to validate on, of which the second is broken."""
    for split in ("train", "val"):
        for index in range(4):
            path = tmp_path / split / task.class_names[index % 2] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 40), (60 * index, 255 - 60 * index, 90)).save(path)
    (tmp_path / "val" / task.class_names[0] / "2.png").write_bytes(b"broken")
    return task.open(tmp_path)


def test_the_first_are_chosen():
    assert choose(3, 10, "first") == [0, 1, 2]
    assert choose(30, 4, "first") == [0, 1, 2, 3]
    assert choose(2, 10, "first", usable=lambda index: index % 3 == 2) == [2, 5]


def test_random_ones_depend_on_the_seed_alone():
    chosen = choose(5, 100, "random", seed=3)
    assert chosen == sorted(set(chosen)) == choose(5, 100, "random", seed=3)
    assert len(chosen) == 5
    assert chosen != choose(5, 100, "random", seed=4)
    assert all(index % 2 for index in choose(5, 100, "random", usable=lambda index: index % 2 == 1))


def test_those_that_differ_most_come_first():
    differences = {0: 3.0, 1: 9.0, 2: -1.0, 3: 5.0}
    assert choose(3, 4, "differ", difference=differences.get) == [1, 3, 0]
    asked = []
    choose(2, 100, "differ", among=10, difference=lambda index: asked.append(index) or 0.0)
    assert len(asked) == 10
    with pytest.raises(InputError, match="choose first or random"):
        choose(2, 4, "differ")


def test_an_unknown_way_to_choose():
    with pytest.raises(InputError, match="did you mean 'random'"):
        choose(1, 2, "randon")


def test_images_that_cannot_be_read_are_noted(source):
    broken = {}
    assert [is_readable(source, broken, index) for index in range(len(source.val))] == [True, False, True, True]
    ((path, reason),) = broken.items()
    assert path.endswith("2.png")
    assert reason


def test_an_image_is_evaluated_alone(task, source):
    evaluation = evaluate_image(task, source, 0)
    assert evaluation.records["label"].tolist() == [0]
    assert evaluation.metrics["top1"] in (0.0, 100.0)
    with pytest.raises(BadImage):
        evaluate_image(task, source, 1)


def test_scores_of_models_and_their_difference(task, source):
    scores = image_scores([task, task], source)
    (name, value), other = scores(0)
    assert (name, value) == other == task.scoring.score_of_one(evaluate_image(task, source, 0))
    assert difference_of(scores(0)) == 0.0
    assert scores(0) is scores(0)


def test_images_stand_beside_the_truth_and_what_models_find(task, source):
    scores = image_scores([task, task], source)
    first, third = compare_images([task, task], source, [0, 2], scores)
    assert (first.name, third.name) == ("0.png", "1.png")
    for one in (first, third):
        assert one.image.size == (40, 40)
        assert one.truth is not None
        assert len(one.found) == len(one.scores) == 2
    assert first.scores == scores(0)
    (untold,) = compare_images([task], source, [0], None)
    assert (untold.truth, untold.scores) == (None, [None])


def test_the_name_of_an_image():
    assert name_of(type("Files", (), {"paths": ["folder/a.png"]})(), 0) == "a.png"
    assert name_of([], 3) == "image 3"
