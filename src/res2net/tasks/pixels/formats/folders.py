"""Folders of images and folders of label maps, as users and common data sets lay them out.

Semantic segmentation: ADE20K (http://sceneparsing.csail.mit.edu/) has `images/training` and `annotations/training`.
Saliency: DUTS has `DUTS-TR-Image` and `DUTS-TR-Mask`, ECSSD `images` and `ground_truth_mask`, HKU-IS `imgs` and `gt`,
SOD and MSRA-B photos and masks in one folder. Depth: `rgb` and `depth`, NYUv2 `rgb_x.jpg` and `sync_depth_x.png`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from res2net.errors import InputError
from res2net.files import subfolders, walk
from res2net.images.decode import EXTENSIONS
from res2net.images.faults import AnnotationReport
from res2net.images.text import read_json, read_lines
from res2net.tasks.pixels.formats.classes import find_class_file, found_classes, read_classes, with_greys
from res2net.tasks.pixels.formats.codings import Coding, DepthMaps, SemanticMaps, Turning, masks_of
from res2net.tasks.pixels.formats.images import Pair, PixelFiles

_SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "test", "testing")}
"""The names of the folders and lists of each split, in lower case."""

# All in lower case.
_IMAGES = ("images", "image", "imgs", "img", "rgb", "jpegimages", "pictures", "sync_rgb")
_IMAGE_ENDINGS = ("-image", "-images", "_image")
_MAPS = {
    "semantic": (
        *("masks", "mask", "annotations", "annotation", "labels", "label", "gt", "semantic", "segmentation"),
        *("segmentationclass", "segmentationclasspng"),
    ),
    "saliency": (
        *("masks", "mask", "gt", "gts", "ground_truth_mask", "groundtruth", "ground_truth", "saliency", "annotations"),
        *("annotation", "pixelwisegt-new-png"),
    ),
    "depth": ("depth", "depths", "depth_maps", "depth_map", "depth_gt", "sync_depth"),
}
_MAP_ENDINGS = {
    "semantic": ("-mask", "-masks", "_mask"),
    "saliency": ("-mask", "-masks", "_mask"),
    "depth": ("_depth",),
}
_DUTS = {"train": "-tr", "val": "-te"}

_MAP_EXTENSIONS = (*EXTENSIONS, ".npy")
"""Extensions of files that can hold labels, in lower case."""

_PARTNER_ENDINGS = ("", "_mask", "-mask", "_gt", "_label", "_labels", "_depth", "_segmentation", "_seg")
_STARTS = (("rgb_", "sync_depth_"), ("rgb_", "depth_"), ("rgb", "depth"), ("image", "mask"), ("image", "depth"))

Reader = Callable[[AnnotationReport], list[Pair]]
"""A function that pairs the images of a split with their maps, and reports files without a partner."""


def has_folders(path: Path, label: str) -> bool:
    """Whether a root has a folder of images and a folder of maps whose names suit that label."""
    return path.is_dir() and bool(_splits(path, label))


def unpaired(root: Path, label: str) -> tuple[Path, Path] | None:
    """Folders of images and of maps with the expected names of which no map has the name of an image, for a message."""
    if not root.is_dir():
        return None
    inside = _inside(root)
    bases = [root, *(inside[name] for names in _SPLITS.values() for name in names if name in inside)]
    pairs = (pair for base in bases for pair in _candidates(base, label))
    return next(
        ((images, maps) for images, maps in pairs if files_by_stem(images) and files_by_stem(maps, _MAP_EXTENSIONS)),
        None,
    )


def _splits(root: Path, label: str) -> dict[str, Reader]:
    """The reader of each split, or of "" for a data set without splits."""
    inside = _inside(root)
    found: dict[str, Reader] = {}
    for split, names in _SPLITS.items():
        folders = [inside[name] for name in names if name in inside]
        folders += [folder for name, folder in inside.items() if label == "saliency" and name.endswith(_DUTS[split])]
        readers = [reader for folder in folders if (reader := _reader(folder, label))]
        readers += [
            partial(pair_folders, within[0][name], within[1][name])
            for within in [[_inside(folder) for folder in pair] for pair in _candidates(root, label)]
            for name in names
            if all(name in folders for folders in within) and are_paired(within[0][name], within[1][name])
        ]
        if readers:
            found[split] = readers[0]
    if len(found) == 2:
        return found
    whole = next(iter(found.values()), None) or _reader(root, label)
    return {"": whole} if whole else {}


def _inside(folder: Path) -> dict[str, Path]:
    return {entry.name.lower(): entry for entry in subfolders(folder)}


def _candidates(base: Path, label: str) -> list[tuple[Path, Path]]:
    """Pairs of folders of images and of maps within a folder, by their names, most likely first."""
    inside = _inside(base)
    images = [inside[name] for name in _IMAGES if name in inside]
    images += [folder for name, folder in inside.items() if name.endswith(_IMAGE_ENDINGS)]
    maps = [inside[name] for name in _MAPS[label] if name in inside]
    maps += [folder for name, folder in inside.items() if name.endswith(_MAP_ENDINGS[label])]
    return [(image_folder, map_folder) for image_folder in images for map_folder in maps if image_folder != map_folder]


def _reader(base: Path, label: str) -> Reader | None:
    """The reader of the images and maps within a folder; None if there are none."""
    for images, maps in _candidates(base, label):
        if are_paired(images, maps):
            return partial(pair_folders, images, maps)
    if label == "saliency":
        for folder in (base, *(folder for name, folder in _inside(base).items() if name in _IMAGES)):
            if _side_by_side(folder):
                return partial(pair_side_by_side, folder)
    return None


def _side_by_side(folder: Path) -> bool:
    """Whether a folder contains a photo and a mask of the same name."""
    photos = [file for file in folder.iterdir() if file.suffix.lower() in (".jpg", ".jpeg")]
    return any(photo.with_suffix(".png").is_file() for photo in photos[:20])


def _pairs(root: Path, label: str, report: AnnotationReport) -> list[list[Pair]]:
    """The pairs of the training and validation split, from folders or lists such as `train.txt`, or of all images."""
    splits = _splits(root, label)
    if len(splits) == 2:
        return [splits[split](report) for split in _SPLITS]
    pairs = splits[""](report)
    lists = [[file for name in names if (file := root / f"{name}.txt").is_file()] for names in _SPLITS.values()]
    return [listed_pairs(files[0], pairs, report) for files in lists] if all(lists) else [pairs]


def maps_of(root: Path, label: str) -> list[str]:
    """The label maps of all images of a data set of folders, whatever is in them."""
    return [labels for split in _pairs(root, label, AnnotationReport(root)) for _, labels in split]


def read_semantic(root: Path, report: AnnotationReport) -> list[PixelFiles]:
    """Images with class maps; the names of the classes come from one of `CLASS_FILES`, or are their numbers.

    In ADE20K's folders (`images/training` and `annotations/training`) without such a file, 0 is unlabelled.
    """
    pairs = _pairs(root, "semantic", report)
    maps = [labels for split in pairs for _, labels in split]
    file = find_class_file(root)
    if file is None:
        ade = all((root / folder / "training").is_dir() for folder in ("images", "annotations"))
        classes = found_classes(maps, zero_is_unlabelled=ade)
    else:
        classes = with_greys(read_classes(file), maps)
    report.remark(classes.note)
    return _files(root, "semantic", classes.names, pairs, SemanticMaps(classes.index_of, classes.index_of_colour))


def read_saliency(root: Path, report: AnnotationReport) -> list[PixelFiles]:
    """Images with masks of salient objects."""
    pairs = _pairs(root, "saliency", report)
    masks = masks_of([labels for split in pairs for _, labels in split], report, "salient")
    return _files(root, "saliency", ("salient",), pairs, masks)


def read_depth(root: Path, report: AnnotationReport) -> list[PixelFiles]:
    """Images with depth maps.

    `depth.json` may contain the `scale`, the value that corresponds to one metre, and `"inverse": true` for maps of
    inverse depth.
    """
    return _files(root, "depth", ("depth",), _pairs(root, "depth", report), _depth_maps(root / "depth.json"))


def _depth_maps(file: Path) -> DepthMaps:
    if not file.is_file():
        return DepthMaps()
    content = read_json(file)
    scale, inverse = (
        (content.get("scale"), content.get("inverse", False)) if isinstance(content, dict) else (None, False)
    )
    if isinstance(scale, int | float) and not isinstance(scale, bool) and math.isfinite(scale) and scale > 0:
        if not isinstance(inverse, bool):
            raise InputError(f"{file} has the inverse {inverse!r}: write true for maps of inverse depth, else false.")
        return DepthMaps(float(scale), inverse=inverse)
    raise InputError(f'{file} has no scale above 0: write {{"scale": 1000}} where 1000 in a map is a metre.')


def _files(
    root: Path, label: str, names: Sequence[str], splits: Sequence[Sequence[Pair]], coding: Coding
) -> list[PixelFiles]:
    turning = Turning()
    return [
        PixelFiles(f"{root} {split}".strip(), label, names, pairs, coding, turning)
        for split, pairs in zip(("train", "val") if len(splits) == 2 else ("",), splits, strict=True)
    ]


def files_by_stem(folder: Path, endings: Sequence[str] = EXTENSIONS) -> dict[str, str]:
    """The files below a folder by relative path without extension; hidden files and duplicate stems are ignored."""
    found: dict[str, str] = {}
    for path in walk(folder):
        if path.lower().endswith(tuple(endings)):
            found.setdefault(Path(path).relative_to(folder).with_suffix("").as_posix(), path)
    return found


def are_paired(images: Path, maps: Path) -> bool:
    """Whether at least one image of the first folder has a map in the second."""
    labels = files_by_stem(maps, _MAP_EXTENSIONS)
    return bool(labels) and any(name in labels for stem in files_by_stem(images) for name in partners(stem))


def pair_folders(image_folder: Path, maps: Path, report: AnnotationReport) -> list[Pair]:
    """Pair the images and maps of two folders by their names; files without a partner are added to the report.

    The map of an image `x` may be called `x`, `x_mask` (`_gt`, `_label`, `_depth`, ...), or `depth_x` for `rgb_x`.
    """
    labels = files_by_stem(maps, _MAP_EXTENSIONS)
    pairs: list[Pair] = []
    taken: set[str] = set()
    for stem, path in files_by_stem(image_folder).items():
        partner = next((name for name in partners(stem) if name in labels), None)
        if partner is None:
            report.add("missing mask file", path, f"there is no {stem} in {maps}")
        else:
            pairs.append((path, labels[partner]))
            taken.add(partner)
    for stem, path in labels.items():
        if stem not in taken:
            report.add("missing image", path, f"there is no image {stem} in {image_folder}")
    return pairs


def partners(stem: str) -> Iterable[str]:
    """Yield the possible names of the map of an image."""
    yield from (stem + ending for ending in _PARTNER_ENDINGS)
    path = PurePosixPath(stem)
    for start, other in _STARTS:
        if path.name.startswith(start):
            yield str(path.with_name(other + path.name.removeprefix(start)))


def pair_side_by_side(folder: Path, report: AnnotationReport) -> list[Pair]:
    """Pair the files of a folder in which `x.png` is the mask of the photo `x.jpg`."""
    photos, masks = files_by_stem(folder, (".jpg", ".jpeg")), files_by_stem(folder, (".png", ".bmp"))
    for stem in sorted(photos.keys() - masks.keys()):
        report.add("missing mask file", photos[stem], f"there is no {stem}.png beside it")
    for stem in sorted(masks.keys() - photos.keys()):
        report.add("missing image", masks[stem], f"there is no {stem}.jpg beside it")
    return [(path, masks[stem]) for stem, path in photos.items() if stem in masks]


def read_list(file: Path) -> list[str]:
    """Read a list of images: the first word of each line, without folder and extension."""
    names = [PurePosixPath(line.split()[0].replace("\\", "/")).name for line in read_lines(file) if line]
    # Dots that do not begin the extension of an image are part of the name.
    return list(dict.fromkeys(name.rpartition(".")[0] if name.lower().endswith(EXTENSIONS) else name for name in names))


def listed_pairs(file: Path, pairs: Sequence[Pair], report: AnnotationReport) -> list[Pair]:
    """The pairs whose images are in a list, in the order of the list."""
    by_stem = {Path(path).stem: (path, labels) for path, labels in pairs}
    found = []
    for stem in read_list(file):
        if stem in by_stem:
            found.append(by_stem[stem])
        else:
            report.add("missing image", file, f"there is no image {stem!r} with labels")
    return found
