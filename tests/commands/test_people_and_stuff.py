"""`res2net train`, `eval` and `predict` of key points and of panoptic segmentation, on a few drawn scenes."""

import json

import pytest
from PIL import Image

from res2net.data.shapes import Shapes

SMALL = [
    *("--fpn-channels", 16, "--head-channels", 32, "--proposals", 20, "--proposals-train", 40),
    *("--anchor-sizes", 12, 24, 48, 96),
]
CASES = {
    "simple_baseline": ("keypoints", ["--crop", 64, 48, "--channels", 16], "objects", "in ground truth boxes"),
    "keypoint_rcnn": ("keypoints", ["--detector", "keypoint_rcnn", *SMALL], "objects", "in detected boxes"),
    "panoptic_fpn": ("panoptic", ["--stuff-channels", 16, *SMALL], "segments_info", "PQ_things"),
}


@pytest.fixture
def picture(tmp_path):
    pixels, _ = Shapes(1, size=96, things=2)[0]
    path = tmp_path / "picture.png"
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize((120, 90)).save(path)
    return path


@pytest.mark.parametrize("case", CASES)
def test_train_eval_and_predict(run, tiny, shapes_with, tmp_path, picture, case):
    task, options, name, said = CASES[case]
    folder = tmp_path / "run"
    with shapes_with(train=4, val=3):
        answer = run("train", task, "shapes", *tiny(out=folder, size=64), *options)
        assert (answer.status, answer.err) == (0, "")
        line = next(line for line in answer.out.splitlines() if line.startswith("epoch"))
        assert said in line
        assert f"res2net eval {task} shapes --weights" in answer.out
        assert said in (folder / "report.html").read_text()
        weights = ["--weights", folder / "best.safetensors", "--accelerator", "cpu"]
        again = run("eval", task, "shapes", *weights)
        assert (again.status, again.err) == (0, "")
        assert said in " ".join(again.out.split())
    found = run("predict", task, picture, *weights, "--json", "--draw", tmp_path / "drawn")
    assert (found.status, found.err) == (0, "")
    (entry,) = json.loads(found.out)
    assert isinstance(entry[name], list)
    if case == "simple_baseline":
        assert entry[name][0]["box"] == [0, 0, 120, 90]
    (drawn,) = (tmp_path / "drawn").iterdir()
    with Image.open(drawn) as image:
        assert image.size == (600, 450)
    assert run("predict", task, picture, *weights).status == 0


def test_pictures_without_key_points_are_refused(refused, tiny, pictures):
    assert "is no data set with objects" in refused("train", "keypoints", pictures, *tiny())
