"""Cityscapes: `leftImg8bit/train/CITY/x_leftImg8bit.png` and `gtFine/train/CITY/x_gtFine_labelIds.png`.

The evaluated classes and their numbers are those of https://github.com/mcordts/cityscapesScripts (`helpers/labels.py`);
all others are unlabelled.
"""

from __future__ import annotations

from pathlib import Path

from res2net.images.faults import AnnotationReport
from res2net.tasks.pixels.formats.classes import numbered
from res2net.tasks.pixels.formats.images import PixelFiles
from res2net.tasks.pixels.formats.pairs import files_by_stem

__all__ = ["CITYSCAPES_CLASSES", "has_cityscapes", "read_cityscapes"]

CITYSCAPES_CLASSES = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
"""The evaluated classes by their numbers in `labelIds` files, which go up to 33."""

_IMAGES, _MAPS = "leftImg8bit", "gtFine"
_HIGHEST = 33


def has_cityscapes(path: Path) -> bool:
    """Whether a path is a Cityscapes root."""
    return all((path / folder / split).is_dir() for folder in (_IMAGES, _MAPS) for split in ("train", "val"))


def read_cityscapes(path: Path, report: AnnotationReport) -> list[PixelFiles]:
    """The training and validation split, with the 19 evaluated classes."""
    classes = numbered(CITYSCAPES_CLASSES, set(range(_HIGHEST + 1)) - CITYSCAPES_CLASSES.keys())
    splits = []
    for split in ("train", "val"):
        image_files, map_files = files_by_stem(path / _IMAGES / split), files_by_stem(path / _MAPS / split, (".png",))
        pairs = []
        for stem, image in image_files.items():
            name = stem.removesuffix(f"_{_IMAGES}") + f"_{_MAPS}_labelIds"
            if name in map_files:
                pairs.append((image, map_files[name]))
            else:
                report.add("missing mask file", image, f"there is no {name}.png in {path / _MAPS / split}")
        images, maps = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        splits.append(PixelFiles(f"{path} {split}", "semantic", classes.names, images, maps, classes.coding()))
    return splits
