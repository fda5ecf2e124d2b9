"""Count the contents of data sets with objects, for `res2net data check`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from res2net.images.decode import BadImage, image_size
from res2net.images.faults import AnnotationReport
from res2net.tasks.objects.formats.images import Annotations
from res2net.tasks.objects.formats.masks import MaskFiles

__all__ = ["LARGE", "SMALL", "Survey", "check_images", "survey"]

SMALL, LARGE = 32**2, 96**2
"""COCO's thresholds of areas in square pixels: objects below the first are small, from the second on large."""


@dataclass(frozen=True)
class Survey:
    """Counts of one split; `classes` has the number of objects of each class."""

    images: int
    empty: int
    objects: int
    small: int
    medium: int
    large: int
    crowds: int
    difficult: int
    classes: tuple[int, ...]
    labelled_points: int | None
    """Number of labelled keypoints, hidden or visible; None if the data set has no keypoints."""


def survey(annotations: Annotations) -> Survey:
    """Count the contents of a split; sizes are those of `area`, as in COCO."""
    area, points = annotations.area, annotations.points
    small, large = int((area < SMALL).sum()), int((area >= LARGE).sum())
    return Survey(
        images=len(annotations.paths),
        empty=int((np.diff(annotations.starts) == 0).sum()),
        objects=len(area),
        small=small,
        medium=len(area) - small - large,
        large=large,
        crowds=int(annotations.crowd.sum()),
        difficult=int(annotations.difficult.sum()),
        classes=tuple(np.bincount(annotations.labels, minlength=len(annotations.class_names)).tolist()),
        labelled_points=None if points is None else int((points[..., 2] > 0).sum()),
    )


def check_images(annotations: Annotations, report: AnnotationReport) -> None:
    """Check the size of every image and mask file by its header; faults go to the report."""
    _check_sizes(annotations.paths, annotations, report)
    if isinstance(annotations.masks, MaskFiles):
        _check_sizes(annotations.masks.paths, annotations, report)


def _check_sizes(paths: Sequence[str], annotations: Annotations, report: AnnotationReport) -> None:
    for path, (height, width) in zip(paths, annotations.sizes.tolist(), strict=True):
        try:
            found = image_size(path)
        except BadImage as error:
            report.add("unreadable image", path, error.reason)
            continue
        if found != (height, width):
            reason = f"it has {found[1]} x {found[0]} pixels, and its annotations are for {width} x {height}"
            report.add("wrong size", path, reason)
