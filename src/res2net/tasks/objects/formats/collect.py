"""From the files of any format to `Annotations`: readers hand over what they find, here it is checked and packed."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from res2net.images.faults import AnnotationReport
from res2net.images.keypoints import PIXEL_MIDDLE, Keypoints
from res2net.tasks.objects.formats.images import Annotations, StuffSource
from res2net.tasks.objects.formats.masks import MaskFiles, PackedMasks

__all__ = ["SLACK", "Collector", "files_below", "numbers", "whole_size"]

SLACK = 1.0
"""Pixels that a box or a key point may lie outside of its image, since programs round in different ways."""

LARGEST = 1e9
"""Number of an annotation that can mean anything."""

LONGEST_SIDE = 2**16
"""Pixels: no format of images in use has longer sides."""


class Collector:
    """Takes images and their objects one by one; what is wrong goes to the report and not into the result.

    Args:
        name: of the data set.
        report: gets the faults and notes.
        keypoints: what the key points are, where objects have any.
        with_masks: whether each object brings its mask.
    """

    def __init__(
        self, name: str, report: AnnotationReport, *, keypoints: Keypoints | None = None, with_masks: bool = False
    ) -> None:
        self.name, self.report, self.keypoints = name, report, keypoints
        self.file = ""
        self._paths: list[str] = []
        self._ids = array("q")
        self._sizes = array("i")
        self._starts = array("q", [0])
        self._boxes, self._points, self._area = array("f"), array("f"), array("f")
        self._labels = array("i")
        self._crowd, self._difficult = bytearray(), bytearray()
        self._masks = PackedMasks() if with_masks else None

    def start_image(self, path: str, size: tuple[int, int], *, image_id: int | None = None, file: object) -> None:
        """Begin an image of `size` (H, W), to which the objects that follow belong.

        Args:
            path: of the image.
            size: height and width in pixels.
            image_id: by default the index of the image.
            file: of the annotations, which reports of faults name.
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
    ) -> bool:
        """Take one object of the image, unless something is wrong with it; says whether it was taken.

        Args:
            where: names it in a fault, such as "annotation 7".
            label: index of its class.
            box: XYXY in pixels.
            area: in square pixels; that of the box where it is no number of 0 or more.
            crowd: whether it is a region of many objects.
            difficult: whether it is not to be evaluated.
            points: x, y and visibility of each key point, flat; x and y count pixels from 0, as COCO's files do.
            mask: checked already, for `PackedMasks.add`.
        """
        edges = numbers(box)
        if not self._box_fits(where, edges) or (self.keypoints is not None and not self._points_fit(where, points)):
            return False
        self._boxes.extend(edges)
        left, top, right, bottom = edges
        stated = numbers([area])
        self._area.append(stated[0] if stated and stated[0] >= 0 else (right - left) * (bottom - top))
        self._labels.append(label)
        self._crowd.append(crowd)
        self._difficult.append(difficult)
        if self.keypoints is not None:
            self._points.extend(numbers(points))
        if self._masks is not None:
            self._masks.add(mask)
        return True

    def end_image(self) -> None:
        """All objects of the image were given."""
        self._starts.append(len(self._labels))
        if self._starts[-1] == self._starts[-2]:
            self.report.note("no objects")

    def __len__(self) -> int:
        """The number of images so far."""
        return len(self._paths)

    def finish(
        self,
        class_names: Sequence[str],
        *,
        masks: MaskFiles | None = None,
        stuff: StuffSource | None = None,
        stuff_names: Sequence[str] = (),
        category_ids: Sequence[int] = (),
        stuff_category_ids: Sequence[int] = (),
    ) -> Annotations:
        """All that was taken, with what else a format knows."""
        points = None
        if self.keypoints is not None:
            points = np.array(self._points, dtype=np.float32).reshape(-1, len(self.keypoints), 3)
            points[..., :2] += PIXEL_MIDDLE
        return Annotations(
            self.name,
            list(class_names),
            self._paths,
            np.array(self._ids, dtype=np.int64),
            np.array(self._sizes, dtype=np.int32).reshape(-1, 2),
            np.array(self._starts, dtype=np.int64),
            np.array(self._boxes, dtype=np.float32).reshape(-1, 4),
            np.array(self._labels, dtype=np.int32),
            np.array(self._area, dtype=np.float32),
            np.array(self._crowd, dtype=np.bool_),
            np.array(self._difficult, dtype=np.bool_),
            points,
            masks or (self._masks.finish() if self._masks is not None else None),
            self.keypoints,
            stuff,
            list(stuff_names),
            list(category_ids),
            list(stuff_category_ids),
        )

    def fault(self, kind: str, what: str) -> None:
        """A fault in the annotations of this image."""
        self.report.add(kind, self.file, what)

    def _box_fits(self, where: str, edges: Sequence[float]) -> bool:
        if len(edges) != 4:
            self.fault("degenerate box", f"{where} has no box of four numbers")
            return False
        left, top, right, bottom = edges
        if right <= left or bottom <= top:
            self.fault("degenerate box", f"{where} has a box of {right - left:g} x {bottom - top:g} pixels")
            return False
        height, width = self._size
        if (
            min(left, top) < -SLACK
            or right > width + SLACK
            or bottom > height + SLACK
            or left >= width
            or top >= height
        ):
            self.fault(
                "box outside",
                f"{where} has a box from ({left:g}, {top:g}) to ({right:g}, {bottom:g}) and its image has "
                f"{width} x {height} pixels",
            )
            return False
        return True

    def _points_fit(self, where: str, points: object) -> bool:
        assert self.keypoints is not None
        names, (height, width) = self.keypoints.names, self._size
        values = numbers(points)
        if len(values) != 3 * len(names):
            self.fault("bad key points", f"{where} has no list of x, y and visibility for each of {len(names)} points")
            return False
        for name, x, y, visible in zip(names, values[::3], values[1::3], values[2::3], strict=True):
            if visible not in (0, 1, 2):
                self.fault(
                    "bad key points", f"{where} says {visible:g} for the visibility of {name}, and it is 0, 1 or 2"
                )
                return False
            if visible and not (-SLACK <= x <= width + SLACK and -SLACK <= y <= height + SLACK):
                self.fault(
                    "key point outside",
                    f"{where} has its {name} at ({x:g}, {y:g}) and its image has {width} x {height} pixels",
                )
                return False
        return True


def numbers(values: object) -> list[float]:
    """The values as finite numbers of at most a billion; an empty list where they are not all such."""
    if not isinstance(values, list | tuple):
        return []
    try:
        found = array("d", values).tolist()  # it refuses text, and is much faster than a look at each value
    except (TypeError, OverflowError):
        return []
    usable = bool(found) and min(found) >= -LARGEST and max(found) <= LARGEST and not math.isnan(sum(found))
    return found if usable else []


def whole_size(height: object, width: object) -> tuple[int, int] | None:
    """Height and width where both are whole numbers of pixels that an image can have."""
    sides = [side for side in (height, width) if isinstance(side, int) and 1 <= side <= LONGEST_SIDE]
    return (sides[0], sides[1]) if len(sides) == 2 else None


def files_below(folder: Path) -> set[str]:
    """The names of the files in a folder, from one look at it: to ask for each would take long on a network."""
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
