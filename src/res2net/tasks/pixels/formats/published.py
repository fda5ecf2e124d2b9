"""Published data sets with a class for each pixel: PASCAL VOC, COCO stuff and Cityscapes."""

from __future__ import annotations

from pathlib import Path

from res2net.files import subfolders
from res2net.images.faults import AnnotationReport
from res2net.images.splits import role_of
from res2net.tasks.objects.formats.voc import VOC_CLASSES
from res2net.tasks.pixels.formats.classes import find_class_file, numbered, read_classes
from res2net.tasks.pixels.formats.folders import files_by_stem, pair_folders, read_list
from res2net.tasks.pixels.formats.images import Pair, PixelFiles

_VOC_MAPS = ("SegmentationClass", "SegmentationClassAug")
_VOC_AUGMENTED = ("trainaug", "train_aug")

_CITYSCAPES = {
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
"""The evaluated classes by their numbers in `labelIds` files, which go up to 33 (`helpers/labels.py` in
https://github.com/mcordts/cityscapesScripts)."""

_STUFF = (
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
"""The names of COCO's ids 92 to 182."""
_FIRST_STUFF = 92


def has_voc_segmentation(path: Path) -> bool:
    """Whether a path is a PASCAL VOC root with class maps and lists of their images."""
    return bool(_voc_years(path))


def read_voc_segmentation(path: Path) -> dict[str, PixelFiles]:
    """Read PASCAL VOC: a split for each list; "train" is `trainaug`, if it exists with `SegmentationClassAug`.

    Published results train on the 10,582 images of VOC 2012 and of the Semantic Boundaries Dataset (Hariharan et al.,
    2011), listed in `trainaug.txt`. If there are several years, the last is used, since it includes the images of the
    others. Other classes than those of VOC are listed in one of `CLASS_FILES`. The format:
    http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/
    """
    year = _voc_years(path)[-1]
    augmented = next((file for name in _VOC_AUGMENTED if (file := _voc_list(year, name))), None)
    if not (year / "SegmentationClassAug").is_dir():
        augmented = None
    images = files_by_stem(year / "JPEGImages")
    plain, more = (files_by_stem(year / name, (".png",)) if (year / name).is_dir() else {} for name in _VOC_MAPS)
    file = find_class_file(year) or find_class_file(path)
    classes = read_classes(file) if file else numbered(dict(enumerate(("background", *VOC_CLASSES))))
    lists = {file.stem: file for file in sorted((year / "ImageSets" / "Segmentation").glob("*.txt"))}
    if augmented:
        lists["train"] = augmented
    splits = {}
    for name, file in lists.items():
        report = AnnotationReport(path)
        maps = plain | more if (augmented and role_of(name) == "train") or file == augmented else more | plain
        pairs: list[Pair] = []
        for stem in read_list(file):
            if stem not in images:
                report.add("missing image", file, f"there is no image {stem!r} in {year / 'JPEGImages'}")
            elif stem not in maps:
                report.add("missing mask file", file, f"there is no {stem}.png in {year / _VOC_MAPS[0]}")
            else:
                pairs.append((images[stem], maps[stem]))
        splits[name] = classes.files(str(file), pairs, report)
    return splits


def _voc_years(path: Path) -> list[Path]:
    inside = [path, path / "VOCdevkit"]
    inside += [folder for base in inside if base.is_dir() for folder in sorted(base.glob("VOC[0-9]*"))]
    return [
        folder
        for folder in inside
        if (folder / "JPEGImages").is_dir()
        and any((folder / name).is_dir() for name in _VOC_MAPS)
        and (_voc_list(folder, "train") or _voc_list(folder, _VOC_AUGMENTED[0]))
    ]


def _voc_list(year: Path, split: str) -> Path | None:
    file = year / "ImageSets" / "Segmentation" / f"{split}.txt"
    return file if file.is_file() else None


def has_coco_stuff(path: Path) -> bool:
    """Whether a path is a COCO root with maps of stuff and things."""
    return bool(_coco_folders(path))


def read_coco_stuff(path: Path) -> dict[str, PixelFiles]:
    """Read COCO stuff: maps of 80 thing and 91 stuff classes for COCO's images, `stuffthingmaps/train2017/x.png`.

    The value of a pixel is the id of its category minus one, so 0 is person and 181 wood; 255 is unlabelled. Eleven ids
    of COCO are unused, which leaves 171 classes. The data set: https://github.com/nightrome/cocostuff (Caesar et al.,
    2018)
    """
    # Imported here because it is slow, and most data sets do not need it.
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    things = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]  # by id from 0; unused ids are "N/A"
    names = dict(enumerate(things[1:])) | {_FIRST_STUFF - 1 + index: name for index, name in enumerate(_STUFF)}
    classes = numbered({number: name for number, name in names.items() if name != "N/A"})
    splits = {}
    for name, (images, maps) in _coco_folders(path).items():
        report = AnnotationReport(path)
        splits[name] = classes.files(f"{path} {name}", pair_folders(images, maps, report), report)
    return splits


def _coco_folders(path: Path) -> dict[str, tuple[Path, Path]]:
    """The folders of images and maps of each split, such as "train2017"."""
    return {
        maps.name: (images, maps)
        for maps in sorted((path / "stuffthingmaps").glob("*"))
        for images in (path / "images" / maps.name, path / maps.name)
        if images.is_dir() and maps.is_dir()
    }


def has_cityscapes(path: Path) -> bool:
    """Whether a path is a Cityscapes root."""
    return bool(_city_splits(path))


def _city_splits(path: Path) -> list[str]:
    folders = [path / folder for folder in ("leftImg8bit", "gtFine")]
    if not all(folder.is_dir() for folder in folders):
        return []
    images, maps = ({folder.name for folder in subfolders(one)} for one in folders)
    return sorted(images & maps)


def read_cityscapes(path: Path) -> dict[str, PixelFiles]:
    """Read Cityscapes: `leftImg8bit/train/CITY/x_leftImg8bit.png` and `gtFine/train/CITY/x_gtFine_labelIds.png`.

    All but the 19 evaluated classes are unlabelled.
    """
    classes = numbered(_CITYSCAPES, set(range(max(_CITYSCAPES) + 1)) - _CITYSCAPES.keys())
    splits = {}
    for split in _city_splits(path):
        report = AnnotationReport(path)
        folder = path / "gtFine" / split
        maps = files_by_stem(folder, (".png",))
        pairs: list[Pair] = []
        for stem, image in files_by_stem(path / "leftImg8bit" / split).items():
            name = f"{stem.removesuffix('_leftImg8bit')}_gtFine_labelIds"
            if name in maps:
                pairs.append((image, maps[name]))
            else:
                report.add("missing mask file", image, f"there is no {name}.png in {folder}")
        splits[split] = classes.files(f"{path} {split}", pairs, report)
    return splits


PUBLISHED = (
    ("voc_segmentation", "PASCAL VOC segmentation", has_voc_segmentation, read_voc_segmentation),
    ("coco_stuff", "COCO stuff", has_coco_stuff, read_coco_stuff),
    ("cityscapes", "Cityscapes", has_cityscapes, read_cityscapes),
)
"""The name, the readable name, and the functions of each format that recognise a folder and read it."""
