"""Open data sets with a label for each pixel, in any supported format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from res2net.errors import InputError, listed
from res2net.images.decode import BadImage
from res2net.images.faults import AnnotationReport
from res2net.images.samples import evenly_spaced
from res2net.images.sources import DataSource
from res2net.images.splits import DataSettings, choose_splits, hashed_split
from res2net.registry import Registry
from res2net.tasks.pixels.formats.classes import find_class_file
from res2net.tasks.pixels.formats.codings import DepthMaps
from res2net.tasks.pixels.formats.folders import (
    has_folders,
    maps_of,
    read_depth,
    read_saliency,
    read_semantic,
    unpaired,
)
from res2net.tasks.pixels.formats.images import PixelFiles, PixelImages, PixelSurvey, good_images
from res2net.tasks.pixels.formats.published import PUBLISHED
from res2net.tasks.pixels.formats.rasters import distinct, has_soft_edges, read_raster

SURVEYED = 2000
"""Maximum number of label maps per split whose pixels are checked before a run, spread evenly over the data set."""

SHORTEST_MEAN, LONGEST_MEAN = 0.1, 1000.0
"""Mean distances in metres outside of which the unit of depth maps is not the assumed one."""

_FOLDERS = {"semantic": "images and masks", "saliency": "images and masks", "depth": "images and depth"}
_EMPTY = {
    "semantic": "There is not one labelled pixel in the maps of {}: 255 is unlabelled, and classes have other numbers.",
    "saliency": "There is not one salient pixel in the masks of {}: what is salient is white, or 1 in masks of "
    "0 and 1.",
    "depth": "There is not one known distance in the maps of {}: numbers above 0 are known.",
}


@dataclass(frozen=True)
class PixelFormat:
    """A format of data sets with a label for each pixel."""

    about: str
    """Its readable name."""
    label: str
    """The label it has, as in `PixelFiles`."""
    find: Callable[[Path], bool]
    """Whether a path is a data set in this format, decided by names rather than contents."""
    read: Callable[[Path], dict[str, PixelFiles]]
    """Lists the files of each split, or of `WHOLE`."""


PIXEL_FORMATS: Registry[PixelFormat] = Registry("Format of label maps")
"""All formats by name, in the order in which to try them."""

for _name, _about, _find, _read in PUBLISHED:
    PIXEL_FORMATS.add(_name, PixelFormat(_about, "semantic", _find, _read))
for _label, _about, _reader in (
    ("semantic", "folders of images and label maps", read_semantic),
    ("saliency", "images and masks of what is salient", read_saliency),
    ("depth", "images and depth", read_depth),
):
    PIXEL_FORMATS.add(f"{_label}_folders", PixelFormat(_about, _label, partial(has_folders, label=_label), _reader))


def find_pixel_formats(path: Path) -> list[str]:
    """The names of the formats that a path may have: masks can be read as class maps and as saliency masks."""
    return [name for name, known in PIXEL_FORMATS.items() if known.find(path)]


def likely_pixel_formats(path: Path) -> list[str]:
    """As `find_pixel_formats`, but decides whether masks are class maps or saliency masks.

    They are class maps if there is a file that lists the classes, or if one of up to 20 masks is not black and white.
    """
    found = find_pixel_formats(path)
    if not {"semantic_folders", "saliency_folders"} <= set(found):
        return found
    masks = maps_of(path, "saliency")
    maps = [masks[index] for index in evenly_spaced(len(masks), 20)]
    are_class_maps = find_class_file(path) is not None or any(map(_has_classes, maps))
    found.remove("saliency_folders" if are_class_maps else "semantic_folders")
    return found


def _has_classes(path: str) -> bool:
    try:
        raster = read_raster(path)
    except BadImage:
        return False
    if raster.alpha is not None:
        return False
    if raster.numbers is None:
        return True
    numbers = set(distinct(raster.numbers))
    black_and_white = np.isin(raster.numbers, (0, 255)).mean() > 0.9 and has_soft_edges(raster.numbers, 2)
    return not (numbers <= {0, 1} or numbers <= {0, 255} or black_and_white)


def read_pixels(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read a data set with a label for each pixel, in one of `PIXEL_FORMATS`, for `open_source`.

    All files are checked for a partner and a valid header, and the pixels of up to `SURVEYED` maps of each split are
    checked; `res2net data check` checks all. With `bad_images` "skip", an image that cannot be read is kept, so that it
    is skipped and reported when it is read.

    Raises:
        InputError: it is no such data set, or it has faults.
    """
    if len(labels) > 1:
        raise InputError(f"A data set of files has one label for each pixel, not {' and '.join(labels)}: name one.")
    report = AnnotationReport(path)
    parts = {}
    splits = PIXEL_FORMATS[_choose(path, labels[0])].read(path)
    choice = choose_splits(splits, settings, path)
    for name, files in without_common({name: splits[name] for name in choice.names}, report).items():
        report.merge(files.report)
        survey, indices = PixelSurvey(), evenly_spaced(len(files.pairs), SURVEYED)
        good = good_images(files, report, survey, indices, keep_unreadable=settings.bad_images == "skip")
        parts[name] = PixelImages(files, good), survey
    report.enforce(settings.bad_annotations)
    remark_on([images.files for images, _ in parts.values()], [survey for _, survey in parts.values()], report)
    for name, (images, survey) in parts.items():
        _check_usable(images, survey)
        if name == choice.train and images.label == "semantic" and survey.read == len(images):
            _check_variety(images, survey, report)

    def halve(images: PixelImages) -> tuple[list[int], list[int]]:
        keys = [Path(image).relative_to(path).as_posix() for image in images.paths]
        return hashed_split(keys, settings.val_fraction, settings.seed)

    train, val, about = choice.arrange({name: images for name, (images, _) in parts.items()}, halve)
    return DataSource(path.absolute().name, train, val, val.class_names, val_about=about, notes=report.remarks)


