"""COCO annotations of objects, of keypoints of people, and panoptic: one JSON file per split, and folders of images.

In panoptic annotations, every pixel belongs to a thing or to stuff: a PNG per image has the segment ids of its pixels.
The format: https://cocodataset.org/#format-data. A root has `annotations/instances_train2017.json` (and
`person_keypoints_...`, `..._val2017.json`) and the folders `train2017` and `val2017`; programs that export COCO write
`annotations/train.json`, or `_annotations.coco.json` into each folder of images. A JSON file is a data set, too.
"""

from __future__ import annotations

import mmap
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from res2net.files import LARGEST, read_json
from res2net.images.faults import AnnotationReport
from res2net.images.keypoints import Keypoints
from res2net.tasks.objects.formats.collect import Collector, files_below, numbers, whole_size
from res2net.tasks.objects.formats.images import Annotations
from res2net.tasks.objects.formats.masks import MaskFiles, StuffFiles, pack_rle, polygon_fault

_KINDS = {"instances": "instances_", "keypoints": "person_keypoints_", "panoptic": "panoptic_"}
_OTHERS = ("captions_", "stuff_", "image_info_", "deviantart_")
_EXPORTED = "_annotations.coco.json"
_MARKS = {"panoptic": b'"segments_info"', "keypoints": b'"keypoints"', "instances": b'"bbox"'}


def find_files(path: Path, kind: str) -> dict[str, Path]:
    """The files of a kind ("instances", "keypoints", "panoptic") by split: "train" and "val", or "" if not split."""
    if path.is_file():
        return {"": path} if path.suffix.lower() == ".json" and kind_of(path) == kind else {}
    folders = [path / "annotations", path]
    files = [file for folder in folders if folder.is_dir() for file in sorted(folder.glob("*.json"))]
    files += sorted(path.glob(f"*/{_EXPORTED}"))
    found: dict[str, Path] = {}
    for file in files:
        if file.is_file() and kind_of(file) == kind:
            found.setdefault(split_of(file), file)
    if "val" not in found and "test" in found and "train" in found:
        found["val"] = found["test"]
    if "train" in found and "val" in found:
        return {split: found[split] for split in ("train", "val")}
    return {"": next(iter(found.values()))} if found else {}


def kind_of(file: Path) -> str:
    """The kind of annotations in a JSON file, by its name or its content; empty if it is not a COCO file."""
    for kind, start in _KINDS.items():
        if file.name.startswith(start):
            return kind
    if file.name.startswith(_OTHERS) or not file.stat().st_size:
        return ""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b'"annotations"') < 0 or content.find(b'"images"') < 0:
            return ""
        return next((kind for kind, mark in _MARKS.items() if content.find(mark) >= 0), "instances")


def split_of(file: Path) -> str:
    """The split ("train", "val" or "test") in the name of a file, or of its folder for exported files; else empty."""
    name = file.parent.name if file.name == _EXPORTED else file.stem
    words = re.findall(r"[a-z]+", name.lower())
    names = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test",)}
    return next((split for split, known in names.items() if any(word in known for word in words)), "")


def read_coco(
    path: Path, labels: Sequence[str] | None, report: AnnotationReport, *, kind: str = "instances"
) -> list[Annotations]:
    """Read the splits, training first, or a single split; masks are only read if `labels` has them or is None."""
    files = find_files(path, kind).values()
    if kind == "panoptic":
        return [_read_panoptic(CocoFile(file, report)) for file in files]
    with_masks, with_points = labels is None or "masks" in labels, kind == "keypoints"
    return [_read_objects(CocoFile(file, report), with_masks=with_masks, with_points=with_points) for file in files]


