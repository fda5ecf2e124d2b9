"""`res2net compare`: images, their ground truth and the results of several models."""

import re
import shutil
from functools import partial

import pytest
import torch
from detector_files import checkpoint, write_scenes
from PIL import Image

import res2net
from res2net.engine.callbacks import save_task
from res2net.engine.config import TrainConfig
from res2net.images.shapes.dataset import POINTS, STUFF_NAMES, shapes_source
from res2net.tasks.pixels.segment.task import Segment, SegmentOptions

CPU = ["--accelerator", "cpu"]
SILHOUETTES = ("square", "triangle", "cross", "star")
DETECTORS = {
    "detect": ("faster_rcnn", {}),
    "instance": ("mask_rcnn", {}),
    "keypoints": ("keypoint_rcnn", {"keypoints": POINTS}),
    "panoptic": ("panoptic_fpn", {"stuff_names": STUFF_NAMES, "chosen": {"stuff_channels": 16}}),
}
SIDE = 652
"""Pixels of a column."""


SCENES = "shapes:4,5"


@pytest.fixture
def segmenters(tmp_path):
    """Two untrained networks."""
    source, paths = shapes_source(Segment.labels, (4, 5)), []
    for model in ("resnet20_tiny", "res2net20_26w_4s_tiny"):
        torch.manual_seed(0)
        create = partial(res2net.create_model, model, zero_init_last=False)
        task = Segment.build(create, source, source.preprocessing, SegmentOptions(channels=16)).eval()
        paths.append(tmp_path / f"{model}.safetensors")
        save_task(paths[-1], task, {}, TrainConfig("segment", SCENES, task.options))
    return paths


def rows_of(answer, ending="png"):
    """The names of images and the scores that were printed."""
    found = re.findall(rf"^ +(image \d+|\S+\.{ending})((?: +\S+)+) *$", answer.out, re.MULTILINE)
    return {name: [float(score) for score in scores.split()] for name, scores in found}


def test_a_sheet_of_segmentation(run, segmenters, tmp_path):
    out = tmp_path / "sheet.png"
    answer = run("compare", "segment", SCENES, "--models", ",".join(map(str, segmenters)), "--out", out, *CPU)
    assert (answer.status, answer.err) == (0, "")
    for title in ("resnet20_tiny (%)", "res2net20_26w_4s_tiny (%)", "mIoU, of each image alone"):
        assert title in answer.out
    assert list(rows_of(answer)) == [f"image {index}" for index in range(5)]
    with Image.open(out) as sheet:
        assert sheet.width == 4 * SIDE
        assert 5 * 640 < sheet.height < 5 * 720


def test_the_scores_are_those_of_an_evaluation_of_the_image(run, segmenters, tmp_path):
    """The first image alone is what `eval` sees where there is one image to validate on."""
    answer = run("compare", "segment", SCENES, "--models", *segmenters, "--out", tmp_path / "sheet.png", *CPU)
    compared = rows_of(answer)["image 0"]
    for path, score in zip(segmenters, compared, strict=True):
        alone = run("eval", "segment", "shapes:4,1", "--weights", path, *CPU)
        assert float(re.search(r"^ +mIoU +(\S+)", alone.out, re.MULTILINE)[1]) == pytest.approx(score, abs=0.06)


@pytest.mark.slow
def test_where_models_differ_most(run, segmenters, tmp_path):
    options = ["--models", *segmenters, "--names", "one", "other", *CPU]
    every = rows_of(run("compare", "segment", SCENES, *options, "--out", tmp_path / "all.png"))
    chosen = ["--out", tmp_path / "2.png", "--count", 2, "--pick", "differ"]
    answer = run("compare", "segment", SCENES, *options, *chosen)
    assert "one (%)" in answer.out
    differences = {name: abs(first - second) for name, (first, second) in every.items()}
    expected = sorted(differences, key=lambda name: -differences[name])[:2]
    assert list(rows_of(answer)) == expected
    assert all(every[name] == scores for name, scores in rows_of(answer).items())


def test_random_images_depend_on_the_seed(run, segmenters, tmp_path):
    def picked(seed, out):
        options = ["--count", 2, "--pick", "random", "--seed", seed, "--out", tmp_path / out, *CPU]
        return list(rows_of(run("compare", "segment", SCENES, "--models", *segmenters, *options)))

    assert picked(1, "1.png") == picked(1, "2.png") != picked(2, "3.png")


def test_a_page(run, segmenters, tmp_path):
    out = tmp_path / "sheet.html"
    answer = run("compare", "segment", SCENES, "--models", *segmenters, "--count", 2, "--out", out, *CPU)
    assert (answer.status, answer.err) == (0, "")
    page = out.read_text()
    assert "segment: resnet20_tiny, res2net20_26w_4s_tiny on shapes" in page
    assert page.count("data:image/") == 2 * 4
    for scores in rows_of(answer).values():
        assert all(f"mIoU {score:.1f} %" in page for score in scores)


@pytest.mark.parametrize("task", DETECTORS)
def test_tasks_that_find_objects(run, tmp_path, task):
    detector, options = DETECTORS[task]
    first = checkpoint(tmp_path, task, detector, names=SILHOUETTES, **options)
    second = shutil.copy(first, tmp_path / "copy.safetensors")
    out = tmp_path / "sheet.png"
    answer = run("compare", task, SCENES, "--models", f"{first},{second}", "--count", 2, "--out", out, *CPU)
    assert (answer.status, answer.err) == (0, "")
    assert f"{detector} (%)" in answer.out
    assert "copy (%)" in answer.out
    assert all(scores[0] == scores[1] for scores in rows_of(answer).values())
    with Image.open(out) as sheet:
        assert sheet.width == 4 * SIDE
        columns = [sheet.crop((SIDE * place, 60, SIDE * (place + 1), 680)) for place in range(4)]
    assert columns[2].tobytes() == columns[3].tobytes()
    assert columns[1].tobytes() not in (columns[0].tobytes(), columns[2].tobytes())


