"""Check label maps before they are used, and count their contents for `res2net data check`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from res2net.images.decode import BadImage, image_header
from res2net.images.faults import AnnotationReport
from res2net.images.samples import UNLABELLED
from res2net.tasks.pixels.formats.codings import turned
from res2net.tasks.pixels.formats.images import PixelFiles, size_fault

__all__ = ["PixelSurvey", "good_images"]


@dataclass
class PixelSurvey:
    """Counts of one split, which `good_images` fills.

    Args:
        classes: the number of pixels of each class; for saliency, of pixels that are not salient and that are.
    """

    classes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    read: int = 0
    """Number of maps whose pixels were counted."""
    empty: int = 0
    """Number of maps without any labelled pixel."""
    single: int = 0
    """Number of maps in which all labelled pixels have the same class."""
    unlabelled: int = 0
    """Number of pixels without a label, or of unknown depth."""
    nearest: float = float("inf")
    """The smallest depth in metres."""
    farthest: float = 0.0
    """The largest depth in metres."""
    metres: float = 0.0
    """The sum of all depths in metres."""


def good_images(
    files: PixelFiles,
    report: AnnotationReport,
    survey: PixelSurvey,
    contents: Iterable[int] | None = None,
    *,
    keep_unreadable: bool = False,
) -> list[int]:
    """The indices of the images without faults; faults are added to the report.

    Args:
        files: the files of the split.
        report: the report to add faults to.
        survey: the counts to update.
        contents: indices of the maps whose pixels are read, while only the headers of others are; None reads all.
        keep_unreadable: keep images that cannot be read, which are then reported when they are used.
    """
    to_read = set(range(len(files.paths)) if contents is None else contents)
    good = []
    for index, (path, labels) in enumerate(zip(files.paths, files.maps, strict=True)):
        try:
            size, orientation = image_header(path)
        except BadImage as error:
            if keep_unreadable:
                good.append(index)
            else:
                report.add("unreadable image", path, error.reason)
            continue
        try:
            height, width = files.coding.size(labels)
        except BadImage as error:
            report.add("unreadable file", labels, error.reason)
            continue
        if (height, width) != size and (orientation < 5 or (width, height) != size):
            report.add("wrong size", labels, size_fault((height, width), size))
            continue
        if index in to_read:
            try:
                found = turned(files.coding.read(labels), orientation, size)
            except BadImage as error:
                report.add("label outside" if "is no class" in error.reason else "bad mask", labels, error.reason)
                continue
            _count(files, found, survey)
        good.append(index)
    return good


def _count(files: PixelFiles, labels: NDArray[Any], survey: PixelSurvey) -> None:
    survey.read += 1
    if files.label == "depth":
        known = labels[labels > 0]
        survey.unlabelled += labels.size - known.size
        survey.metres += float(known.sum(dtype=np.float64))
        survey.nearest = min(survey.nearest, float(known.min(initial=np.inf)))
        survey.farthest = max(survey.farthest, float(known.max(initial=0)))
        survey.classes = np.array([known.size + survey.classes.sum()])
        present = int(known.size > 0)
    else:
        count = np.bincount(labels.ravel(), minlength=UNLABELLED + 1)
        survey.unlabelled += int(count[UNLABELLED])
        of_class = count[: max(len(files.class_names), 2 if files.label == "saliency" else 1)]
        survey.classes = of_class + (survey.classes if len(survey.classes) else 0)
        present = int((of_class > 0).sum())
    survey.empty += not present
    survey.single += present == 1 and files.label != "depth"
