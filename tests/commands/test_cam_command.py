"""`res2net cam`: sheets of activation maps, their scores, and label maps mined from them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

import res2net
from res2net.backbones.base import Backbone
from res2net.engine.callbacks import save_task
from res2net.engine.config import TrainConfig
from res2net.errors import InputError
from res2net.explain import class_activation_maps, open_masked
from res2net.images.splits import DataSettings
from res2net.images.transforms import eval_transform
from res2net.tasks.classify.options import ClassifyOptions
from res2net.tasks.classify.task import Classify

CPU = ["--accelerator", "cpu"]
MODELS = ("resnet20_tiny", "res2net20_26w_4s_tiny")
SIDE = 492
"""Pixels of a column of a sheet."""


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory):
    """Two untrained classifiers of the synthetic images, whose branches do not start at zero."""
    folder = tmp_path_factory.mktemp("classifiers")
    source, paths = open_masked("shapes:2,2", DataSettings()), []
    for model in MODELS:
        torch.manual_seed(0)
        create = partial(res2net.create_model, model, zero_init_last=False)
        task = Classify.build(create, source, source.preprocessing, ClassifyOptions()).eval()
        paths.append(folder / f"{model}.safetensors")
        save_task(paths[-1], task, {}, TrainConfig("classify", "shapes", task.options))
    return paths


@pytest.fixture
def photos(tmp_path):
    """A wide and a tall image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, shape in (("a.png", (70, 100, 3)), ("b.jpg", (90, 64, 3))):
        Image.fromarray(random.integers(0, 255, shape, dtype=np.uint8)).save(folder / name)
    return folder


def test_a_sheet_has_a_row_an_image_and_a_column_a_model(run, classifiers, photos, tmp_path):
    out, saved = tmp_path / "sheet.png", tmp_path / "saved"
    options = ["--out", out, "--save", saved, "--save-as", "npy", "csv", "--json", *CPU]
    answer = run("cam", photos, "--models", ",".join(map(str, classifiers)), *options)
    assert answer.status == 0, answer.err
    rows = json.loads(answer.out)
    assert [(row["file"], row["model"]) for row in rows] == [
        (str(photos / name), model) for name in ("a.png", "b.jpg") for model in MODELS
    ]
    with Image.open(out) as sheet:
        assert sheet.width == 3 * SIDE
        columns = [sheet.crop((SIDE * place, 60, SIDE * (place + 1), 480)).tobytes() for place in range(3)]
    assert len(set(columns)) == 3
    for row, name in zip(rows[::2], ("a", "b"), strict=True):
        model = res2net.load(classifiers[0], accelerator="cpu")
        (expected,) = model.predict(row["file"])
        assert (row["class"], row["predicted"]) == (expected.classes[0],) * 2
        assert row["probability"] == pytest.approx(expected.probabilities[0], abs=1e-5)
        x = eval_transform(model.task.preprocessing)(Image.open(row["file"]).convert("RGB"))[None]
        heat = class_activation_maps(model.task.model, x.as_subclass(torch.Tensor))[0]
        np.testing.assert_allclose(np.load(saved / MODELS[0] / f"{name}.npy"), heat, atol=1e-5)
        with (saved / MODELS[0] / "results.csv").open() as file:
            assert [line["predicted"] for line in csv.DictReader(file)] == [one["predicted"] for one in rows[::2]]


def test_the_whole_image_at_the_scale_of_predict(classifiers, photos):
    model = res2net.load(classifiers[1], accelerator="cpu")
    maps = model.explain([photos / "a.png", photos / "b.jpg"], view="whole", method="gradcam++", target="dotted star")
    assert [tuple(one.heat.shape) for one in maps] == [(64, 91), (90, 64)]
    assert [one.class_name for one in maps] == ["dotted star"] * 2
    assert maps[0].path == photos / "a.png"
    assert maps[0].image.size == (100, 70)
    assert maps[0].draw().size == (91, 64)
    assert maps[0].draw(Image.new("RGB", (300, 210))).size == (274, 192)
    assert model.explain(photos / "a.png", target=11)[0].class_name == model.class_names[11]


