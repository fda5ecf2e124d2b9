"""YOLO's text files: one line per object with its class and its box or polygon, relative to the size of the image.

The format: https://docs.ultralytics.com/datasets/detect/. The labels of `.../images/x.jpg` are in `.../labels/x.txt`,
or beside the image. A root has `images/train` and `labels/train`, or `train/images` and `train/labels` (and the same
for `val` or any other split), or just `images` and `labels`; or a `data.yaml` with the folders of images and the names
of the classes. Without it, the names come from `classes.txt`. CVAT's YOLO 1.1 has `obj.data`, `obj.names` and lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from res2net.errors import InputError
from res2net.images.decode import BadImage, image_size
from res2net.images.faults import AnnotationReport
from res2net.images.text import read_lines
from res2net.tasks.objects.formats.collect import Collector
from res2net.tasks.objects.formats.images import Annotations
from res2net.tasks.objects.formats.yolo_layout import find_layout

Line = tuple[int, list[float]]
"""The index of a line, from 1, and its numbers: class, centre x, centre y, width, height; or class, x, y, x, y, ..."""

_Labelled = tuple[str, Path, list[Line]]
"""An image, its label file, and the lines in it."""


def read_yolo(
    path: Path, labels: Sequence[str] | None, report: AnnotationReport, splits: Sequence[str] | None = None
) -> dict[str, Annotations]:
    """Read splits, by default all; there are masks if every object has a polygon."""
    layout = find_layout(path)
    if layout is None:
        raise InputError(f"{path} has no YOLO labels: give a folder with `images` and `labels`, or a data.yaml.")
    report.remark(*layout.notes)
    for split, sentence in layout.missing.items():
        if splits is not None and split in splits:
            raise InputError(sentence)
        if splits is None:
            report.remark(sentence)
    wanted = set(layout.splits) if splits is None else set(splits)
    lines: dict[str, list[_Labelled]] = {}
    for split in layout.splits:
        # Files of other splits are read if only they tell the classes.
        if split in wanted or layout.names is None:
            told = report if split in wanted else AnnotationReport(path)
            lines[split] = [
                (image, file, _lines(file, told))
                for image in layout.images(split, told)
                for file in [_label_file(image)]
            ]
    _check_labels({split: lines[split] for split in lines if split in wanted}, report)
    objects = [numbers for found in lines.values() for _, _, one in found for _, numbers in one]
    names = layout.names
    if names is None:
        report.remark(f"The classes of {path} have no names, as in data.yaml or classes.txt, and go by their numbers.")
        names = [str(label) for label in range(int(max((numbers[0] for numbers in objects), default=-1)) + 1)]
    polygons = sum(len(numbers) > 5 for numbers in objects)
    with_masks = 0 < polygons == len(objects) and (labels is None or "masks" in labels)
    if 0 < polygons < len(objects):
        report.remark(f"Of {len(objects)} objects in {path}, {polygons} have a polygon, so that there are only boxes.")
    return {
        split: _collect(f"{path} {split}".strip(), found, names, with_masks, report)
        for split, found in lines.items()
        if split in wanted
    }


def _check_labels(splits: Mapping[str, Sequence[_Labelled]], report: AnnotationReport) -> None:
    """Report images without label files, which count as images without objects if only some have none."""
    pairs = [(image, file) for found in splits.values() for image, file, _ in found]
    lacking = [(image, file) for image, file in pairs if not file.is_file()]
    if lacking:
        image, file = lacking[0]
        if len(lacking) == len(pairs):
            what = f"none of {len(pairs)} images has a label file, which is {file} for {image}"
            report.add("missing labels", file.parent, what)
        else:
            what = f"{len(lacking)} of {len(pairs)} images have no label file, and count as images without objects"
            report.remark(f"{what}: there is no {file} for {image}.")


def _label_file(image: str) -> Path:
    """The file `.../labels/x.txt` for `.../images/x.jpg`, where the last folder `images` is replaced, or `x.txt`."""
    path = Path(image)
    indices = [index for index, part in enumerate(path.parts[:-1]) if part.lower() == "images"]
    folder = path.parent
    if indices:
        name = "labels" if path.parts[indices[-1]].islower() else "Labels"
        folder = Path(*path.parts[: indices[-1]], name, *path.parts[indices[-1] + 1 : -1])
    files = [
        one / f"{path.stem}{ending}" for one in dict.fromkeys([folder, path.parent]) for ending in (".txt", ".TXT")
    ]
    return next((file for file in files if file.is_file()), files[0])


def _lines(file: Path, report: AnnotationReport) -> list[Line]:
    """The objects of a label file; an image without objects does not need one."""
    if not file.is_file():
        return []
    found = []
    for number, line in enumerate(read_lines(file), start=1):
        if not line:
            continue
        try:
            numbers = [float(word) for word in line.split()]
        except ValueError:
            numbers = []
        if len(numbers) == 6 and 0 <= numbers[5] <= 1:
            report.remark("The sixth numbers in label files are scores of a detector, and are not used.")
            numbers = numbers[:5]
        whole = bool(numbers) and numbers[0].is_integer() and 0 <= numbers[0] < 2**31
        if not whole or not (len(numbers) == 5 or (len(numbers) >= 7 and len(numbers) % 2)):
            report.add(
                "unreadable object", file, f"line {number} is not a class with a box or a polygon: {line[:60]!r}"
            )
        elif not all(abs(value) <= 2 for value in numbers[1:]):
            what = f"line {number} has numbers that are not shares of an image, from 0 to 1: {line[:60]!r}"
            report.add("box outside", file, what)
        else:
            found.append((number, numbers))
    return found


def _collect(
    name: str,
    split: Sequence[tuple[str, Path, list[Line]]],
    names: Sequence[str],
    with_masks: bool,
    report: AnnotationReport,
) -> Annotations:
    collector = Collector(name, report, with_masks=with_masks, sizes_are_stated=False)
    for image, file, lines in split:
        try:
            size = image_size(image)
        except BadImage as error:
            kind = "unreadable image" if Path(image).exists() else "missing image"
            report.add(kind, image, error.reason)
            continue
        collector.start_image(image, size, file=file)
        seen: set[tuple[float, ...]] = set()
        for number, numbers in lines:
            if tuple(numbers) in seen:
                collector.fault("duplicate id", f"line {number} is the same as one before")
            elif numbers[0] >= len(names):
                collector.fault("unknown class", f"line {number} has the class {numbers[0]:g} of {len(names)}")
            else:
                box, ring = _pixels(numbers[1:], size)
                as_edges = [] if ring else [share * size[1 - index % 2] for index, share in enumerate(numbers[1:])]
                collector.add(f"line {number}", int(numbers[0]), box, mask=[ring], as_edges=as_edges)
            seen.add(tuple(numbers))
        collector.end_image()
    return collector.finish(names)


def _pixels(shares: Sequence[float], size: tuple[int, int]) -> tuple[list[float], list[float]]:
    """The box in pixels, XYXY, and the polygon as a flat list, empty if the object has only a box."""
    height, width = size
    if len(shares) == 4:
        x, y, dx, dy = shares[0], shares[1], shares[2] / 2, shares[3] / 2
        return [(x - dx) * width, (y - dy) * height, (x + dx) * width, (y + dy) * height], []
    scaled: list[Any] = [share * (height if index % 2 else width) for index, share in enumerate(shares)]
    return [min(scaled[::2]), min(scaled[1::2]), max(scaled[::2]), max(scaled[1::2])], scaled