def remark_on(splits: Sequence[PixelFiles], surveys: Sequence[PixelSurvey], report: AnnotationReport) -> None:
    """Add to the report what was assumed of all splits together, once their files are surveyed."""
    files = splits[0]
    report.remark(files.turning.note("their maps"))
    if not isinstance(files.coding, DepthMaps) or files.coding.scale is not None:
        return
    nearest, farthest = min(one.nearest for one in surveys), max(one.farthest for one in surveys)
    known = sum(int(one.classes.sum()) for one in surveys)
    mean = sum(one.metres for one in surveys) / max(known, 1)
    assumed = "whole numbers in the depth maps are taken as millimetres, others as metres"
    span = f"distances lie between {nearest:.4g} and {farthest:.4g} m (mean {mean:.4g} m)"
    if known and not SHORTEST_MEAN <= mean <= LONGEST_MEAN:
        raise InputError(
            f"Without depth.json {assumed}, so that {span} in {report.path}, which are hardly right: state in "
            'depth.json which value is a metre, as {"scale": 1000}, and for inverse depth also "inverse": true.'
        )
    if known:
        report.remark(f"Without depth.json {assumed}: {span}.")


def without_common(splits: dict[str, PixelFiles], report: AnnotationReport) -> dict[str, PixelFiles]:
    """The splits of a run, where images of the first that are also in another one are faults and left out of it."""
    (name, train), *others = splits.items()
    both = {image for image, _ in train.pairs} & {image for _, files in others for image, _ in files.pairs}
    for image in sorted(both):
        report.add("image of both splits", image, "it is among the images of the training and of the validation")
    return splits | {name: replace(train, pairs=[pair for pair in train.pairs if pair[0] not in both])}


def _choose(path: Path, label: str) -> str:
    found = [name for name in find_pixel_formats(path) if PIXEL_FORMATS[name].label == label]
    if found:
        return found[0]
    if folders := unpaired(path, label):
        raise InputError(
            f"No image in {folders[0]} has a map in {folders[1]}: the map of x.jpg is called x.png or x_mask.png."
        )
    known = ", ".join(one.about for one in PIXEL_FORMATS.values() if one.label == label)
    raise InputError(
        f"{path} is not a data set with the label {label} for each pixel: give one in a known format ({known}; the "
        f"folders are such as {_FOLDERS[label]}), or make one out of a data set with masks of objects with "
        "`res2net data prepare`."
    )


def _check_variety(images: PixelImages, survey: PixelSurvey, report: AnnotationReport) -> None:
    """Raise `InputError` if all pixels to train on have one class; other classes that lack pixels are added."""
    present = [name for name, count in zip(images.class_names, survey.classes, strict=True) if count]
    missing = [name for name, count in zip(images.class_names, survey.classes, strict=True) if not count]
    if len(present) == 1:
        raise InputError(
            f"All labelled pixels of {images.files.name} have the class {present[0]!r}, so that there is nothing to "
            "learn: give maps with two classes or more."
        )
    if missing:
        report.remark(
            f"No pixel to train on has {'the class' if len(missing) == 1 else 'a class of'} {listed(missing)}."
        )


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
