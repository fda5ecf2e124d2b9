"""Open data sets with objects, in any supported format, as training and validation images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from res2net.errors import InputError, check_choice
from res2net.images.faults import BAD_ANNOTATIONS, AnnotationReport
from res2net.images.sources import DataSource
from res2net.images.splits import Arranged, DataSettings, choose_splits, hashed_split
from res2net.registry import Registry
from res2net.tasks.objects.formats.coco import find_files, read_coco
from res2net.tasks.objects.formats.images import LABELS, Annotations, ObjectImages
from res2net.tasks.objects.formats.penn_fudan import has_penn_fudan, read_penn_fudan
from res2net.tasks.objects.formats.voc import has_voc, read_voc
from res2net.tasks.objects.formats.yolo import has_yolo, read_yolo

_BOXES = ("boxes", "labels", "crowd", "area", "difficult")
_MASKS = (*_BOXES, "masks")


@dataclass(frozen=True)
class ObjectFormat:
    """A format of data sets with objects.

    Args:
        about: its readable name.
        labels: the labels it can have, of `LABELS`.
        find: a function whose value is true if a path is a data set in this format, mostly by names.
        read: a function from the path, the required labels (None for all available) and the report for faults to the
            training and validation annotations, or to a single split.
    """

    about: str
    labels: tuple[str, ...]
    find: Callable[[Path], object]
    read: Callable[[Path, Sequence[str] | None, AnnotationReport], list[Annotations]]


OBJECT_FORMATS: Registry[ObjectFormat] = Registry("Format of data sets with objects")
"""All formats by name, in the order in which to try them."""

for _name, _format in {
    "coco": ObjectFormat("COCO", _MASKS, partial(find_files, kind="instances"), read_coco),
    "coco_keypoints": ObjectFormat(
        "COCO keypoints",
        (*_MASKS, "keypoints", "visibility"),
        partial(find_files, kind="keypoints"),
        partial(read_coco, kind="keypoints"),
    ),
    "coco_panoptic": ObjectFormat(
        "COCO panoptic",
        (*_MASKS, "semantic"),
        partial(find_files, kind="panoptic"),
        partial(read_coco, kind="panoptic"),
    ),
    "voc": ObjectFormat("PASCAL VOC", _BOXES, has_voc, read_voc),
    "penn_fudan": ObjectFormat("Penn-Fudan masks", _MASKS, has_penn_fudan, read_penn_fudan),
    "yolo": ObjectFormat("YOLO labels", _MASKS, has_yolo, read_yolo),
}.items():
    OBJECT_FORMATS.add(_name, _format)


def read_objects(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read a data set with objects for `open_source`; see `open_objects`."""
    train, val, about = open_objects(path, labels, settings)
    return DataSource(
        path.absolute().name,
        train,
        val,
        val.class_names,
        keypoints=val.keypoints,
        stuff_names=val.stuff_names,
        category_ids=val.annotations.category_ids,
        stuff_category_ids=val.annotations.stuff_category_ids,
        val_about=about,
    )


def find_formats(path: str | Path) -> list[str]:
    """The names of the formats of a path: up to three for COCO, none if it is not a data set with objects."""
    path = Path(path)
    return [name for name, known in OBJECT_FORMATS.items() if path.exists() and known.find(path)]


def open_objects(
    path: str | Path, labels: Sequence[str] = ("boxes", "labels"), settings: DataSettings | None = None
) -> Arranged:
    """Open the training and validation images, or those to evaluate, of a data set with objects in `OBJECT_FORMATS`.

    All annotations are checked before any image is read.

    Args:
        path: a folder or a file.
        labels: the target entries, of `LABELS`; they also choose between the files of COCO.
        settings: which splits to open, and how.

    Raises:
        InputError: there is no such data set, it lacks a label, or annotations are faulty.
    """
    for label in labels:
        check_choice("Label", label, LABELS)
    settings = settings or DataSettings()
    check_choice("bad_annotations", settings.bad_annotations, BAD_ANNOTATIONS)
    report = AnnotationReport(path)
    read = OBJECT_FORMATS[_choose(path, labels)].read(Path(path), labels, report)
    splits = dict(zip(("train", "val") if len(read) > 1 else ("",), read, strict=True))
    choice = choose_splits(splits, settings, path)
    report.enforce(settings.bad_annotations)
    _check_usable(path, [splits[name] for name in choice.names])

    def halve(images: ObjectImages) -> tuple[list[int], list[int]]:
        """Divide images by the seed and the id and file name of each."""
        ids = images.annotations.image_ids[images.chosen].tolist()
        keys = [f"{number} {Path(path).name}" for number, path in zip(ids, images.paths, strict=True)]
        return hashed_split(keys, settings.val_fraction, settings.seed)

    return choice.arrange({name: ObjectImages(splits[name], labels) for name in choice.names}, halve)


def _choose(path: str | Path, labels: Sequence[str]) -> str:
    """The first format of a path that can have all the labels."""
    if not Path(path).exists():
        raise InputError(f"There is no file or folder {str(path)!r}: give the path of a data set with objects.")
    found = find_formats(path)
    if not found:
        known = ", ".join(one.about for one in OBJECT_FORMATS.values())
        raise InputError(f"{path} is not a data set with objects: give one in a known format ({known}).")
    for name in found:
        if set(labels) <= set(OBJECT_FORMATS[name].labels):
            return name
    has = {label for name in found for label in OBJECT_FORMATS[name].labels}
    lacking = [label for label in labels if label not in has] or list(labels)
    names = " and ".join(OBJECT_FORMATS[name].about for name in found)
    raise InputError(f"The data set {path} ({names}) has no {' with '.join(lacking)}: give one that has.")


def _check_usable(path: str | Path, splits: Sequence[Annotations]) -> None:
    for split in splits:
        if not len(split.paths):
            raise InputError(f"No image with readable annotations is left in {split.name}: see `res2net data check`.")
        if not len(split.labels) and split.stuff is None:
            raise InputError(f"There is not one object in {split.name}: give a data set with objects.")
    first, last = splits[0], splits[-1]
    if list(first.class_names) != list(last.class_names) or list(first.stuff_names) != list(last.stuff_names):
        raise InputError(
            f"The classes of training and validation differ in {path} ({first.name} has {len(first.class_names)}, "
            f"{last.name} {len(last.class_names)}): give both the same, in the same order."
        )
