"""Labels of pixels out of masks of objects."""

import json

import numpy as np
import pytest
from PIL import ExifTags, Image

from conftest import open_pixels
from res2net.errors import InputError
from res2net.tasks.objects.formats import open_objects
from res2net.tasks.pixels.data_tools import PrepareArguments, prepare

CATEGORIES = [{"id": 3, "name": "ant"}, {"id": 9, "name": "bee"}]


def prepare_pixels(source, to, out, **more):
    """Make a data set, and return what the command prints without the name of the folder."""
    return prepare(PrepareArguments(str(source), to, str(out), **more)).removeprefix(f"{out} has ")


def entry(number, image_id, category, box, **more):
    left, top, width, height = box
    right, bottom = left + width, top + height
    ring = [left, top, right, top, right, bottom, left, bottom]
    more = {"iscrowd": 0, "segmentation": [ring], **more}
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category,
        "bbox": list(box),
        "area": width * height,
        **more,
    }


@pytest.fixture
def coco(tmp_path):
    """Two splits of one image each, 40 x 30: a large ant under a small bee, beside a crowd of ants."""
    crowd = {"size": [30, 40], "counts": [0, 60, 1140]}  # two columns at the left
    objects = [
        entry(1, 1, 9, (12, 12, 5, 5)),
        entry(2, 1, 3, (10, 10, 20, 10)),
        entry(3, 1, 3, (0, 0, 2, 30), iscrowd=1, segmentation=crowd),
    ]
    for split in ("train", "val"):
        (tmp_path / "coco" / split).mkdir(parents=True)
        Image.new("RGB", (40, 30), "grey").save(tmp_path / "coco" / split / "a.jpg")
        content = {
            "images": [{"id": 1, "file_name": "a.jpg", "height": 30, "width": 40}],
            "annotations": objects,
            "categories": CATEGORIES,
        }
        (tmp_path / "coco" / "annotations").mkdir(exist_ok=True)
        (tmp_path / "coco" / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return tmp_path / "coco"


def test_classes_of_objects(coco, tmp_path):
    made = prepare_pixels(coco, "semantic", tmp_path / "made")
    assert made == "1 images for training and 1 for validation, and 3 classes of pixels."
    expected = np.zeros((30, 40), dtype=np.uint8)
    expected[:, :2], expected[10:20, 10:30] = 255, 1
    expected[12:17, 12:17] = 2
    train, val = open_pixels(tmp_path / "made", "semantic")
    assert train.class_names == ("background", "ant", "bee")
    for images in (train, val):
        assert np.array_equal(images[0][1]["semantic"], expected)
    assert (tmp_path / "made" / "images" / "train" / "a.jpg").read_bytes() == (coco / "train" / "a.jpg").read_bytes()


def test_some_classes_only(coco, tmp_path):
    prepare_pixels(coco, "semantic", tmp_path / "made", classes=("bee",))
    train, _ = open_pixels(tmp_path / "made", "semantic")
    assert train.class_names == ("background", "bee")
    found = train[0][1]["semantic"]
    assert found.sum() == 25
    assert found[12:17, 12:17].all()


def test_large_objects_are_salient(coco, tmp_path):
    """The ant covers 200 of 1200 pixels, the bee 25; the crowd is no object."""
    prepare_pixels(coco, "saliency", tmp_path / "made", min_share=0.05)
    found = open_pixels(tmp_path / "made", "saliency")[0][0][1]["saliency"]
    assert found.sum() == 200
    assert found[10:20, 10:30].all()
    with pytest.raises(InputError, match=r"no images for training with objects of at least 0\.5 of the image"):
        prepare_pixels(coco, "saliency", tmp_path / "other", min_share=0.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coco", "made"]


def test_a_turned_image_is_written_upright(coco, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    for split in ("train", "val"):
        Image.new("RGB", (40, 30), "grey").save(coco / split / "a.jpg", exif=exif)
    prepare_pixels(coco, "saliency", tmp_path / "made")
    assert [path.name for path in (tmp_path / "made" / "images" / "train").iterdir()] == ["a.png"]
    assert open_pixels(tmp_path / "made", "saliency")[0][0][1]["saliency"][10:20, 10:30].all()


def test_broken_images_stop_or_are_left_out(coco, tmp_path):
    (coco / "train" / "b.jpg").write_text("x")
    file = coco / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    content["images"].append({"id": 2, "file_name": "b.jpg", "height": 30, "width": 40})
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"Cannot read the image .*b\.jpg"):
        prepare_pixels(coco, "semantic", tmp_path / "made")
    made = prepare_pixels(coco, "semantic", tmp_path / "made", bad_annotations="skip")
    assert made == "1 images for training and 1 for validation, and 3 classes of pixels; 1 were left out."


def test_what_is_refused(coco, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for out, label, more, said in (
        ("full", "semantic", {}, "exists and is not empty: give the name of a new folder"),
        ("none/made", "semantic", {}, "There is no folder"),
        ("made", "semantic", {"classes": ("beee",)}, "did you mean 'bee'"),
        ("made", "saliency", {"min_share": 2}, "min share 2 is out of range"),
    ):
        with pytest.raises(InputError, match=said):
            prepare_pixels(coco, label, tmp_path / out, **more)
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
    with pytest.raises(InputError, match="is not a data set with objects"):
        prepare_pixels(tmp_path / "full", "semantic", tmp_path / "made")


@pytest.mark.slow
def test_real_masks_become_classes(real_data, tmp_path):
    made = prepare_pixels(real_data("penn_fudan"), "semantic", tmp_path / "made")
    assert made == "136 images for training and 34 for validation, and 2 classes of pixels."
    objects = open_objects(real_data("penn_fudan"), ("boxes", "masks"))[1]
    pixels = open_pixels(tmp_path / "made", "semantic")[1]
    for index in range(3):
        assert pixels.paths[index].endswith(objects.paths[index].rpartition("/")[2])
        assert np.array_equal(pixels[index][1]["semantic"], objects[index][1]["masks"].any(0))