def test_splits_and_a_page(run, classifiers, photos, tmp_path):
    out = tmp_path / "sheet.html"
    options = ["--splits", "layer3.1", "--out", out, "--method", "eigen", "--view", "whole", *CPU]
    answer = run("cam", photos, "--models", *classifiers, *options)
    assert (answer.status, answer.err) == (0, "")
    assert out.read_text().count("data:image/") == 2 * 3
    page = (tmp_path / "sheet-splits.html").read_text()
    assert page.count("data:image/") == 2 * 5
    assert all(f"split {index} ({field} x {field})" in page for index, field in ((1, 3), (2, 5), (3, 7), (4, 1)))


def test_the_count_is_stated_and_broken_images_are_skipped(run, classifiers, photos, tmp_path):
    (photos / "aa.png").write_bytes(b"no image")
    options = ["--models", f"resnet20_tiny:{classifiers[0]}", "--out", tmp_path / "sheet.png", *CPU]
    answer = run("cam", photos, "--count", 2, "--bad-images", "skip", *options)
    assert answer.status == 0, answer.err
    assert "The first 2 of 3 images" in answer.out
    assert f"Not read: {photos / 'aa.png'}" in answer.out.replace("\n", "")
    assert run("cam", photos, "--overwrite", *options).status == 2