class CocoFile:
    """The content of a JSON file of COCO, whose faults are reported; it is empty if it cannot be read."""

    def __init__(self, file: Path, report: AnnotationReport) -> None:
        self.file, self.report = file, report
        lists: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
        try:
            content = read_json(file, LARGEST)
        except (OSError, ValueError) as error:
            self.fault("unreadable file", f"it is not valid JSON ({error})")
        else:
            lacking = [
                name for name in lists if not isinstance(content, dict) or not isinstance(content.get(name), list)
            ]
            if lacking:
                self.fault("unreadable file", f"it has no list of {lacking[0]}")
            else:
                lists = content
        self.entries, self.annotations = lists["images"], lists["annotations"]
        known: dict[int, dict[str, Any]] = {}
        for entry in lists["categories"]:
            if not isinstance(entry, dict) or not isinstance(entry.get("id"), int):
                self.fault("unreadable object", f"the category {str(entry)[:60]} has no id that is a whole number")
            elif entry["id"] in known:
                self.fault("duplicate id", f"two categories have the id {entry['id']}")
            else:
                known[entry["id"]] = entry
        self.categories = dict(sorted(known.items()))
        """The categories by id. The ids have gaps, so classes are numbered in their order."""

    def fault(self, kind: str, what: str) -> None:
        """Report a fault in the file."""
        self.report.add(kind, self.file, what)

    def names(self, ids: Iterable[int]) -> list[str]:
        """The names of the categories with these ids."""
        return [str(self.categories[number].get("name", number)) for number in ids]

    def keypoints(self) -> Keypoints | None:
        """The keypoints of the first category that has any."""
        for number, category in self.categories.items():
            if names := category.get("keypoints"):
                try:
                    pairs = category.get("skeleton") or []
                    return Keypoints.named(tuple(map(str, names)), tuple((int(a) - 1, int(b) - 1) for a, b in pairs))
                except (TypeError, ValueError) as error:
                    self.fault("invalid keypoints", f"the category {number} has a bad skeleton ({error})")
        return None

    def images(self) -> list[tuple[str, tuple[int, int], int]]:
        """Path, size (H, W) and id of each image that exists and has a valid entry.

        They are in the first of the usual folders that contains any.
        """
        file, split = self.file, self.file.stem.rpartition("_")[2]
        root = file.parent.parent if file.parent.name == "annotations" else file.parent
        folders = [root / split, file.parent.parent / file.stem.removeprefix("panoptic_"), root / "images" / split]
        folders += [file.parent, file.parent / "images", root / "images", root]
        base = _folder_with(self.entries, folders)
        present = files_below(base)
        seen: set[int] = set()
        found = []
        for image in self.entries:
            number = image.get("id") if isinstance(image, dict) else None
            if not isinstance(number, int) or abs(number) >= 2**63:
                self.fault("unreadable object", f"an image has the id {number!r}, which is not a whole number")
                continue
            name, size = str(image.get("file_name", "")), whole_size(image.get("height"), image.get("width"))
            pure = PurePosixPath(name)
            inside = bool(name) and not pure.is_absolute() and ".." not in pure.parts
            if number in seen:
                self.fault("duplicate id", f"two images have the id {number}")
            elif size is None:
                self.fault("wrong size", f"image {number} has no height and width in pixels")
            elif not inside or (name not in present and (len(pure.parts) == 1 or not (base / name).is_file())):
                self.fault("missing image", f"the image {name!r} is not in {base}")
            else:
                found.append((str(base / name), size, number))
            seen.add(number)
        return found

    def without_image(self, numbers: Iterable[int]) -> list[int]:
        """Those of these ids of images that no entry has, not even an invalid one."""
        stated = [image.get("id") for image in self.entries if isinstance(image, dict)]
        known = {number for number in stated if isinstance(number, int)}
        return [number for number in numbers if number not in known]


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
            file.fault("unreadable object", f"annotation {number or f'at index {index}'} has no id or no image_id")
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
        area=entry.get("area"),
        crowd=bool(entry.get("iscrowd", 0)),
        points=entry.get("keypoints"),
        mask=mask,
    )


def xyxy(box: object) -> list[float]:
    """Convert COCO's left, top, width and height to edges; an empty list if the box is invalid."""
    values = numbers(box)
    if len(values) != 4:
        return []
    left, top, width, height = values
    return [left, top, left + width, top + height]


def _read_panoptic(file: CocoFile) -> Annotations:
    collector = Collector(str(file.file), file.report)
    things = [number for number, category in file.categories.items() if category.get("isthing", 1)]
    stuff = [number for number in file.categories if number not in things]
    by_image = _segments_by_image(file)
    # The folder of the PNG files has the name of the JSON file, next to it or one level up.
    parent = file.file.parent
    named = [file.file.with_suffix(""), parent.parent / file.file.stem]
    folder = _folder_with(file.annotations, [*named, parent / "masks", parent.parent / "masks"])
    present = files_below(folder)
    thing_of = {number: index for index, number in enumerate(things)}
    stuff_of = {number: index for index, number in enumerate(stuff)}

    paths: list[str] = []
    thing_ids, stuff_ids, stuff_labels, starts = array("q"), array("q"), array("q"), array("q", [0])
    for image, size, number in file.images():
        entry = by_image.pop(number, None)
        name = None if entry is None else str(entry.get("file_name"))
        if entry is None or name not in present:
            reason = f"the mask {name!r} is not in {folder}" if entry else f"image {number} has no annotation"
            file.fault("missing mask file", reason)
            continue
        collector.start_image(image, size, image_id=number, file=file.file)
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


def _folder_with(entries: Sequence[Any], folders: Sequence[Path]) -> Path:
    """The first of the folders that has the file of one of the first entries, or else the first."""
    names = [str(entry.get("file_name")) for entry in entries[:20] if isinstance(entry, dict)]
    return next((folder for folder in folders if any((folder / name).is_file() for name in names)), folders[0])


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
