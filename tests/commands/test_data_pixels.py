"""`res2net data check` of label maps, and `res2net data prepare`."""

import numpy as np
import pytest
from data_tables import rows
from PIL import Image

NUMBERS = np.zeros((30, 40), dtype=np.uint8)
NUMBERS[:10], NUMBERS[20:, :5] = 2, 255


@pytest.fixture
def write(tmp_path):
    """A function that writes two images, each with these labels, as 8 or 16 bits."""

    def made(values, maps="masks"):
        for folder in ("images", maps):
            (tmp_path / "set" / folder).mkdir(parents=True)
        for stem in ("a", "b"):
            Image.new("RGB", (40, 30), "grey").save(tmp_path / "set" / "images" / f"{stem}.jpg")
            Image.fromarray(values).save(tmp_path / "set" / maps / f"{stem}.png")
        return tmp_path / "set"

    return made


def test_pixels_are_counted_by_class(write, check, tmp_path):
    root = write(NUMBERS)
    (root / "classes.txt").write_text("background\ncat\ndog\n")
    answer = check(root, "--out", tmp_path / "sheet.png")
    assert (answer.status, answer.err) == (0, "")
    found = rows(answer.out)
    assert (found["images"], found["labelled pixels"], found["pixels without a label"]) == (["2"], ["2,300"], ["100"])
    assert (found["background"], found["cat"], found["dog"]) == (["1,500"], ["0"], ["800"])
    assert "is folders of images and label maps: no problems found.\n" in answer.out
    with Image.open(tmp_path / "sheet.png") as sheet:
        colours = sheet.convert("RGB").getcolors(1 << 20)
    large = [colour for count, colour in colours if count > 3000 and max(colour) - min(colour) > 30]
    assert len(large) == 1  # the dogs; the background stays grey


def test_black_and_white_masks_are_of_what_is_salient(write, check):
    answer = check(write(np.where(NUMBERS == 2, np.uint8(255), np.uint8(0))))
    found = rows(answer.out)
    assert (found["salient"], found["not salient"]) == (["800"], ["1,600"])
    assert "is images and masks of what is salient: no problems found." in answer.out


def test_depth_is_told_in_metres(write, check, tmp_path):
    values = np.where(NUMBERS == 2, 4000, np.where(NUMBERS == 255, 0, 1000)).astype(np.uint16)
    answer = check(write(values, "depth"), "--out", tmp_path / "page.html")
    assert (answer.status, answer.err) == (0, "")
    found = rows(answer.out)
    assert (found["nearest, m"], found["mean, m"], found["farthest, m"]) == (["1"], ["2.04"], ["4"])
    assert "40 x 30, up to 4 m" in (tmp_path / "page.html").read_text()


def test_faults_are_counted(write, check):
    root = write(NUMBERS)
    (root / "classes.txt").write_text("background\ncat\n")
    Image.new("L", (3, 3)).save(root / "masks" / "b.png")
    answer = check(root)
    assert answer.status == 1
    found = rows(answer.out)
    assert found["label outside"][0] == found["wrong size"][0] == "1"
    assert answer.out.endswith("2 problems found.\n")


def test_prepare_and_check(real_data, run, check, refused, tmp_path):
    words = ["data", "prepare", real_data("coco_mini"), "--to", "semantic", "--out", tmp_path / "made"]
    answer = run(*words, "--classes", "person", "dog")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out == (
        f"{tmp_path / 'made'} has 80 images for training and 79 for validation, and 3 classes of pixels.\n"
    )
    assert "exists and is not empty" in refused(*words)
    found = rows(check(tmp_path / "made").out)
    assert found["images"] == ["80", "79"]
    assert found["pixels without a label"] != ["0", "0"]  # crowds


def test_prepare_refuses(refused, tmp_path):
    assert "needs --to {semantic,saliency}" in refused("data", "prepare", tmp_path, "--out", tmp_path / "x")
    assert "There is no file or folder" in refused(
        "data", "prepare", tmp_path / "none", "--to", "semantic", "--out", tmp_path / "x"
    )
