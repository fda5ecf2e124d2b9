"""Collect the objects that the readers of formats find, check them, and pack them into `Annotations`."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from res2net.files import is_hidden
from res2net.images.decode import LONGEST_SIDE
from res2net.images.faults import AnnotationReport
from res2net.images.keypoints import PIXEL_MIDDLE, Keypoints
from res2net.tasks.objects.formats.images import Annotations
from res2net.tasks.objects.formats.masks import MaskFiles, PackedMasks
from res2net.tasks.objects.formats.orientation import are_for_stored

SLACK = 1.0
"""Tolerance in pixels for boxes and keypoints outside of their image, since programs round in different ways."""

LARGEST = 1e9
"""Largest absolute value of a number in an annotation that is accepted."""


class Collector:
    """Collects images and their objects one by one; faulty objects are reported and left out.

    Args:
        name: name of the data set.
        report: the report to add faults and notes to.
        keypoints: the keypoints of the objects; None if they have none.
        with_masks: whether each object has a mask.
        sizes_are_stated: whether the sizes of images are those in the annotations.
    """

    def __init__(
        self,
        name: str,
        report: AnnotationReport,
        *,
        keypoints: Keypoints | None = None,
        with_masks: bool = False,
        sizes_are_stated: bool = True,
    ) -> None:
        self._sizes_are_stated = sizes_are_stated
        self.name, self.report, self.keypoints = name, report, keypoints
        self.file = ""
        self._paths: list[str] = []
        self._ids, self._sizes, self._starts = array("q"), array("i"), array("q", [0])
        self._boxes, self._points, self._area = array("f"), array("f"), array("f")
        self._labels, self._crowd, self._difficult = array("i"), bytearray(), bytearray()
        self._masks = PackedMasks() if with_masks else None
        self._seen = self._outside = 0
        self._edges = self._edges_by_area = 0  # boxes whose numbers could be edges, and those whose area says so

    def start_image(self, path: str, size: tuple[int, int], *, image_id: int | None = None, file: object) -> None:
        """Start an image of a size (H, W), by default with its index as id; objects that are added next belong to it.

        Reports of faults name the file of the annotations.
        """
        self._paths.append(path)
        self._ids.append(len(self._paths) - 1 if image_id is None else image_id)
        self._sizes.extend(size)
        self._size = size
        self.file = str(file)

    def add(
        self,
        where: str,
        label: int,
        box: Sequence[object],
        *,
        area: object = None,
        crowd: bool = False,
        difficult: bool = False,
        points: object = None,
        mask: Sequence[Sequence[float]] | bytes = (),
        as_edges: Sequence[float] = (),
    ) -> bool:
        """Add an object to the current image, unless it is faulty; returns whether it was added.

        Args:
            where: name of the object in reports of faults, such as "annotation 7".
            label: index of its class.
            box: box in pixels, XYXY.
            area: area in square pixels; if it is not a number of 0 or more, that of the box is used.
            crowd: whether it is a region of many objects.
            difficult: whether to exclude it from the evaluation.
            points: flat list of x, y and visibility of each keypoint; x and y are pixel indices, as in COCO's files.
            mask: a mask for `PackedMasks.add`, which has been checked.
            as_edges: the box in pixels, XYXY, that the numbers in the file would be if they were edges, where the
                format has others; if that fits all boxes better, it is reported.
        """
        edges = numbers(box)
        fault = self._box_fault(edges)
        given_area = numbers([area])
        self._seen += 1
        self._outside += fault is not None and fault[0] == "box outside"
        if len(as_edges) == 4 and self._box_fault(as_edges) is None:
            self._edges += 1
            self._edges_by_area += bool(given_area and edges) and _is_area_of(given_area[0], as_edges, edges)
        if fault is None and self.keypoints is not None:
            fault = self._points_fault(self.keypoints.names, points)
        if fault:
            kind, what = fault
            self.fault(kind, f"{where} {what}")
            return False
        self._boxes.extend(edges)
        left, top, right, bottom = edges
        self._area.append(given_area[0] if given_area and given_area[0] >= 0 else (right - left) * (bottom - top))
        self._labels.append(label)
        self._crowd.append(crowd)
        self._difficult.append(difficult)
        if self.keypoints is not None:
            self._points.extend(numbers(points))
        if self._masks is not None:
            self._masks.add(mask)
        return True

    def end_image(self) -> None:
        """Finish the current image."""
        self._starts.append(len(self._labels))

    def finish(self, class_names: Sequence[str], masks: MaskFiles | None = None, **further: Any) -> Annotations:
        """The annotations that were collected, with further fields of `Annotations`."""
        boxes = np.array(self._boxes, dtype=np.float32).reshape(-1, 4)
        points = None
        if self.keypoints is not None:
            points = np.array(self._points, dtype=np.float32).reshape(-1, len(self.keypoints), 3)
        self._check_units(boxes, points)
        if points is not None:
            points[..., :2] += PIXEL_MIDDLE
        sizes = np.array(self._sizes, dtype=np.int32).reshape(-1, 2)
        as_stored = are_for_stored(
            self._paths, sizes.tolist(), self.name, self.report, sizes_are_stated=self._sizes_are_stated
        )
        return Annotations(
            name=self.name,
            class_names=list(class_names),
            paths=self._paths,
            image_ids=np.array(self._ids, dtype=np.int64),
            sizes=sizes,
            starts=np.array(self._starts, dtype=np.int64),
            boxes=boxes,
            labels=np.array(self._labels, dtype=np.int32),
            area=np.array(self._area, dtype=np.float32),
            crowd=np.array(self._crowd, dtype=np.bool_),
            difficult=np.array(self._difficult, dtype=np.bool_),
            points=points,
            masks=masks or (self._masks and self._masks.finish()),
            keypoints=self.keypoints,
            as_stored=as_stored,
            **further,
        )

    def fault(self, kind: str, what: str) -> None:
        """Report a fault in the annotations of the current image."""
        self.report.add(kind, self.file, what)

    def _check_units(self, boxes: NDArray[np.float32], points: NDArray[np.float32] | None) -> None:
        """Report boxes and keypoints that as a whole cannot be what the format says."""
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
        small = int((sides <= 1).sum())
        # Boxes of one pixel each can be meant, unless all are in the first.
        shares = bool(len(boxes)) and (sides.max() < 1 or boxes.max() <= 1 or (sides.max() <= 1 and sides.min() < 1))
        advice = f"check their units, which are {'pixels' if self._sizes_are_stated else 'shares of the image'} here"
        placed = np.empty((0, 2)) if points is None else points[points[..., 2] > 0][:, :2]
        if self._seen == self._edges and (self._outside > 1 or self._edges_by_area == self._seen > 0):
            what = (
                f"all {self._seen} boxes fit their images as left, top, right and bottom edges, and {self._outside} "
                "lie outside as what this format has in their place: convert them"
            )
            self.report.add("wrong units", self.name, what)
        elif shares:
            self.report.add("wrong units", self.name, f"none of {small} boxes is larger than a pixel: {advice}")
        elif small:
            self.report.remark(f"{small} of {len(boxes)} boxes in {self.name} are not larger than a pixel.")
        if len(placed) and np.abs(placed).max() <= 1 and (placed % 1).any():
            self.report.add("wrong units", self.name, f"all {len(placed)} keypoints are in the first pixel: {advice}")

    def _box_fault(self, edges: Sequence[float]) -> tuple[str, str] | None:
        """The kind and the description of what is wrong with a box; None if it is valid."""
        if len(edges) != 4:
            return "degenerate box", "has no box of four numbers"
        left, top, right, bottom = edges
        if right <= left or bottom <= top:
            return "degenerate box", f"has a box of {right - left:g} x {bottom - top:g} pixels"
        height, width = self._size
        inside = min(left, top) >= -SLACK and right <= width + SLACK and bottom <= height + SLACK
        if not inside or left >= width or top >= height:
            return "box outside", (
                f"has a box from ({left:g}, {top:g}) to ({right:g}, {bottom:g}) and its image has {width} x {height} "
                "pixels"
            )
        return None

    def _points_fault(self, names: Sequence[str], points: object) -> tuple[str, str] | None:
        """The kind and the description of what is wrong with keypoints; None if they are valid."""
        height, width = self._size
        values = numbers(points)
        if len(values) != 3 * len(names):
            return "invalid keypoints", f"has no list of x, y and visibility for each of {len(names)} points"
        for name, x, y, visible in zip(names, values[::3], values[1::3], values[2::3], strict=True):
            if visible not in (0, 1, 2):
                return "invalid keypoints", f"says {visible:g} for the visibility of {name}, and it is 0, 1 or 2"
            if visible and not (-SLACK <= x <= width + SLACK and -SLACK <= y <= height + SLACK):
                what = f"has its {name} at ({x:g}, {y:g}) and its image has {width} x {height} pixels"
                return "keypoint outside", what
        return None


def _is_area_of(area: float, edges: Sequence[float], other: Sequence[float]) -> bool:
    """Whether an area is that of the first box, XYXY, and not that of the second."""
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (edges, other)]
    fits = [math.isclose(area, one, rel_tol=0.01) for one in areas]
    return fits[0] and not fits[1]


def numbers(values: object) -> list[float]:
    """The values as finite numbers of at most a billion; an empty list if any of them is not."""
    if not isinstance(values, list | tuple):
        return []
    try:
        found = array("d", values).tolist()  # rejects strings, and is much faster than checking each value
    except (TypeError, OverflowError):
        return []
    usable = bool(found) and min(found) >= -LARGEST and max(found) <= LARGEST and not math.isnan(sum(found))
    return found if usable else []


def extent(rings: Sequence[Sequence[float]]) -> list[float]:
    """The box around polygons, each a flat list of x and y, as edges; empty if there are none."""
    across = [value for ring in rings for value in ring[::2]]
    down = [value for ring in rings for value in ring[1::2]]
    return [min(across), min(down), max(across), max(down)] if across and down else []


def whole_size(height: object, width: object) -> tuple[int, int] | None:
    """Height and width if both are integers in the accepted range, else None."""
    sides = [side for side in (height, width) if isinstance(side, int) and 1 <= side <= LONGEST_SIDE]
    return (sides[0], sides[1]) if len(sides) == 2 else None


def files_below(folder: Path) -> set[str]:
    """The names of the files in a folder, listed at once, since checking each file is slow on a network drive."""
    return {entry.name for entry in folder.iterdir() if not is_hidden(entry.name)} if folder.is_dir() else set()
