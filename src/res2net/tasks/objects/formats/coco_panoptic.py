"""COCO's panoptic annotations: a PNG per image has the segment ids of its pixels, each of a thing or of stuff."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

from res2net.images.paths import MissingFile
from res2net.tasks.objects.formats.coco_files import CocoFile, xyxy
from res2net.tasks.objects.formats.collect import Collector
from res2net.tasks.objects.formats.images import Annotations
from res2net.tasks.objects.formats.masks import MaskFiles, StuffFiles


def read_panoptic(file: CocoFile) -> Annotations:
    """Read the things and the stuff of a file."""
    collector = Collector(str(file.file), file.report)
    things = [number for number, category in file.categories.items() if category.get("isthing", 1)]
    stuff = [number for number in file.categories if number not in things]
    by_image = _segments_by_image(file)
    # The folder of the PNG files has the name of the JSON file, next to it or one level up.
    parent = file.file.parent
    named = [file.file.with_suffix(""), parent.parent / file.file.stem]
    finder = file.finder([*named, parent / "masks", parent.parent / "masks", parent])
    thing_of = {number: index for index, number in enumerate(things)}
    stuff_of = {number: index for index, number in enumerate(stuff)}

    paths: list[str] = []
    thing_ids, stuff_ids, stuff_labels, starts = array("q"), array("q"), array("q"), array("q", [0])
    for image, size, number in file.images():
        entry = by_image.pop(number, None)
        if entry is None:
            file.fault("missing mask file", f"image {number} has no annotation")
            continue
        try:
            path = finder.find(str(entry.get("file_name")), (".png",))
        except MissingFile as error:
            file.fault("missing mask file", f"the mask {error}")
            continue
        collector.start_image(image, size, image_id=number, file=file.file)
        paths.append(path)
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


def _segments_by_image(file: CocoFile) -> dict[int, Mapping[str, Any]]:
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