def test_simple_baseline_beside_true_points(run, tmp_path):
    torch.manual_seed(0)
    small = ["--model", "res2net20_26w_4s_tiny", "--crop", 64, 48, "--channels", 16, "--workers", 0, "--epochs", 1]
    folder = tmp_path / "run"
    trained = run("train", "keypoints", SCENES, *small, "--batch-size", 4, "--out", folder, *CPU)
    assert trained.status == 0, trained.err
    shutil.copytree(folder, tmp_path / "again")
    options = ["--models", folder, tmp_path / "again", "--count", 2, "--out", tmp_path / "sheet.png", *CPU]
    answer = run("compare", "keypoints", SCENES, *options)
    assert (answer.status, answer.err) == (0, "")
    assert "run (%)" in answer.out
    (tmp_path / "photos").mkdir()
    answer = run("compare", "keypoints", write_scenes(tmp_path / "photos", [(90, 120)]), *options, "--overwrite")
    assert (answer.status, answer.err) == (0, "")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 3 * SIDE


@pytest.mark.slow
def test_classes(run, trained, images, tmp_path):
    options = ["--models", f"{trained.best},{trained.folder}", "--names", "a,b", "--out", tmp_path / "sheet.png", *CPU]
    answer = run("compare", images, *options)
    assert (answer.status, answer.err) == (0, "")
    assert "true class, of each image" in answer.out
    assert re.search(r"\d\.(jpg|png) +\d+\.\d +\d+\.\d", answer.out)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 4 * SIDE


@pytest.mark.slow
def test_the_split_to_compare_on(run, refused, trained, images, tmp_path):
    words = ["compare", images, "--models", trained.best, trained.best, "--count", 40, *CPU]
    for split, count in (("val", 2), ("train", 6)):
        answer = run(*words, "--split", split, "--out", tmp_path / f"{split}.png")
        assert len(re.findall(r"^ +\d\.(?:jpg|png) ", answer.out, re.MULTILINE)) == count
    assert "no split 'test'" in refused(*words, "--split", "test", "--out", tmp_path / "test.png")


def test_images_of_which_nothing_is_known(run, segmenters, tmp_path):
    """There is no column of the truth, and no score."""
    folder = tmp_path / "photos"
    folder.mkdir()
    write_scenes(folder, [(90, 120), (33, 57)])
    for source, rows in ((folder, 2), (folder / "0.png", 1)):
        out = tmp_path / f"{rows}.png"
        answer = run("compare", "segment", source, "--models", *segmenters, "--out", out, *CPU)
        assert (answer.status, answer.err) == (0, "")
        assert "Without ground truth: " in answer.out
        assert "mIoU" not in answer.out
        with Image.open(out) as sheet:
            assert sheet.width == 3 * SIDE
            assert rows * 470 < sheet.height < rows * 720


@pytest.mark.parametrize(
    ("source", "options", "sentence"),
    [
        (SCENES, {"models": "{0}"}, "compare needs at least two models, and got 1: add to --models."),
        (SCENES, {"models": "{0},nowhere"}, "nowhere"),
        (SCENES, {"models": "{0},{2}"}, "was trained for detect, not for segment"),
        (SCENES, {"names": "a,b,c"}, "There are 2 models and 3 names: give one name per model in --names."),
        (SCENES, {"out": "{0}"}, "has the ending '.safetensors': choose .html or .png."),
        (SCENES, {"out": "{3}"}, "exists: choose another name, or add --overwrite."),
        (SCENES, {"pick": "difer"}, "Unknown --pick 'difer': did you mean 'differ'?"),
        (SCENES, {"count": 0}, "count 0 is out of range: give 1 to 40."),
        ("{1}", {}, "has no images: known endings are"),
        ("shaps", {}, "There is no file or folder 'shaps', and no data set of that name: did you mean 'shapes'?"),
        ("{3}", {"pick": "differ"}, "Nothing is known of these images by which models could differ"),
        ("{0}", {}, "it is not an image of a known format"),
    ],
)
def test_what_is_refused(refused, segmenters, tmp_path, source, options, sentence):
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "there.png")
    detector = checkpoint(tmp_path, "detect", "faster_rcnn") if "{2}" in str(options) else ""
    known = [segmenters[0], tmp_path / "empty", detector, tmp_path / "there.png"]
    chosen = {"models": ",".join(map(str, segmenters)), "out": tmp_path / "sheet.png"} | options
    words = [str(word).format(*known) for name, value in chosen.items() for word in (f"--{name}", value)]
    assert sentence in refused("compare", "segment", source.format(*known), *words, *CPU)
    assert not (tmp_path / "sheet.png").exists()


def test_models_of_other_classes(refused, tmp_path):
    (tmp_path / "other").mkdir()
    first = checkpoint(tmp_path, "detect", "faster_rcnn", names=SILHOUETTES)
    second = checkpoint(tmp_path / "other", "detect", "faster_rcnn")
    sentence = refused("compare", "detect", SCENES, "--models", first, second, "--out", tmp_path / "a.png", *CPU)
    assert "have different classes (square, triangle, cross ... 4 in all; cat, dog, owl)" in sentence
    options = ["--models", second, second, "--out", tmp_path / "a.png", *CPU]
    assert "The weights do not know 4 of the 4 classes of shapes" in refused("compare", "detect", SCENES, *options)
    assert "needs --models FILE ..." in refused("compare", "detect", SCENES)
    assert "did you mean 'segment'?" in refused("compare", "segmnt", "shapes", "--models", first, second)