def test_scores(run, classifiers, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    files = [tmp_path / f"scores.{ending}" for ending in ("png", "html", "json", "csv")]
    answer = run("cam", "score", "shapes:2,5", "--models", *classifiers, "--count", 4, "--out", *files, *CPU)
    assert (answer.status, answer.err) == (0, "")
    for words in ("4 objects of shapes (val)", *MODELS, "a map of 1 everywhere", "resnet20_tiny"):
        assert words in " ".join(answer.out.split())
    found = json.loads(files[2].read_text())
    assert (found["method"], found["threshold"], found["left_out"]) == ("gradcam", 0.5, 0)
    with files[3].open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [f"image {index}" for index in (0, 1, 2, 3)] * 2
    for model in MODELS:
        mean = np.mean([float(row["iou"]) for row in rows if row["model"] == model])
        assert found["models"][model]["iou"]["mean"] == pytest.approx(mean, abs=1e-4)
    assert files[1].read_text().count("data:image/") == 1


@pytest.mark.slow
@pytest.mark.parametrize(("source", "name"), [("coco_mini", "person"), ("penn_fudan", "person")])
def test_scores_on_photographs(run, classifiers, real_data, tmp_path, source, name):
    """Classes have other names in the network, which a file says."""
    (tmp_path / "map.json").write_text(json.dumps({name: ["dotted star", "striped cross"]}))
    options = ["--class-map", tmp_path / "map.json", "--out", tmp_path / "scores.json", "--count", 8, *CPU]
    answer = run("cam", "score", real_data(source), "--models", classifiers[0], *options)
    assert answer.status == 0, answer.err
    images = json.loads((tmp_path / "scores.json").read_text())["everywhere"]["images"]
    assert 0 < images <= 8
    predicted = ["--target", "predicted", "--out", tmp_path / "other.json", "--count", 8, *CPU]
    answer = run("cam", "score", real_data(source), "--models", classifiers[0], *predicted)
    assert answer.status == 0, answer.err
    assert json.loads((tmp_path / "other.json").read_text())["everywhere"]["images"] == 8


def test_mined_label_maps(run, classifiers, tmp_path):
    out = tmp_path / "mined"
    options = ["--thresholds", 0.3, 0.6, "--keep", "peak", "--method", "eigen", *CPU]
    answer = run("cam", "mine", "shapes:3,2", "--models", classifiers[1], "--out", out, *options)
    assert (answer.status, answer.err) == (0, "")
    assert "IoU of the mined labels with the true ones" in answer.out
    assert "3 images to train on" in " ".join(answer.out.split())
    assert len(json.loads((out / "classes.json").read_text())) == 17
    assert run("data", "check", out).status == 0


MISTAKES = {
    "no model": (["PHOTOS", "--models", ""], "There is no model"),
    "unknown model": (["PHOTOS", "--models", "res2net5O"], "There is no file, run or model 'res2net5O'"),
    "no weights": (["PHOTOS", "--models", "resnet20_tiny"], "resnet20_tiny has no published weights"),
    "names": (["PHOTOS", "--models", "MODEL", "--names", "a", "b"], "There are 1 models and 2 names"),
    "class": (["PHOTOS", "--models", "MODEL", "--target", "doted star"], "did you mean 'dotted star'"),
    "layer": (["PHOTOS", "--models", "MODEL", "--layer", "layer33"], "Unknown layer 'layer33': did you mean 'layer3'"),
    "block": (["PHOTOS", "--models", "MODEL", "--splits", "layer9.1"], "did you mean 'layer"),
    "no splits": (["PHOTOS", "--models", "PLAIN", "--splits", "layer3.1"], "no Res2 blocks"),
    "eigen": (["PHOTOS", "--models", "MODEL", "--method", "eigen", "--target", "3"], "depends on no class"),
    "no image": (["nowhere.jpg", "--models", "MODEL"], "nowhere.jpg"),
    "ending": (["PHOTOS", "--models", "MODEL", "--out", "sheet.gif"], "choose .html or .png"),
    "save-as": (["PHOTOS", "--models", "MODEL", "--save-as", "npy"], "--save-as needs --save FOLDER"),
    "no masks": (["score", "PHOTOS", "--models", "MODEL"], "has no masks of classes"),
    "threshold": (["score", "shapes:2,2", "--models", "MODEL", "--threshold", "2"], "threshold 2.0 is out of range"),
    "two models": (["mine", "shapes:2,2", "--models", "MODEL", "PLAIN", "--out", "m"], "with one model"),
    "exists": (["mine", "shapes:2,2", "--models", "MODEL", "--out", "PHOTOS"], "exists: choose another name"),
    "thresholds": (
        ["mine", "shapes:2,2", "--models", "MODEL", "--out", "m", "--thresholds", "0.6", "0.3"],
        "in ascending order",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_sentence(refused, classifiers, photos, tmp_path, monkeypatch, mistake):
    monkeypatch.chdir(tmp_path)
    words, message = MISTAKES[mistake]
    given = {"PHOTOS": photos, "PLAIN": classifiers[0], "MODEL": classifiers[1]}
    assert message in refused("cam", *(given.get(word, word) for word in words), *CPU)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_exported_networks_are_refused(classifiers):
    model = replace(res2net.load(classifiers[0], accelerator="cpu"), exported=True)
    with pytest.raises(InputError, match="is an exported network without layers: give the checkpoint"):
        model.explain(Image.new("RGB", (64, 64)))


def test_networks_that_are_no_classifiers_are_refused(refused, photos, tmp_path):
    from detector_files import checkpoint

    path = checkpoint(tmp_path, "detect", "faster_rcnn", names=("square", "triangle", "cross", "star"))
    assert "no classifier of images" in refused("cam", photos, "--models", path, "--out", tmp_path / "x.png", *CPU)


@pytest.mark.slow
def test_networks_of_other_kinds_have_maps():
    """One network of each kind of code, with the layer that is taken by default."""
    for name, side in (("dla60", 64), ("densenet161", 64), ("hrnet_w18", 64), ("vgg16", 64), ("inception_v3", 96)):
        model = res2net.create_model(name, num_classes=5)
        assert isinstance(model, Backbone)
        maps = class_activation_maps(model, torch.randn(1, 3, side, side), 3)
        assert maps.shape == (1, side, side)
