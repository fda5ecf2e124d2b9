"""`res2net data check`."""

import json

import pytest
from data_tables import rows
from PIL import Image


@pytest.fixture
def coco(tmp_path):
    """A function that writes a COCO root of two images, with these boxes on the first."""

    def write(*boxes):
        root = tmp_path / "coco"
        (root / "annotations").mkdir(parents=True)
        (root / "images").mkdir()
        for name in ("a.png", "b.png"):
            Image.new("RGB", (200, 150), "grey").save(root / "images" / name)
        content = {
            "images": [
                {"id": number, "file_name": name, "height": 150, "width": 200}
                for number, name in enumerate(("a.png", "b.png"), start=1)
            ],
            "annotations": [
                {"id": number, "image_id": 1, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
                for number, box in enumerate(boxes)
            ],
            "categories": [{"id": 1, "name": "owl"}, {"id": 2, "name": "elk"}],
        }
        (root / "annotations" / "instances.json").write_text(json.dumps(content))
        return root

    return write


def test_counts_by_size(coco, check):
    root = coco([0, 0, 31, 33], [0, 0, 32, 32], [0, 0, 96, 95], [0, 0, 96, 96])
    answer = check(root)
    assert (answer.status, answer.err) == (0, "")
    found = rows(answer.out)
    assert found["images"] == ["2"]
    assert found["images without objects"] == ["1"]
    assert found["objects"] == ["4"]
    assert found["small (area below 32 x 32)"] == ["1"]
    assert found["medium"] == ["2"]
    assert found["large (area from 96 x 96)"] == ["1"]
    assert found["owl"] == ["4"]
    assert found["elk"] == ["0"]
    assert answer.out.endswith("is COCO: no problems found.\n")


def test_faults_are_listed_and_the_status_is_one(coco, check):
    root = coco([0, 0, 0, 33], [0, 0, 32, 32], [190, 0, 96, 95])
    Image.new("RGB", (10, 10)).save(root / "images" / "b.png")
    answer = check(root)
    assert (answer.status, answer.err) == (1, "")
    found = rows(answer.out)
    assert found["degenerate box"][0] == found["box outside"][0] == found["wrong size"][0] == "1"
    text = " ".join(answer.out.split())
    assert "a box of 0 x 33 pixels" in text
    assert answer.out.endswith("is COCO: 3 problems found.\n")


def test_images_and_pages(coco, check, tmp_path):
    root = coco([20, 20, 100, 80])
    assert check(root, "--out", tmp_path / "sheet.png").status == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        colours = sheet.convert("RGB").getcolors(1 << 20)
    assert any(max(colour) - min(colour) > 100 for _, colour in colours)  # the box; all else is grey
    answer = check(root, "--out", tmp_path / "page.html", "--count", 1)
    assert answer.out.endswith(f"Images: {tmp_path / 'page.html'}\n")
    page = (tmp_path / "page.html").read_text()
    assert "a.png" in page
    assert "200 x 150, 1 object" in page
    assert page.count("data:image") == 1


def test_folders_of_classes(check, make_images, tmp_path):
    images = make_images(each=5)
    answer = check(images, "--out", tmp_path / "sheet.png")
    assert answer.status == 0
    assert rows(answer.out)["red"] == ["5"]
    (images / "red" / "0.png").write_text("no image")
    answer = check(images)
    assert answer.status == 1
    assert rows(answer.out)["unreadable image"][0] == "1"


def test_real_data(real_data, check):
    found = rows(check(real_data("penn_fudan")).out)
    assert (found["images"], found["objects"]) == (["170"], ["423"])
    out = check(real_data("coco_mini")).out
    assert out.endswith("is COCO and COCO keypoints: no problems found.\n")
    assert rows(out.partition("COCO keypoints")[0])["objects"] == ["739", "624"]


def test_what_is_refused(refused, tmp_path, coco):
    assert refused("data", "check", tmp_path / "none").startswith("There is no file or folder ")
    (tmp_path / "empty").mkdir()
    sentence = refused("data", "check", tmp_path / "empty")
    assert "is neither a data set with objects (COCO, " in sentence
    assert sentence.endswith("put the images of each class into a folder of their own.") or "class folders" in sentence
    root = coco([0, 0, 9, 9])
    assert "did you mean 'check'?" in refused("data", "chekc", root)
    assert "choose .html or .png" in refused("data", "check", root, "--out", tmp_path / "a.jpg")
    assert "There is no folder" in refused("data", "check", root, "--out", tmp_path / "no" / "a.png")
    assert "count 0 is out of range" in refused("data", "check", root, "--count", 0)
    (tmp_path / "a.png").write_text("mine")
    assert "add --overwrite" in refused("data", "check", root, "--out", tmp_path / "a.png")


def test_stuff_is_counted_and_drawn(check, tmp_path):
    root = tmp_path / "panoptic"
    masks = root / "annotations" / "panoptic_all"
    masks.mkdir(parents=True)
    ids = Image.new("RGB", (60, 40), (7, 0, 0))
    ids.paste((0, 1, 0), (10, 10, 30, 30))
    ids.save(masks / "a.png")
    (root / "images").mkdir()
    Image.new("RGB", (60, 40), "grey").save(root / "images" / "a.png")
    segments = [
        {"id": 7, "category_id": 2, "bbox": [0, 0, 60, 40], "area": 2000, "iscrowd": 0},
        {"id": 256, "category_id": 1, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0},
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 40, "width": 60}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}],
        "categories": [{"id": 1, "name": "boat", "isthing": 1}, {"id": 2, "name": "sea", "isthing": 0}],
    }
    masks.with_suffix(".json").write_text(json.dumps(content))
    answer = check(root, "--out", tmp_path / "sheet.png")
    assert (answer.status, answer.err) == (0, "")
    found = rows(answer.out)
    assert (found["objects"], found["classes of stuff"]) == (["1"], ["1"])
    with Image.open(tmp_path / "sheet.png") as sheet:
        colours = sheet.convert("RGB").getcolors(1 << 20)
    large = [colour for count, colour in colours if count > 5000 and max(colour) - min(colour) > 30]
    assert len(large) == 2  # the boat, and the sea around it
    ids.resize((30, 20)).save(masks / "a.png")
    assert rows(check(root).out)["wrong size"][0] == "1"
