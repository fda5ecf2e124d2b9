"""LabelMe: a JSON file with shapes beside each image.

The format: https://github.com/wkentaro/labelme. Polygons, rectangles and circles are objects; those of one image that
share a `group_id` and a label are one object. Each split can have a folder of its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from res2net.files import files_in, subfolders
from res2net.images.decode import EXTENSIONS, BadImage, image_size
from res2net.images.faults import AnnotationReport
from res2net.images.paths import MissingFile, PathFinder
from res2net.images.splits import WHOLE, role_of
from res2net.images.text import BadText, plain_name, read_json
from res2net.tasks.objects.formats.collect import Collector, extent, numbers, whole_size
from res2net.tasks.objects.formats.images import Annotations
from res2net.tasks.objects.formats.masks import polygon_fault

_CIRCLE = 32
"""Corners of the polygon that stands for a circle."""


def labelme_splits(path: Path) -> list[str]:
    """The names of the splits of a folder with LabelMe's files; empty if it has none."""
    return list(_folders(path))


def _folders(path: Path) -> dict[str, list[Path]]:
    """The folders of each split."""
    if not path.is_dir():
        return {}
    inside = [folder for folder in subfolders(path) if _has_files(folder)]
    if any(role_of(folder.name) for folder in inside):
        return {folder.name: [folder] for folder in inside}
    found = [folder for folder in (path, *inside) if _has_files(folder)]
    return {WHOLE: found} if found else {}


def _has_files(folder: Path) -> bool:
    """Whether one of the first JSON files of a folder is of LabelMe."""
    return any(_content(file) is not None for file in _files(folder)[:3])


def _files(folder: Path) -> list[Path]:
    return files_in(folder, ".json")


def _content(file: Path) -> dict[str, Any] | None:
    """The content of one of LabelMe's files; None if it is none."""
    if file.stat().st_size > 2**26:  # with its image, a file has some megabytes
        return None
    try:
        content = read_json(file)
    except BadText:
        return None
    is_one = isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content
    return content if is_one else None


def read_labelme(
    path: Path, labels: Sequence[str] | None, report: AnnotationReport, splits: Sequence[str] | None = None
) -> dict[str, Annotations]:
    """Read splits, by default all; classes are the labels that occur in any split, in alphabetical order."""
    contents: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
    for split, folders in _folders(path).items():
        contents[split] = []
        for file in (file for folder in folders for file in _files(folder)):
            content = _content(file)
            if content is not None:
                contents[split].append((file, content))
            elif splits is None or split in splits:
                report.add("unreadable file", file, "it is not one of LabelMe's files")
    shapes = [shape for found in contents.values() for _, content in found for shape in _shapes(content)]
    names = sorted({_label(shape) for shape in shapes if _polygon(shape)} - {""})
    if others := Counter(str(shape.get("shape_type")) for shape in shapes if not _polygon(shape)):
        counted = ", ".join(f"{count} {kind}" for kind, count in others.items())
        report.remark(f"Shapes of {path} that are no objects, or have no area, are left out ({counted}).")
    with_masks = labels is None or "masks" in labels
    return {
        split: _collect(f"{path} {split}".strip(), path, found, names, with_masks, report)
        for split, found in contents.items()
        if splits is None or split in splits
    }


def _collect(
    name: str,
    root: Path,
    contents: Sequence[tuple[Path, dict[str, Any]]],
    names: Sequence[str],
    with_masks: bool,
    report: AnnotationReport,
) -> Annotations:
    collector = Collector(name, report, with_masks=with_masks)
    finders: dict[Path, PathFinder] = {}
    for file, content in contents:
        finder = finders.setdefault(file.parent, PathFinder(root, [file.parent, root]))
        try:
            image = _image(finder, str(content["imagePath"]), file)
            size = whole_size(content.get("imageHeight"), content.get("imageWidth")) or image_size(image)
        except MissingFile as error:
            report.add("missing image", file, f"the image {error}")
            continue
        except BadImage as error:
            report.add("unreadable image", file, f"{error.path}: {error.reason}")
            continue
        collector.start_image(image, size, file=file)
        for index, (label, rings) in enumerate(_objects(content)):
            where = f"object {index} ({label})"
            if not label:
                collector.fault("unknown class", f"object {index} has no label")
            elif with_masks and (fault := polygon_fault(rings, size)):
                collector.fault("bad mask", f"{where} {fault}")
            else:
                collector.add(where, names.index(label), extent(rings), mask=rings if with_masks else ())
        collector.end_image()
    report.remark(*(f"In {folder}, {note}." for folder, finder in finders.items() for note in finder.notes()))
    return collector.finish(names)


def _image(finder: PathFinder, written: str, file: Path) -> str:
    """The image that a file names, or else the one of its own name, since images are renamed with their files."""
    try:
        return finder.find(written)
    except MissingFile as error:
        try:
            return finder.find(file.stem, EXTENSIONS)
        except MissingFile:
            raise error from None


def _shapes(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [shape for shape in content["shapes"] if isinstance(shape, dict)]


def _label(shape: Mapping[str, Any]) -> str:
    label = shape.get("label")
    return "" if label is None else plain_name(str(label))


def _objects(content: Mapping[str, Any]) -> Iterator[tuple[str, list[list[float]]]]:
    """Yield the label and the polygons of each object."""
    groups: dict[tuple[str, str], list[list[float]]] = {}
    for index, shape in enumerate(_shapes(content)):
        if polygon := _polygon(shape):
            group = shape.get("group_id")
            key = f"shape {index}" if group is None else f"group {group}"
            groups.setdefault((_label(shape), key), []).append(polygon)
    yield from ((label, rings) for (label, _), rings in groups.items())


def _polygon(shape: Mapping[str, Any]) -> list[float]:
    """The outline of a shape as a flat list of x and y; empty if it has no area."""
    points = shape.get("points")
    flat = [numbers(point) for point in points] if isinstance(points, list) else []
    kind = shape.get("shape_type") or "polygon"
    if not flat or any(len(point) != 2 for point in flat):
        return []
    if kind in ("rectangle", "mask") and len(flat) == 2:
        (x, y), (right, bottom) = flat
        return [x, y, right, y, right, bottom, x, bottom]
    if kind == "circle" and len(flat) == 2:
        (x, y), radius = flat[0], math.dist(*flat)
        turns = [2 * math.pi * step / _CIRCLE for step in range(_CIRCLE)]
        return [value for turn in turns for value in (x + radius * math.cos(turn), y + radius * math.sin(turn))]
    if kind in ("polygon", "rectangle") and len(flat) >= 3:
        return [value for point in flat for value in point]
    return []
