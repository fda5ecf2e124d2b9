"""COCO annotations of objects, of keypoints of people, and panoptic: one JSON file per split, and folders of images.

The format: https://cocodataset.org/#format-data. A root has `annotations/instances_train2017.json` (and
`person_keypoints_...`, `..._val2017.json`) and the folders `train2017` and `val2017`; programs that export COCO write
`annotations/train.json`, or `_annotations.coco.json` into each folder of images. A JSON file is a data set, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from res2net.errors import listed
from res2net.images.faults import AnnotationReport
from res2net.tasks.objects.formats.coco_files import Categories, CocoFile, category_name, find_files, unread_files, xyxy
from res2net.tasks.objects.formats.coco_panoptic import read_panoptic
from res2net.tasks.objects.formats.collect import Collector, numbers
from res2net.tasks.objects.formats.images import Annotations
from res2net.tasks.objects.formats.masks import pack_rle, polygon_fault


def read_coco(
    path: Path,
    labels: Sequence[str] | None,
    report: AnnotationReport,
    splits: Sequence[str] | None = None,
    *,
    kind: str = "instances",
) -> dict[str, Annotations]:
    """Read splits, by default all; masks are only read if `labels` has them or is None.

    The files of other splits are read for their categories.
    """
    files: dict[str, CocoFile] = {}
    categories: list[Categories] = []
    for split, found in find_files(path, kind).items():
        wanted = splits is None or split in splits
        file = CocoFile(found, path, report if wanted else AnnotationReport(path))
        categories.append(file.categories)
        if wanted:
            files[split] = file
    report.unused += [
        f"{file} is not read: it has no objects of COCO."
        for file in unread_files(path)
        if kind == "instances" and file not in find_files(path, kind).values()
    ]
    _join_categories(list(files.values()), categories, report)
    if kind == "panoptic":
        return {split: read_panoptic(file) for split, file in files.items()}
    with_masks, with_points = labels is None or "masks" in labels, kind == "keypoints"
    return {split: _read_objects(file, with_masks=with_masks, with_points=with_points) for split, file in files.items()}


def _join_categories(files: Sequence[CocoFile], every: Sequence[Categories], report: AnnotationReport) -> None:
    """Give files the categories of all splits, since some programs leave out those without objects in a split.

    Where an id has several names, each file keeps its own categories.
    """
    joined: dict[int, Mapping[str, Any]] = {}
    for categories in every:
        joined |= categories
    names = {number: category_name(joined, number) for number in joined}
    if any(category_name(one, number) != names[number] for one in every for number in one):
        return
    for file in files:
        lacking = [name for number, name in names.items() if number not in file.categories]
        if lacking and file.categories:
            report.remark(
                f"{file.file} does not list {listed(lacking)}, as other splits do: it has no objects of these."
            )
            file.categories = dict(sorted(joined.items()))


def _read_objects(file: CocoFile, *, with_masks: bool, with_points: bool) -> Annotations:
    keypoints = file.keypoints() if with_points else None
    with_masks = with_masks and any(isinstance(one, dict) and one.get("segmentation") for one in file.annotations)
    by_image = _by_image(file)
    collector = Collector(str(file.file), file.report, keypoints=keypoints, with_masks=with_masks)
    label_of = {number: index for index, number in enumerate(file.categories)}
    for image, size, number in file.images():
        collector.start_image(image, size, image_id=number, file=file.file)
        for entry in by_image.pop(number, ()):
            _add(collector, entry, label_of, size, with_masks)
        collector.end_image()
    for number in file.without_image(by_image):
        for entry in by_image[number]:
            file.fault("unknown image", f"annotation {entry['id']} has the image {number}")
    return collector.finish(file.names(file.categories), category_ids=list(file.categories))


def _by_image(file: CocoFile) -> dict[int, list[dict[str, Any]]]:
    """The annotations of each image, without duplicate ids."""
    seen: set[int] = set()
    found: dict[int, list[dict[str, Any]]] = {}
    for index, entry in enumerate(file.annotations):
        number = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(number, int) or not isinstance(entry.get("image_id"), int):
            file.fault(
                "unreadable object",
                f"annotation {number or f'at index {index}'} has no id or image_id that is a whole number",
            )
        elif number in seen:
            file.fault("duplicate id", f"two annotations have the id {number}")
        else:
            seen.add(number)
            found.setdefault(entry["image_id"], []).append(entry)
    return found


def _add(
    collector: Collector,
    entry: Mapping[str, Any],
    label_of: Mapping[int, int],
    size: tuple[int, int],
    with_masks: bool,
) -> None:
    where = f"annotation {entry['id']}"
    category = entry.get("category_id")
    if not isinstance(category, int) or category not in label_of:
        collector.fault("unknown class", f"{where} has the category {category!r}")
        return
    mask: Sequence[Sequence[float]] | bytes = ()
    if with_masks:
        found = entry.get("segmentation")
        packed = pack_rle(found, size) if isinstance(found, dict) else None
        fault = "has run lengths that do not fit its image" if isinstance(found, dict) else polygon_fault(found, size)
        if packed is None and fault:
            collector.fault("bad mask", f"{where} {fault}")
            return
        mask = packed or found or ()
    collector.add(
        where,
        label_of[category],
        xyxy(entry.get("bbox")),
        as_edges=numbers(entry.get("bbox")),
        area=entry.get("area"),
        crowd=bool(entry.get("iscrowd", 0)),
        points=entry.get("keypoints"),
        mask=mask,
    )
