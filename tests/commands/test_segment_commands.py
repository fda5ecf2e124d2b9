"""Segmentation from a data set to maps in files, on the command line."""

import csv
import json

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from object_sets import write_coco
from PIL import Image

OPTIONS = ["--channels", 16, "--scale", 1, 1, "--flip", 0]


@pytest.fixture(scope="session")
def regions(tmp_path_factory, run):
    """Images and label maps of 90 x 60 pixels, made of a data set with objects; not to be changed."""
    folder = tmp_path_factory.mktemp("regions")
    things = write_coco(folder / "things")
    answer = run("data", "prepare", things, "--to", "semantic", "--out", folder / "regions")
    assert answer.status == 0, answer.err
    return folder / "regions"


@pytest.fixture(scope="session")
def learnt(tmp_path_factory, run, regions):
    """The weights of a short run."""
    out = tmp_path_factory.mktemp("runs") / "regions"
    tiny = ["--model", "res2net20_26w_4s_tiny", "--size", 64, "--epochs", 2, "--batch-size", 2, "--workers", 0]
    answer = run("train", "segment", regions, *tiny, "--accelerator", "cpu", *OPTIONS, "--out", out)
    assert answer.status == 0, answer.err
    assert "mIoU" in answer.out
    assert (out / "report.html").is_file()
    return out / "best.safetensors"


@pytest.fixture(scope="session")
def exported(tmp_path_factory, run, learnt):
    out = tmp_path_factory.mktemp("exported") / "regions.onnx"
    answer = run("export", "segment", learnt, "--to", "onnx", "--size", 64, 96, "--out", out)
    assert answer.status == 0, answer.err
    assert "same likeliest class 100.0 %" in answer.out
    return out


def opened(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def image(regions):
    return sorted((regions / "images" / "val").iterdir())[0]


@pytest.mark.slow
def test_overfits_people_of_real_images(run, real_data, tmp_path):
    answer = run("data", "prepare", real_data("penn_fudan"), "--to", "semantic", "--out", tmp_path / "people")
    assert answer.status == 0, answer.err
    words = ["--recipe", "overfit_segment", tmp_path / "people", "--accelerator", "cpu", "--out", tmp_path / "run"]
    answer = run("train", *words)
    assert answer.status == 0, answer.err
    with (tmp_path / "run" / "metrics.csv").open(encoding="utf-8") as file:
        scores = [float(row["val_IoU/person"]) for row in csv.DictReader(file)]
    print("IoU of people begins at", scores[0], "and ends at", scores[-1])
    assert scores[0] < 30
    assert scores[-1] > 40


def test_evaluation_names_the_classes(run, regions, learnt, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    answer = run("eval", "segment", regions, "--weights", learnt, "--accelerator", "cpu")
    assert answer.status == 0, answer.err
    for word in ("mIoU", "boundary_mIoU", "pixel_accuracy", "IoU/background", "IoU/disc", "IoU/square"):
        assert word in answer.out


def test_predictions_are_maps_in_files(run, learnt, image, tmp_path):
    words = ["--weights", learnt, "--accelerator", "cpu", "--save", tmp_path / "maps", "--draw", tmp_path / "drawn"]
    answer = run("predict", "segment", image, *words, "--json")
    assert answer.status == 0, answer.err
    (saved,) = (tmp_path / "maps").iterdir()
    classes = opened(saved)
    assert (saved.name, classes.shape) == (f"00001-{image.stem}-classes.png", (60, 90))
    (told,) = json.loads(answer.out)
    assert sum(one["share"] for one in told["classes"]) == pytest.approx(1)
    for one in told["classes"]:
        np.testing.assert_array_equal(coco_mask.decode([one["segmentation"]])[..., 0], classes == one["class"])
    assert len(list((tmp_path / "drawn").iterdir())) == 1


def test_options_may_be_changed_after_training(run, refused, learnt, image):
    words = ["predict", "segment", image, "--weights", learnt, "--accelerator", "cpu", "--task-options"]
    assert run(*words, "window", 32, "scales", "[0.5,1]", "flip_test", "true").status == 0
    assert "did you mean 'window'" in refused(*words, "windows", 32)
    assert "'decoder' of segment cannot change after training" in refused(*words, "decoder", "unet")
    assert "overlap 2" in refused(*words, "overlap", 2)
    assert "does not fit: give a whole number" in refused(*words, "window", "wide")
    assert "takes names with numbers, lists or words" in refused(*words, "scales", "[0.5")


def test_an_exported_network_finds_the_same(run, learnt, exported, regions, image, tmp_path):
    maps = []
    for place, words in enumerate(
        (["--weights", learnt, "--accelerator", "cpu"], ["--weights", exported, "--runtime", "onnx"])
    ):
        answer = run("predict", "segment", image, *words, "--save", tmp_path / str(place))
        assert answer.status == 0, answer.err
        (saved,) = (tmp_path / str(place)).iterdir()
        maps.append(opened(saved))
    assert maps[0].shape == maps[1].shape
    assert (maps[0] == maps[1]).mean() > 0.9  # zeros beside an image reach into it
    assert run("eval", "segment", regions, "--weights", exported, "--runtime", "onnx").status == 0


def test_images_larger_than_an_exported_network(run, exported, tmp_path):
    Image.new("RGB", (300, 200), "grey").save(tmp_path / "large.png")
    words = ["predict", "segment", tmp_path / "large.png", "--weights", exported, "--runtime", "onnx"]
    answer = run(*words, "--save", tmp_path / "maps")
    assert answer.status == 0, answer.err
    assert opened(next((tmp_path / "maps").iterdir())).shape == (200, 300)


def test_what_does_not_fit_is_told(refused, regions, images, tiny, learnt, image):
    assert "is not a data set with" in refused("train", "segment", images, *tiny())
    assert "did you mean 'unet'" in refused("train", "segment", regions, "--decoder", "unett", *tiny())
    assert "trained for segment" in refused("eval", "detect", regions, "--weights", learnt)
    sentence = refused("predict", "segment", image, "--weights", learnt, "--coco", "x.json")
    assert sentence.startswith("`res2net predict segment` has no option '--coco'")


def test_classes_in_files_are_no_images_of_a_classifier(refused, trained, images, tmp_path):
    told = refused("predict", images, "--weights", trained.best, "--save", tmp_path)
    assert told == "--save does not apply to this task: use --save-as csv, --draw or --json."
