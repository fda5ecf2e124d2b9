"""Open data sets with objects, in any supported format, as training and validation images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path

from res2net.errors import InputError, check_choice
from res2net.images.faults import BAD_ANNOTATIONS, AnnotationReport
from res2net.images.sources import DataSource
from res2net.images.splits import Arranged, DataSettings, choose_splits, hashed_split
from res2net.registry import Registry
from res2net.tasks.objects.formats.coco import read_coco
from res2net.tasks.objects.formats.coco_files import find_files
from res2net.tasks.objects.formats.images import LABELS, Annotations, ObjectImages
from res2net.tasks.objects.formats.label_studio import label_studio_splits, read_label_studio
from res2net.tasks.objects.formats.labelme import labelme_splits, read_labelme
from res2net.tasks.objects.formats.penn_fudan import penn_fudan_splits, read_penn_fudan
from res2net.tasks.objects.formats.voc import default_splits, read_voc, voc_splits
from res2net.tasks.objects.formats.yolo import read_yolo
from res2net.tasks.objects.formats.yolo_layout import yolo_splits

_BOXES = ("boxes", "labels", "crowd", "area", "difficult")
_MASKS = (*_BOXES, "masks")


@dataclass(frozen=True)
class ObjectFormat:
    """A format of data sets with objects.

    Args:
        about: its readable name.
        labels: the labels it can have, of `LABELS`.
        splits: a function from a path to the names of its splits, mostly by the names of files; none if it is not a
            data set in this format.
        read: a function from the path, the required labels (None for all available), the report for faults and the
            splits to read (None for all) to the annotations by split.
        by_default: a function that keeps those of the splits which are chosen from if none is named.
    """

    about: str
    labels: tuple[str, ...]
    splits: Callable[[Path], Iterable[str]]
    read: Callable[[Path, Sequence[str] | None, AnnotationReport, Sequence[str] | None], dict[str, Annotations]]
    by_default: Callable[[Sequence[str]], Sequence[str]] = list


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
    "voc": ObjectFormat("PASCAL VOC", _BOXES, voc_splits, read_voc, default_splits),
    "penn_fudan": ObjectFormat("Penn-Fudan masks", _MASKS, penn_fudan_splits, read_penn_fudan),
    "labelme": ObjectFormat("LabelMe", _MASKS, labelme_splits, read_labelme),
    "label_studio": ObjectFormat("Label Studio", _MASKS, label_studio_splits, read_label_studio),
    "yolo": ObjectFormat("YOLO labels", _MASKS, yolo_splits, read_yolo),
}.items():
    OBJECT_FORMATS.add(_name, _format)


def read_objects(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read a data set with objects for `open_source`; see `open_objects`."""
    report = AnnotationReport(path)
    train, val, about = open_objects(path, labels, settings, report)
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
        notes=report.remarks,
    )


def find_formats(path: str | Path) -> list[str]:
    """The names of the formats of a path: up to three for COCO, none if it is not a data set with objects."""
    path = Path(path)
    return [name for name, known in OBJECT_FORMATS.items() if path.exists() and list(known.splits(path))]


def open_objects(
    path: str | Path,
    labels: Sequence[str] = ("boxes", "labels"),
    settings: DataSettings | None = None,
    report: AnnotationReport | None = None,
) -> Arranged:
    """Open the training and validation images, or those to evaluate, of a data set with objects in `OBJECT_FORMATS`.

    All annotations are checked before any image is read.

    Args:
        path: a folder or a file.
        labels: the target entries, of `LABELS`; they also choose between the files of COCO.
        settings: which splits to open, and how.
        report: a new report, which also gets the notes about what was assumed.

    Raises:
        InputError: there is no such data set, it lacks a label, or annotations are faulty.
    """
    for label in labels:
        check_choice("Label", label, LABELS)
    settings = settings or DataSettings()
    check_choice("bad_annotations", settings.bad_annotations, BAD_ANNOTATIONS)
    report = AnnotationReport(path) if report is None else report
    known = OBJECT_FORMATS[_choose(path, labels)]
    names = list(known.splits(Path(path)))
    stated = settings.train_split or settings.val_split or settings.split
    choice = choose_splits(names if stated else known.by_default(names), settings, path)
    splits = known.read(Path(path), labels, report, choice.names)
    report.enforce(settings.bad_annotations)
    _check_usable(path, [splits[name] for name in choice.names])
    _check_labels([splits[name] for name in choice.names], labels)

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


def _check_labels(splits: Sequence[Annotations], labels: Sequence[str]) -> None:
    """Raise `InputError` if only some of the splits have a label."""
    for label in labels:
        having = [split.name for split in splits if label in split.available()]
        lacking = [split.name for split in splits if label not in split.available()]
        if having and lacking:
            raise InputError(
                f"{lacking[0]} has boxes without {label}, and {having[0]} has {label}: add them, choose another split, "
                "or train a task that needs boxes alone."
            )


def _check_usable(path: str | Path, splits: Sequence[Annotations]) -> None:
    for split in splits:
        if not len(split.paths):
            raise InputError(f"No image with readable annotations is left in {split.name}: see `res2net data check`.")
        if not len(split.labels) and split.stuff is None:
            raise InputError(f"There is not one object in {split.name}: give a data set with objects.")
    first, last = splits[0], splits[-1]
    names = [[*one.class_names, *one.stuff_names] for one in (first, last)]
    if names[0] != names[1]:
        index = next(i for i, (one, other) in enumerate(zip_longest(*names)) if one != other)
        shown = [repr(one[index]) if index < len(one) else "none" for one in names]
        raise InputError(
            f"The classes of training and validation differ in {path}: number {index} is {shown[0]} in {first.name} "
            f"and {shown[1]} in {last.name}; give both the same, in the same order."
        )
