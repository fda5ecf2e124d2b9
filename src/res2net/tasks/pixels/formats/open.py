"""Open data sets with a label for each pixel, in any supported format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from res2net.errors import InputError, check_choice
from res2net.images.decode import BadImage
from res2net.images.faults import BAD_ANNOTATIONS, AnnotationReport
from res2net.images.sources import DataSettings, DataSource
from res2net.images.splits import hashed_split
from res2net.registry import Registry
from res2net.tasks.objects.formats.masks import read_ids
from res2net.tasks.pixels.formats.cityscapes import has_cityscapes, read_cityscapes
from res2net.tasks.pixels.formats.classes import find_class_file
from res2net.tasks.pixels.formats.coco_stuff import has_coco_stuff, read_coco_stuff
from res2net.tasks.pixels.formats.folders import has_folders, read_depth, read_saliency, read_semantic, unpaired
from res2net.tasks.pixels.formats.images import LABELS, PixelFiles, PixelImages
from res2net.tasks.pixels.formats.survey import PixelSurvey, good_images
from res2net.tasks.pixels.formats.voc import has_voc_segmentation, read_voc_segmentation

__all__ = ["PIXEL_FORMATS", "PixelFormat", "find_pixel_formats", "likely_pixel_formats", "open_pixels"]
__all__ += ["read_pixel_splits", "read_pixels"]

LOOKED_INTO = 2000
"""Maximum number of label maps per split whose pixels are checked before a run, spread evenly over the data set."""

_FOLDERS = {"semantic": "images and masks", "saliency": "images and masks", "depth": "images and depth"}
_EMPTY = {
    "semantic": "There is not one labelled pixel in the maps of {}: 255 is unlabelled, and classes have other numbers.",
    "saliency": "There is not one salient pixel in the masks of {}: what is salient is white, or 1 in masks of "
    "0 and 1.",
    "depth": "There is not one known distance in the maps of {}: numbers above 0 are known.",
}


@dataclass(frozen=True)
class PixelFormat:
    """A format of data sets with a label for each pixel.

    Args:
        about: its readable name.
        label: the label it has, one of `LABELS`.
        find: a function that decides whether a path is a data set in this format, by names rather than contents.
        read: a function that lists the files of the training and validation split, or of a single split, and adds
            faults to the report.
    """

    about: str
    label: str
    find: Callable[[Path], bool]
    read: Callable[[Path, AnnotationReport], list[PixelFiles]]


PIXEL_FORMATS: Registry[PixelFormat] = Registry("Format of label maps")
"""All formats by name, in the order in which to try them."""

PIXEL_FORMATS.add(
    "voc_segmentation",
    PixelFormat("PASCAL VOC segmentation", "semantic", has_voc_segmentation, read_voc_segmentation),
)
PIXEL_FORMATS.add("coco_stuff", PixelFormat("COCO stuff", "semantic", has_coco_stuff, read_coco_stuff))
PIXEL_FORMATS.add("cityscapes", PixelFormat("Cityscapes", "semantic", has_cityscapes, read_cityscapes))
for _label, _about, _read in (
    ("semantic", "folders of images and label maps", read_semantic),
    ("saliency", "images and masks of what is salient", read_saliency),
    ("depth", "images and depth", read_depth),
):
    PIXEL_FORMATS.add(f"{_label}_folders", PixelFormat(_about, _label, partial(has_folders, label=_label), _read))


def find_pixel_formats(path: str | Path) -> list[str]:
    """The names of the formats that a path may have: masks can be read as class maps and as saliency masks."""
    path = Path(path)
    return [name for name, known in PIXEL_FORMATS.items() if path.exists() and known.find(path)]


def likely_pixel_formats(path: str | Path) -> list[str]:
    """As `find_pixel_formats`, but decides whether masks are class maps or saliency masks.

    They are class maps if there is a file that lists the classes, or if one of up to 20 masks is not black and white.
    """
    found, path = find_pixel_formats(path), Path(path)
    if not {"semantic_folders", "saliency_folders"} <= set(found):
        return found
    splits = PIXEL_FORMATS["saliency_folders"].read(path, AnnotationReport(path))
    maps = [files.maps[index] for files in splits for index in spread(len(files.maps), 20)]
    are_class_maps = find_class_file(path) is not None or any(map(_has_classes, maps))
    found.remove("saliency_folders" if are_class_maps else "semantic_folders")
    return found


def _has_classes(path: str) -> bool:
    try:
        numbers = set(np.unique(read_ids(path, rgb=False)).tolist())
    except BadImage:
        return False
    return not (numbers <= {0, 1} or numbers <= {0, 255})


def read_pixels(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read a data set with a label for each pixel for `open_source`; see `open_pixels`."""
    if len(labels) > 1:
        raise InputError(f"A data set of files has one label for each pixel, not {' and '.join(labels)}: name one.")
    train, val = open_pixels(
        path,
        labels[0],
        val_fraction=settings.val_fraction,
        seed=settings.seed,
        bad_annotations=settings.bad_annotations,
        bad_images=settings.bad_images,
    )
    return DataSource(path.absolute().name, train, val, train.class_names)


