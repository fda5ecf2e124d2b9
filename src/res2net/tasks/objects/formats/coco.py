"""COCO annotations of objects and of keypoints of people: one JSON file per split, and folders of images.

The format: https://cocodataset.org/#format-data. A root has `annotations/instances_train2017.json` (and
`person_keypoints_...`, `..._val2017.json`) and the folders `train2017` and `val2017`; programs that export COCO write
`annotations/train.json`, or `_annotations.coco.json` into each folder of images. A JSON file is a data set, too.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from res2net.images.faults import AnnotationReport
from res2net.images.keypoints import Keypoints
from res2net.tasks.objects.formats.collect import Collector, files_below, numbers, whole_size
from res2net.tasks.objects.formats.images import Annotations
from res2net.tasks.objects.formats.masks import pack_rle, polygon_fault

__all__ = ["Categories", "find_files", "has_instances", "has_keypoints", "image_paths", "read_instances", "read_json"]
__all__ += ["read_keypoints", "split_of"]

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
        if kind_of(file) == kind:
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
    for split, known in {
        "train": ("train", "training"),
        "val": ("val", "valid", "validation"),
        "test": ("test",),
    }.items():
        if any(word in known for word in words):
            return split
    return ""


def has_instances(path: Path) -> bool:
    """Whether a path has objects in COCO's format."""
    return bool(find_files(path, "instances"))


def has_keypoints(path: Path) -> bool:
    """Whether a path has keypoints of people in COCO's format."""
    return bool(find_files(path, "keypoints"))


def read_instances(path: Path, labels: Sequence[str] | None, report: AnnotationReport) -> list[Annotations]:
    """Read the splits, training first, or a single split; masks are only read if `labels` has them or is None."""
    return [
        _read(file, report, with_masks=labels is None or "masks" in labels, with_points=False)
        for file in find_files(path, "instances").values()
    ]


def read_keypoints(path: Path, labels: Sequence[str] | None, report: AnnotationReport) -> list[Annotations]:
    """As `read_instances`, with the keypoints of people."""
    return [
        _read(file, report, with_masks=labels is None or "masks" in labels, with_points=True)
        for file in find_files(path, "keypoints").values()
    ]


class Categories:
    """COCO's categories: their ids have gaps, so classes are renumbered in the order of the ids.

    Args:
        content: content of the file.
        file: path of the file.
        report: the report to add faults to.
    """

    def __init__(self, content: Mapping[str, Any], file: Path, report: AnnotationReport) -> None:
        self.file, self.report = file, report
        self.known: dict[int, dict[str, Any]] = {}
        for entry in content["categories"]:
            if not isinstance(entry, dict) or not isinstance(entry.get("id"), int):
                report.add(
                    "unreadable object", file, f"the category {str(entry)[:60]} has no id that is a whole number"
                )
            elif entry["id"] in self.known:
                report.add("duplicate id", file, f"two categories have the id {entry['id']}")
            else:
                self.known[entry["id"]] = entry
        self.ids = sorted(self.known)

    def names(self, ids: Sequence[int]) -> list[str]:
        """The names of the categories with these ids."""
        return [str(self.known[number].get("name", number)) for number in ids]

    def keypoints(self) -> Keypoints | None:
        """The keypoints of the first category that has any."""
        for number in self.ids:
            names = self.known[number].get("keypoints")
            if names:
                try:
                    pairs = self.known[number].get("skeleton") or []
                    return Keypoints.named(tuple(map(str, names)), tuple((int(a) - 1, int(b) - 1) for a, b in pairs))
                except (TypeError, ValueError) as error:
                    self.report.add("bad key points", self.file, f"the category {number} has a bad skeleton ({error})")
        return None


