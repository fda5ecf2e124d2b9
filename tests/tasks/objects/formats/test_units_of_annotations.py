"""Coordinates in other units than the format's, other conventions of boxes, and images that EXIF turns."""

import json

import numpy as np
import pytest
from PIL import Image, ImageOps

from res2net.errors import InputError
from res2net.images.faults import AnnotationReport
from res2net.images.splits import DataSettings
from res2net.tasks.objects.data_tools import ObjectsPart
from res2net.tasks.objects.formats import OBJECT_FORMATS, ObjectImages, find_formats, open_objects

LEFT, TOP, WIDE, HIGH = 6, 10, 8, 4
"""A red rectangle in a grey image of 40 x 30 pixels, as stored."""


def read(root):
    (name,) = find_formats(root)
    report = AnnotationReport(root)
    return list(OBJECT_FORMATS[name].read(root, None, report, None).values()), report


def refused(root, message):
    for bad_annotations in ("stop", "skip"):
        with pytest.raises(InputError, match=message):
            open_objects(root, settings=DataSettings(bad_annotations=bad_annotations))
    _, report = read(root)
    assert report.counts["wrong units"] == 1


SHARES = [(0.1, 0.2, 0.5, 0.25), (0, 0, 1, 1), (0.25, 0.5, 0.125, 0.5)]


@pytest.mark.parametrize("boxes", [SHARES, SHARES[:2], [(0, 0, 1, 1)] * 3, [(12, 7, 0.5, 0.25)] * 3])
def test_shares_and_boxes_below_a_pixel_are_no_coco(content, write_coco, boxes):
    content["annotations"] = [
        {"id": index, "image_id": 7, "category_id": 3, "bbox": list(box)} for index, box in enumerate(boxes, 1)
    ]
    refused(write_coco(), r"none of \d boxes is larger than a pixel: check their units, which are pixels here")


def test_single_boxes_below_a_pixel_are_mentioned_and_boxes_of_a_pixel_are_not(content, write_coco):
    content["annotations"][0] |= {"bbox": [5, 5, 0.5, 0.5]}
    _, report = read(write_coco())
    assert report.total == 0
    assert report.remarks == [
        f"1 of 3 boxes in {write_coco() / 'annotations' / 'instances_default.json'} are not larger than a pixel."
    ]
    content["annotations"] = [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [5, 5, 1, 1]}]
    (found,), report = read(write_coco())
    assert (report.total, len(found.labels)) == (0, 1)


def test_keypoints_as_shares_are_refused(content, write_coco):
    content["annotations"] = [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [0, 0, 40, 30], "keypoints": [0.5, 0.25, 2, 1, 0, 1]}
    ]
    content["categories"] = [{"id": 3, "name": "bird", "keypoints": ["beak", "tail"], "skeleton": []}]
    root = write_coco("person_keypoints_all.json")
    report = AnnotationReport(root)
    OBJECT_FORMATS["coco_keypoints"].read(root, None, report, None)
    assert report.counts == {"wrong units": 1}


EDGES = [(20, 15, 38, 28), (1, 2, 12, 9), (22, 3, 39, 29)]


@pytest.mark.parametrize("with_area", [False, True])
@pytest.mark.parametrize("edges", [EDGES, [(10, 8, 30, 20)] * 2])
def test_edges_in_place_of_width_and_height_are_refused(content, write_coco, edges, with_area):
    area = [{"area": (right - left) * (bottom - top)} if with_area else {} for left, top, right, bottom in edges]
    content["annotations"] = [
        {"id": index, "image_id": 7, "category_id": 3, "bbox": list(box), **more}
        for index, (box, more) in enumerate(zip(edges, area, strict=True), 1)
    ]
    root = write_coco()
    if edges is EDGES or with_area:
        refused(root, "boxes fit their images as left, top, right and bottom edges")
    else:  # both readings lie within the image, and nothing else tells
        assert read(root)[1].total == 0


def test_edges_in_place_of_centres_are_refused_in_yolo(write_yolo):
    lines = [f"0 {x / 40} {y / 30} {right / 40} {bottom / 30}" for x, y, right, bottom in EDGES]
    refused(write_yolo({"images/a": lines, "images/b": lines[:1]}), "fit their images as left, top, right and bottom")


@pytest.mark.parametrize("first", [0, 1])
def test_boxes_of_voc_count_from_where_they_begin(write_voc, voc_xml, first):
    boxes = [(first, first, 9, 8), (5, 4, 40, 30)]
    root = write_voc({"train": {"a": voc_xml([("dog", box, False) for box in boxes])}})
    (found,), report = read(root)
    assert found.boxes.tolist() == [[0, 0, 9, 8], [5 - first, 4 - first, 40, 30]]
    assert [("count from 0" in remark) for remark in report.remarks] == [True] * (1 - first)