def open_pixels(
    path: str | Path,
    label: str,
    *,
    val_fraction: float = 0.2,
    seed: int = 0,
    bad_annotations: str = "stop",
    bad_images: str = "stop",
) -> tuple[PixelImages, PixelImages]:
    """Open the training and validation images of a data set with a label for each pixel, in one of `PIXEL_FORMATS`.

    All files are checked for a partner and a valid header, and the pixels of up to `LOOKED_INTO` maps of each split are
    checked; `res2net data check` checks all.

    Args:
        path: a folder.
        label: one of `LABELS`.
        val_fraction: share of the validation images if the data set has no split.
        seed: seed of that split.
        bad_annotations: "stop" raises `InputError` if there are faults, "skip" leaves those images out.
        bad_images: "stop" treats an unreadable image as a fault; "skip" keeps it, so that it is skipped and reported
            when it is read.

    Raises:
        InputError: there is no such data set, or it has faults.
    """
    check_choice("Label", label, LABELS)
    check_choice("Treatment of bad annotations", bad_annotations, BAD_ANNOTATIONS)
    if not 0 < val_fraction < 1:
        raise InputError(f"The validation fraction {val_fraction!r} is out of range: give a number between 0 and 1.")
    report = AnnotationReport(path)
    checked = []
    for files in read_pixel_splits(path, _choose(path, label), report):
        survey, indices = PixelSurvey(), spread(len(files.paths), LOOKED_INTO)
        good = good_images(files, report, survey, indices, keep_unreadable=bad_images == "skip")
        checked.append((PixelImages(files, good), survey))
    report.settle(bad_annotations)
    for images, survey in checked:
        _check_usable(images, survey)
    if len(checked) == 2:
        return checked[0][0], checked[1][0]
    return _split(checked[0][0], Path(path), val_fraction, seed)


def read_pixel_splits(path: str | Path, format_name: str, report: AnnotationReport) -> list[PixelFiles]:
    """Read the training and validation split of a data set in a format, or its only split; faults go to the report.

    Images that are in both splits are removed from the training split.

    Raises:
        InputError: the data set cannot be read at all.
    """
    splits = PIXEL_FORMATS[format_name].read(Path(path), report)
    if len(splits) == 1:
        return splits
    train, val = splits
    both = set(train.paths) & set(val.paths)
    for image in sorted(both):
        report.add("image of both splits", image, "it is among the images of the training and of the validation")
    kept = [index for index, image in enumerate(train.paths) if image not in both]
    return [
        replace(train, paths=[train.paths[index] for index in kept], maps=[train.maps[index] for index in kept]),
        val,
    ]


def spread(count: int, most: int) -> list[int]:
    """At most `most` evenly spaced indices below `count`."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist() if count else []


def _choose(path: str | Path, label: str) -> str:
    if not Path(path).exists():
        raise InputError(f"There is no file or folder {str(path)!r}: give the path of a data set.")
    found = [name for name in find_pixel_formats(path) if PIXEL_FORMATS[name].label == label]
    if not found:
        known = ", ".join(one.about for one in PIXEL_FORMATS.values() if one.label == label)
        folders = unpaired(Path(path), label)
        if folders is not None:
            raise InputError(
                f"No image in {folders[0]} has a map in {folders[1]}: the map of x.jpg is called x.png or x_mask.png."
            )
        raise InputError(
            f"{path} is no data set with the label {label} for each pixel: give one in a known format ({known}; the "
            f"folders are such as {_FOLDERS[label]}), or make one out of a data set with masks of objects with "
            "`res2net data prepare`."
        )
    return found[0]


def _check_usable(images: PixelImages, survey: PixelSurvey) -> None:
    name = images.files.name
    if not len(images):
        raise InputError(f"No image with labels that can be used is left in {name}: see `res2net data check`.")
    if images.label == "semantic" and len(images.class_names) < 2:
        raise InputError(
            f"The maps of {name} have one class only: masks of 0 and 255 are of the label saliency, and 255 is "
            "unlabelled."
        )
    if survey.read and not survey.classes[int(images.label == "saliency") :].any():
        raise InputError(_EMPTY[images.label].format(name))


def _split(images: PixelImages, root: Path, val_fraction: float, seed: int) -> tuple[PixelImages, PixelImages]:
    """Split images into training and validation, by the seed and the relative path of each image."""
    if len(images) < 2:
        raise InputError(
            f"The data set {root} has {len(images)} image, and a split needs two: add images, or make train and val."
        )
    keys = [Path(path).relative_to(root).as_posix() for path in images.paths]
    train, val = hashed_split(keys, val_fraction, seed)
    return images.subset(train), images.subset(val)
