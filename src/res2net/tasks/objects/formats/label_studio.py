"""Label Studio's own exports: a JSON file with a list of tasks, complete (JSON) or in short (JSON-MIN).

The format: https://labelstud.io/guide/export. Boxes and polygons are shares of the image in percent. What Label Studio
exports as COCO, VOC or YOLO is read as these.
"""

from __future__ import annotations

import math
import mmap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from res2net.files import files_in
from res2net.images.decode import EXTENSIONS, BadImage, image_size
from res2net.images.faults import AnnotationReport
from res2net.images.paths import MissingFile, PathFinder
from res2net.images.splits import WHOLE
from res2net.images.text import BadText, plain_name, read_json
from res2net.tasks.objects.formats.collect import Collector, extent, numbers, whole_size
from res2net.tasks.objects.formats.images import Annotations

_BOX, _POLYGON = "rectanglelabels", "polygonlabels"


def label_studio_splits(path: Path) -> list[str]:
    """`WHOLE` for a file that Label Studio exported, or a folder with one; else nothing."""
    return [WHOLE] if _file(path) else []


def _file(path: Path) -> Path | None:
    files = files_in(path, ".json") if path.is_dir() else [path]
    return next((file for file in files if file.is_file() and file.suffix == ".json" and _is_export(file)), None)


def _is_export(file: Path) -> bool:
    if not file.stat().st_size:
        return False
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        labelled = any(content.find(mark.encode()) >= 0 for mark in (_BOX, _POLYGON))
        return labelled and content[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def read_label_studio(
    path: Path, labels: Sequence[str] | None, report: AnnotationReport, splits: Sequence[str] | None = None
) -> dict[str, Annotations]:
    """Read all images, as a single split; there are masks if every object has a polygon."""
    del splits  # there is one
    file = _file(path)
    try:
        tasks = read_json(file) if file else []
    except BadText as error:
        report.add("unreadable file", path, error.reason)
        tasks = []
    root = path if path.is_dir() else path.parent
    finder = PathFinder(root, [root / "images", root])
    results = [(task, list(_results(task))) for task in tasks if isinstance(task, dict)]
    used = [result for _, found in results for result in found if _kind(result)]
    left = Counter(str(result.get("type", "label")) for _, found in results for result in found if not _kind(result))
    if left:
        counted = ", ".join(f"{count} {kind}" for kind, count in left.items())
        report.remark(f"Labels of {path} that are neither boxes nor polygons are left out ({counted}).")
    several = sum(len(_kept(task)) > 1 for task, _ in results)
    if several:
        report.remark(f"{several} images of {path} have several annotations, of which the last is used.")
    if rotated := sum(bool(result.get("rotation")) for result in used if _kind(result) == _BOX):
        report.remark(f"{rotated} boxes of {path} are rotated; the upright boxes around them are used.")
    names = sorted({_label(result) for result in used})
    with_masks = bool(used) and all(_kind(result) == _POLYGON for result in used)
    collector = Collector(str(path), report, with_masks=with_masks and (labels is None or "masks" in labels))
    for task, found in results:
        objects = [result for result in found if _kind(result)]
        try:
            image = _image(finder, task)
            size = _stated_size(objects) or image_size(image)
        except MissingFile as error:
            report.add("missing image", file or path, f"the image {error}")
            continue
        except BadImage as error:
            report.add("unreadable image", file or path, f"{error.path}: {error.reason}")
            continue
        collector.start_image(image, size, file=file)
        for index, result in enumerate(objects):
            ring = _outline(result, size)
            collector.add(
                f"object {index} ({_label(result)})", names.index(_label(result)), extent([ring]), mask=[ring]
            )
        collector.end_image()
    report.remark(*(f"In {file}, {note}." for note in finder.notes()))
    return {WHOLE: collector.finish(names)}


def _results(task: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the labels of a task as objects with `type`, the sizes and the entries of the value."""
    if isinstance(task.get("annotations"), list):
        for result in [result for one in _kept(task)[-1:] for result in one["result"]]:
            if isinstance(result, dict) and isinstance(result.get("value"), dict):
                yield {**result, **result["value"]}
        return
    for value in task.values():
        if isinstance(value, list):
            yield from (one for one in value if isinstance(one, dict))


def _kept(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The annotations of a task by different people or at different times, without those that were cancelled."""
    found = task.get("annotations")
    every = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return [one for one in every if isinstance(one.get("result"), list) and not one.get("was_cancelled")]


def _kind(result: Mapping[str, Any]) -> str:
    return next((kind for kind in (_BOX, _POLYGON) if isinstance(result.get(kind), list) and result[kind]), "")


def _label(result: Mapping[str, Any]) -> str:
    return plain_name(str(result[_kind(result)][0]))


def _image(finder: PathFinder, task: Mapping[str, Any]) -> str:
    """The image of a task, whose name in an upload may have a prefix that the file does not have, or the reverse."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    texts = [value for value in data.values() if isinstance(value, str)]
    written = next((text for text in texts if any(end in text.lower() for end in EXTENSIONS)), str(data.get("image")))
    upload = task.get("file_upload")
    names = [written, *([upload] if isinstance(upload, str) else [])]
    names += [PurePosixPath(name).name.partition("-")[2] for name in names]
    first: MissingFile | None = None
    for name in names:
        try:
            return finder.find(name)
        except MissingFile as error:
            first = first or error
    raise first or MissingFile("of a task is not named")


def _stated_size(objects: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    return next(
        (size for one in objects if (size := whole_size(one.get("original_height"), one.get("original_width")))), None
    )


def _outline(result: Mapping[str, Any], size: tuple[int, int]) -> list[float]:
    """The corners of a box, which can be rotated around its first, or of a polygon, in pixels; empty if it has none."""
    height, width = size
    if _kind(result) == _POLYGON:
        points = result.get("points")
        flat = [numbers(point) for point in points] if isinstance(points, list) else []
        if len(flat) < 3 or any(len(point) != 2 for point in flat):
            return []
        return [share * side / 100 for point in flat for share, side in zip(point, (width, height), strict=True)]
    values = numbers([result.get(name) for name in ("x", "y", "width", "height")])
    if not values:
        return []
    left, top, across, down = (share * side / 100 for share, side in zip(values, (width, height) * 2, strict=True))
    turn = math.radians(float((numbers([result.get("rotation")]) or [0.0])[0]))
    corners = [(0.0, 0.0), (across, 0.0), (across, down), (0.0, down)]
    cosine, sine = math.cos(turn), math.sin(turn)
    return [value for x, y in corners for value in (left + x * cosine - y * sine, top + x * sine + y * cosine)]
