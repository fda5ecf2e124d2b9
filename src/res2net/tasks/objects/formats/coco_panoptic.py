"""COCO panoptic: every pixel belongs to a thing or to stuff; a JSON of segments, and a PNG of segment ids per image."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from res2net.images.faults import AnnotationReport
from res2net.tasks.objects.formats.coco import CocoFile, find_files, xyxy
from res2net.tasks.objects.formats.collect import Collector, files_below
from res2net.tasks.objects.formats.images import Annotations
from res2net.tasks.objects.formats.masks import MaskFiles, StuffFiles

__all__ = ["read_panoptic"]


def read_panoptic(path: Path, labels: Sequence[str] | None, report: AnnotationReport) -> list[Annotations]:
    """Read the splits, training first, or a single split."""
    del labels  # reading fewer labels would not be faster
    return [_read(file, report) for file in find_files(path, "panoptic").values()]


def _read(path: Path, report: AnnotationReport) -> Annotations:
    file, collector = CocoFile(path, report), Collector(str(path), report)
    things = [number for number, category in file.categories.items() if category.get("isthing", 1)]
    stuff = [number for number in file.categories if number not in things]
    by_image = _by_image(file)
    folder = _mask_folder(path, file.annotations)
    present = files_below(folder)
    thing_of = {number: index for index, number in enumerate(things)}
    stuff_of = {number: index for index, number in enumerate(stuff)}

    paths: list[str] = []
    thing_ids, stuff_ids, stuff_labels, starts = array("q"), array("q"), array("q"), array("q", [0])
    for image, size, number in file.images(_image_folder(path)):
        entry = by_image.pop(number, None)
        name = None if entry is None else str(entry.get("file_name"))
        if entry is None or name not in present:
            reason = f"the mask {name!r} is not in {folder}" if entry else f"image {number} has no annotation"
            file.fault("missing mask file", reason)
            continue
        collector.start_image(image, size, image_id=number, file=path)
        paths.append(str(folder / name))
        for segment in _segments(entry, collector):
            where, category = f"segment {segment['id']} of image {number}", segment.get("category_id")
            if not isinstance(category, int) or category not in file.categories:
                collector.fault("unknown class", f"{where} has the category {category!r}")
            elif category in stuff_of:
                stuff_ids.append(segment["id"])
                stuff_labels.append(stuff_of[category])
            else:
                box, crowd = xyxy(segment.get("bbox")), bool(segment.get("iscrowd", 0))
                if collector.add(where, thing_of[category], box, area=segment.get("area"), crowd=crowd):
                    thing_ids.append(segment["id"])
        collector.end_image()
        starts.append(len(stuff_ids))
    for number in file.without_image(by_image):
        file.fault("unknown image", f"an annotation has the image {number}")
    masks = MaskFiles(paths, thing_ids, rgb=True)
    return collector.finish(
        file.names(things),
        masks=masks,
        stuff=StuffFiles(masks, starts, stuff_ids, stuff_labels),
        stuff_names=file.names(stuff),
        category_ids=things,
        stuff_category_ids=stuff,
    )


def _image_folder(file: Path) -> Path | None:
    """The folder `train2017` for `annotations/panoptic_train2017.json`, if it exists."""
    folder = file.parent.parent / file.stem.removeprefix("panoptic_")
    return folder if folder.is_dir() else None


def _mask_folder(file: Path, entries: Sequence[Any]) -> Path:
    """The folder of the PNG files, which has the name of the JSON file, next to it or one level up."""
    names = [str(entry.get("file_name")) for entry in entries[:20] if isinstance(entry, dict)]
    folders = [
        file.with_suffix(""),
        file.parent.parent / file.stem,
        file.parent / "masks",
        file.parent.parent / "masks",
    ]
    return next((folder for folder in folders if any((folder / name).is_file() for name in names)), folders[0])


def _by_image(file: CocoFile) -> dict[int, Mapping[str, Any]]:
    found: dict[int, Mapping[str, Any]] = {}
    for entry in file.annotations:
        number = entry.get("image_id") if isinstance(entry, dict) else None
        if not isinstance(number, int) or not isinstance(entry.get("segments_info"), list):
            file.fault("unreadable object", f"the annotation of image {number!r} has no list of segments")
        elif number in found:
            file.fault("duplicate id", f"two annotations have the image {number}")
        else:
            found[number] = entry
    return found


def _segments(entry: Mapping[str, Any], collector: Collector) -> list[Mapping[str, Any]]:
    """The segments with valid ids, without duplicates."""
    seen: set[int] = set()
    found = []
    for segment in entry["segments_info"]:
        number = segment.get("id") if isinstance(segment, dict) else None
        if not isinstance(number, int) or not 0 < number < 256**3:
            collector.fault("unreadable object", f"a segment of image {entry['image_id']} has the id {number!r}")
        elif number in seen:
            collector.fault("duplicate id", f"two segments of image {entry['image_id']} have the id {number}")
        else:
            seen.add(number)
            found.append(segment)
    return found