def shape_of(orientation):
    """The size of the upright image, and the box of the rectangle in it, by turning the pixels as Pillow does."""
    mask = np.zeros((30, 40), np.uint8)
    mask[TOP : TOP + HIGH, LEFT : LEFT + WIDE] = 255
    turned = Image.fromarray(mask)
    turned.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(turned))
    rows, columns = np.nonzero(upright.any(1))[0], np.nonzero(upright.any(0))[0]
    return upright.shape, (columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0])


@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_annotations_of_turned_images_fit_in_every_orientation(tmp_path, orientation, stored, ending):
    """An image with a quarter turn in the same set tells how those are annotated whose size does not change."""
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for number, turn in enumerate((orientation, 6)):
        pixels = np.full((30, 40, 3), 128, np.uint8)
        pixels[TOP : TOP + HIGH, LEFT : LEFT + WIDE] = (255, 0, 0)
        image = Image.fromarray(pixels)
        exif = image.getexif()
        exif[0x0112] = turn
        image.save(tmp_path / "images" / f"{number}.{ending}", quality=95, subsampling=0, exif=exif)
        (height, width), box = ((30, 40), (LEFT, TOP, WIDE, HIGH)) if stored else shape_of(turn)
        x, y, w, h = map(int, box)
        images.append({"id": number, "file_name": f"{number}.{ending}", "height": height, "width": width})
        segments = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        annotations.append(
            {"id": number + 1, "image_id": number, "category_id": 1, "bbox": [x, y, w, h], "segmentation": segments}
        )
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "red"}]}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    (found,), report = read(tmp_path)
    assert report.total == 0
    assert any("used as stored" in remark for remark in report.remarks) == stored
    samples = ObjectImages(found, ("boxes", "masks"))
    for index in range(2):
        image, target = samples[index]
        red = np.asarray(image).astype(int)
        is_red = (red[..., 0] > 200) & (red[..., 1] < 60)
        left, top, right, bottom = map(int, target["boxes"][0].tolist())
        assert is_red[top:bottom, left:right].mean() > 0.95
        assert is_red.sum() <= 1.05 * WIDE * HIGH
        assert (target["masks"][0].numpy() == is_red).mean() > 0.99
        undecoded, _ = samples.undecoded(index)
        assert undecoded.size == image.size


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_turned_images_whose_annotations_do_not_tell_are_mentioned(content, write_coco, orientation):
    root = write_coco()
    image = Image.open(root / "images" / "7.png")
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(root / "images" / "7.png", exif=exif)
    _, report = read(root)
    assert [remark.startswith("1 of 3 images") and "this is assumed" in remark for remark in report.remarks] == [True]


@pytest.mark.parametrize("smooth", [None, "resize", "noise"])
def test_masks_with_soft_edges_or_noise_are_refused(tmp_path, smooth):
    (tmp_path / "PedMasks").mkdir()
    (tmp_path / "Images").mkdir()
    mask = np.zeros((30, 40), np.uint8)
    mask[5:15, 4:14], mask[20:28, 20:36], mask[2:4, 30:32] = 60, 120, 180
    if smooth == "resize":
        mask = np.asarray(Image.fromarray(mask).resize((20, 15), Image.Resampling.BILINEAR).resize((40, 30)))
    if smooth == "noise":
        noise = np.random.default_rng(0).integers(0, 3, mask.shape)
        mask = np.clip(mask.astype(int) + noise, 0, 255).astype(np.uint8)
    Image.new("RGB", (40, 30)).save(tmp_path / "Images" / "a.png")
    Image.fromarray(mask).save(tmp_path / "PedMasks" / "a_mask.png")
    (found,), report = read(tmp_path)
    assert report.counts["bad mask"] == (smooth is not None)
    assert len(found.labels) == (3 if smooth is None else 0)


@pytest.mark.parametrize("soft", [False, True])
def test_panoptic_masks_with_soft_edges_are_found_by_the_check(write_panoptic, soft):
    root, _ = write_panoptic()
    file = root / "annotations" / "panoptic_val2017" / "a.png"
    if soft:
        mask = Image.open(file)
        mask.resize((20, 15), Image.Resampling.BILINEAR).resize((40, 30)).save(file)
    report = ObjectsPart(root, "coco_panoptic").report
    assert report.counts == ({"bad mask": 1} if soft else {})


@pytest.mark.parametrize("stored", [True, False])
def test_masks_of_turned_images_fit_turned_or_not(tmp_path, stored):
    (tmp_path / "PedMasks").mkdir()
    (tmp_path / "Images").mkdir()
    image = Image.new("RGB", (40, 30), "grey")
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "Images" / "a.jpg", exif=exif)
    mask = np.zeros((30, 40) if stored else (40, 30), np.uint8)
    mask[3:9, 4:14] = 1
    Image.fromarray(mask).save(tmp_path / "PedMasks" / "a_mask.png")
    (found,), report = read(tmp_path)
    assert report.total == 0
    picture, target = ObjectImages(found, ("boxes", "masks"))[0]
    assert target["boxes"].tolist() == [[4, 3, 14, 9]]
    assert target["masks"].shape == (1, picture.height, picture.width)