def read_json(file: Path, keys: Sequence[str], report: AnnotationReport) -> dict[str, Any] | None:
    """The content of a file, if it has lists under all `keys`; else None, and a fault is reported."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        report.add("unreadable file", file, f"it is no JSON ({error})")
        return None
    lacking = [key for key in keys if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if lacking:
        report.add("unreadable file", file, f"it has no list of {lacking[0]}")
        return None
    return dict(content)


def image_paths(file: Path, images: Sequence[Any], folder: Path | None = None) -> tuple[Path, set[str]]:
    """The folder of the images of a file (the first of the usual folders that contains any), and the names in it."""
    split = file.stem.rpartition("_")[2]
    names = [str(image.get("file_name")) for image in images[:20] if isinstance(image, dict)]
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    folders = [root / split, root / "images" / split, file.parent, file.parent / "images", root / "images", root]
    folders = [folder, *folders] if folder else folders
    chosen = next((one for one in folders if any((one / name).is_file() for name in names)), folders[0])
    return chosen, files_below(chosen)


def _read(file: Path, report: AnnotationReport, *, with_masks: bool, with_points: bool) -> Annotations:
    content = read_json(file, ("images", "annotations", "categories"), report)
    if content is None:
        return Collector(str(file), report).finish(())
    categories = Categories(content, file, report)
    keypoints = categories.keypoints() if with_points else None
    with_masks = with_masks and any(isinstance(one, dict) and one.get("segmentation") for one in content["annotations"])
    by_image = _by_image(content["annotations"], file, report)
    collector = Collector(str(file), report, keypoints=keypoints, with_masks=with_masks)
    label_of = {number: index for index, number in enumerate(categories.ids)}
    for path, size, number in images(content["images"], file, report):
        collector.start_image(path, size, image_id=number, file=file)
        for entry in by_image.pop(number, ()):
            _add(collector, entry, label_of, size, with_masks)
        collector.end_image()
    for number in by_image.keys() - stated_ids(content["images"]):
        for entry in by_image[number]:
            report.add("unknown image", file, f"annotation {entry['id']} has the image {number}")
    return collector.finish(categories.names(categories.ids), category_ids=categories.ids)


def images(
    images: Sequence[Any], file: Path, report: AnnotationReport, folder: Path | None = None
) -> list[tuple[str, tuple[int, int], int]]:
    """Path, size (H, W) and id of each image that exists and has a valid entry."""
    base, present = image_paths(file, images, folder)
    seen: set[int] = set()
    found = []
    for image in images:
        number = image.get("id") if isinstance(image, dict) else None
        if not isinstance(number, int) or abs(number) >= 2**63:
            report.add("unreadable object", file, f"an image has the id {number!r}, which is no whole number")
            continue
        name, size = str(image.get("file_name", "")), whole_size(image.get("height"), image.get("width"))
        pure = PurePosixPath(name)
        inside = bool(name) and not pure.is_absolute() and ".." not in pure.parts
        if number in seen:
            report.add("duplicate id", file, f"two images have the id {number}")
        elif size is None:
            report.add("wrong size", file, f"image {number} has no height and width in pixels")
        elif not inside or (name not in present and (len(pure.parts) == 1 or not (base / name).is_file())):
            report.add("missing image", file, f"the image {name!r} is not in {base}")
        else:
            found.append((str(base / name), size, number))
        seen.add(number)
    return found


def stated_ids(images: Sequence[Any]) -> set[int]:
    """The ids of all images in a file, including invalid entries."""
    return {image["id"] for image in images if isinstance(image, dict) and isinstance(image.get("id"), int)}


def _by_image(entries: Sequence[Any], file: Path, report: AnnotationReport) -> dict[Any, list[dict[str, Any]]]:
    """The annotations of each image, without duplicate ids."""
    seen: set[Any] = set()
    found: dict[Any, list[dict[str, Any]]] = {}
    for index, entry in enumerate(entries):
        number = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(number, int) or not isinstance(entry.get("image_id"), int):
            report.add(
                "unreadable object", file, f"annotation {number or f'at index {index}'} has no id or no image_id"
            )
        elif number in seen:
            report.add("duplicate id", file, f"two annotations have the id {number}")
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
