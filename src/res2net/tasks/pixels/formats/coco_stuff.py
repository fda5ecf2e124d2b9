"""COCO stuff: maps of 80 thing classes and 91 stuff classes for COCO's images, `stuffthingmaps/train2017/x.png`.

The data set: https://github.com/nightrome/cocostuff (Caesar et al., 2018). The value of a pixel is the id of its
category minus one, so 0 is person and 181 wood; 255 is unlabelled. Eleven ids of COCO are unused, which leaves 171
classes.
"""

from __future__ import annotations

from pathlib import Path

from res2net.images.faults import AnnotationReport
from res2net.tasks.pixels.formats.classes import numbered
from res2net.tasks.pixels.formats.images import PixelFiles
from res2net.tasks.pixels.formats.pairs import pair_folders

__all__ = ["STUFF", "has_coco_stuff", "read_coco_stuff"]

STUFF = (
    *("banner", "blanket", "branch", "bridge", "building-other", "bush", "cabinet", "cage", "cardboard", "carpet"),
    *("ceiling-other", "ceiling-tile", "cloth", "clothes", "clouds", "counter", "cupboard", "curtain", "desk-stuff"),
    *("dirt", "door-stuff", "fence", "floor-marble", "floor-other", "floor-stone", "floor-tile", "floor-wood"),
    *("flower", "fog", "food-other", "fruit", "furniture-other", "grass", "gravel", "ground-other", "hill", "house"),
    *("leaves", "light", "mat", "metal", "mirror-stuff", "moss", "mountain", "mud", "napkin", "net", "paper"),
    *("pavement", "pillow", "plant-other", "plastic", "platform", "playingfield", "railing", "railroad", "river"),
    *("road", "rock", "roof", "rug", "salad", "sand", "sea", "shelf", "sky-other", "skyscraper", "snow"),
    *("solid-other", "stairs", "stone", "straw", "structural-other", "table", "tent", "textile-other", "towel"),
    *("tree", "vegetable", "wall-brick", "wall-concrete", "wall-other", "wall-panel", "wall-stone", "wall-tile"),
    *("wall-wood", "water-other", "waterdrops", "window-blind", "window-other", "wood"),
)
"""The names of the ids 92 to 182."""

_FIRST_STUFF = 92


def has_coco_stuff(path: Path) -> bool:
    """Whether a path is a COCO root with maps of stuff and things."""
    return bool(_folders(path, "train")) and bool(_folders(path, "val"))


def _folders(path: Path, split: str) -> list[tuple[Path, Path]]:
    """The folders of images and maps of a split, for any year."""
    return [
        (images, maps)
        for maps in sorted((path / "stuffthingmaps").glob(f"{split}[0-9]*"))
        for images in (path / maps.name, path / "images" / maps.name)
        if images.is_dir() and maps.is_dir()
    ]


def read_coco_stuff(path: Path, report: AnnotationReport) -> list[PixelFiles]:
    """The training and validation split, with 171 classes."""
    # Imported here because it is slow, and most data sets do not need it.
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    things = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]  # by id from 0; unused ids are "N/A"
    names = dict(enumerate(things[1:])) | {_FIRST_STUFF - 1 + index: name for index, name in enumerate(STUFF)}
    classes = numbered({number: name for number, name in names.items() if name != "N/A"})
    splits = []
    for split in ("train", "val"):
        pairs = pair_folders(*_folders(path, split)[0], report)
        images, maps = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        splits.append(PixelFiles(f"{path} {split}", "semantic", classes.names, images, maps, classes.coding()))
    return splits
