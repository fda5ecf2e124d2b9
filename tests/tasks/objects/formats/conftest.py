"""Tiny data sets of every format, written by the tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WIDTH, HEIGHT = 40, 30


def image(path, size=(WIDTH, HEIGHT)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "grey").save(path)
    return path


def annotation(number, image_id, category, box, **more):
    x, y, w, h = box
    polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category,
        "bbox": list(box),
        "area": w * h,
        "iscrowd": 0,
        "segmentation": [polygon],
        **more,
    }


@pytest.fixture
def content():
    """Of a COCO file: three images, of which the last is empty; categories with gaps, not in order."""
    return {
        "images": [
            {"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH} for number in (7, 9, 12)
        ],
        "annotations": [
            annotation(1, 9, 50, (4, 5, 10.25, 12.5)),
            annotation(2, 7, 3, (0, 0, 20, 10)),
            annotation(
                3, 9, 3, (0, 0, 40, 3), iscrowd=1, area=100, segmentation={"size": [30, 40], "counts": [0, 100, 1100]}
            ),
        ],
        "categories": [{"id": 50, "name": "zebra"}, {"id": 3, "name": "ant"}],
    }


@pytest.fixture
def write_coco(tmp_path, content):
    """A function that writes `content`, which a test may have changed, into a COCO root."""

    def write(name="instances_default.json", root="coco", images="images"):
        folder = tmp_path / root
        (folder / "annotations").mkdir(parents=True, exist_ok=True)
        (folder / "annotations" / name).write_text(json.dumps(content))
        for number in (7, 9, 12):
            image(folder / images / f"{number}.png")
        return folder

    return write


@pytest.fixture
def coco(write_coco):
    """A COCO root that is not split."""
    return write_coco()


@pytest.fixture
def write_panoptic(tmp_path):
    """A function that writes a panoptic root: two things, one of them a crowd, and sky above grass."""

    def write(change=None):
        root = tmp_path / "panoptic"
        ids = np.zeros((HEIGHT, WIDTH), dtype=np.int64)
        ids[:10], ids[20:] = 70_000, 300
        ids[12:18, 5:9], ids[12:18, 20:39] = 5, 2**24 - 1
        rgb = np.stack([ids % 256, ids // 256 % 256, ids // 256**2], axis=-1).astype(np.uint8)
        segments = [
            {"id": 70_000, "category_id": 187, "bbox": [0, 0, 40, 10], "area": 400, "iscrowd": 0},
            {"id": 5, "category_id": 9, "bbox": [5, 12, 4, 6], "area": 24, "iscrowd": 0},
            {"id": 300, "category_id": 94, "bbox": [0, 20, 40, 10], "area": 400, "iscrowd": 0},
            {"id": 2**24 - 1, "category_id": 2, "bbox": [20, 12, 19, 6], "area": 114, "iscrowd": 1},
        ]
        content = {
            "images": [{"id": 4, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH}],
            "annotations": [{"image_id": 4, "file_name": "a.png", "segments_info": segments}],
            "categories": [
                {"id": 187, "name": "sky", "isthing": 0},
                {"id": 9, "name": "boat", "isthing": 1},
                {"id": 94, "name": "grass", "isthing": 0},
                {"id": 2, "name": "bicycle", "isthing": 1},
            ],
        }
        if change:
            change(content)
        for split in ("train2017", "val2017"):
            folder = root / "annotations" / f"panoptic_{split}"
            folder.mkdir(parents=True, exist_ok=True)
            folder.with_suffix(".json").write_text(json.dumps(content))
            Image.fromarray(rgb).save(folder / "a.png")
            image(root / split / "a.jpg")
        return root, ids

    return write


@pytest.fixture
def voc_xml():
    """A function that gives the XML of an image: names, boxes from 1, and whether they are difficult."""
    return write_xml


def write_xml(objects, size=(WIDTH, HEIGHT)):
    things = "".join(
        f"<object><name>{name}</name><difficult>{int(difficult)}</difficult><bndbox><xmin>{box[0]}</xmin>"
        f"<ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox>"
        "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
        for name, box, difficult in objects
    )
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{things}</annotation>"


@pytest.fixture
def write_voc(tmp_path):
    """A function that writes a year of VOC: for each split, names of images and their XML."""

    def write(splits, year="VOC2007", root="VOCdevkit"):
        folder = tmp_path / root / year
        (folder / "Annotations").mkdir(parents=True, exist_ok=True)
        (folder / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        for split, files in splits.items():
            (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in files))
            for name, content in files.items():
                (folder / "Annotations" / f"{name}.xml").write_text(content)
                image(folder / "JPEGImages" / f"{name}.jpg")
        return folder.parent

    return write


@pytest.fixture
def write_yolo(tmp_path):
    """A function that writes images and labels: path below the root, without ending, to the lines of its labels."""

    def write(files, root="yolo", more=None):
        folder = tmp_path / root
        for name, lines in files.items():
            path = image(folder / f"{name}.png")
            label = Path(*("labels" if part == "images" else part for part in path.parts)).with_suffix(".txt")
            label.parent.mkdir(parents=True, exist_ok=True)
            if lines is not None:
                label.write_text("\n".join(lines))
        for name, text in (more or {}).items():
            (folder / name).write_text(text)
        return folder

    return write
