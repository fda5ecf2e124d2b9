"""Images with a label for each pixel (semantic segmentation, salient objects or depth), and checks of their files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from torchvision import tv_tensors

from res2net.images.decode import BadImage, image_header, read_turned
from res2net.images.faults import AnnotationReport
from res2net.images.samples import UNLABELLED, Origin, Sample
from res2net.tasks.pixels.formats.codings import Coding, Turning

Pair = tuple[str, str]
"""The path of an image, and that of its label map."""


@dataclass(frozen=True)
class PixelFiles:
    """The files of one split."""

    name: str
    """The name of the data set."""
    label: str
    """What the maps tell: "semantic", "saliency" or "depth"."""
    class_names: Sequence[str]
    """The classes of `semantic`; for other labels, the name of the predicted quantity."""
    pairs: Sequence[Pair]
    coding: Coding
    """Reads the label maps."""
    report: AnnotationReport = field(default_factory=lambda: AnnotationReport(""))
    """Faults and remarks of listing the files."""
    turning: Turning = field(default_factory=Turning)
    """How the maps of images that EXIF turns are turned; shared by the splits of a data set."""


class PixelImages(Dataset[Sample]):
    """Images with a label for each pixel: `(PIL.Image, target)`; a pair that cannot be read raises `BadImage`.

    The image is upright RGB, and the target has one entry, a `tv_tensors.Mask` `(H, W)` of the same size:

    - `semantic` uint8: an index in `class_names`, or 255 for unlabelled pixels
    - `saliency` bool: whether the pixel belongs to a salient object
    - `depth` float32: metres from the camera, or 0 if it is unknown

    Args:
        files: the files of a split.
        chosen: indices in `files` of the images to use; by default all.
    """

    reads_files = True

    def __init__(self, files: PixelFiles, chosen: Iterable[int] | None = None) -> None:
        self.files = files
        self.chosen = list(range(len(files.pairs)) if chosen is None else chosen)
        self.label, self.class_names = files.label, files.class_names

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Sample:
        path, map_path = self.files.pairs[self.chosen[index]]
        image, orientation = read_turned(path)
        size = (image.height, image.width)
        coding = self.files.coding
        labels = self.files.turning.apply(coding.read(map_path), coding.header(map_path)[1], orientation, size)
        if labels.shape != size:
            raise BadImage.at(map_path, size_fault((labels.shape[0], labels.shape[1]), size))
        return image, {self.label: tv_tensors.Mask(torch.from_numpy(np.ascontiguousarray(labels)))}

    @property
    def paths(self) -> list[str]:
        """The files of the images."""
        return [self.files.pairs[index][0] for index in self.chosen]

    def origin(self, index: int) -> Origin:
        """The files of a sample, for its fingerprint."""
        return self.files.pairs[self.chosen[index]], b""

    def subset(self, indices: Iterable[int]) -> PixelImages:
        """The samples with these indices, in that order; the lists of files are shared."""
        return PixelImages(self.files, [self.chosen[index] for index in indices])


def size_fault(found: tuple[int, int], expected: tuple[int, int]) -> str:
    """A message that a label map does not have the size (H, W) of its image."""
    return f"it has {found[1]} x {found[0]} pixels, and its image has {expected[1]} x {expected[0]}"


@dataclass
class PixelSurvey:
    """Counts of one split, which `good_images` fills."""

    classes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """The number of pixels of each class; for saliency, of pixels that are not salient and that are."""
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
    present: dict[str, list[int]] = field(default_factory=dict)
    """The classes that occur in each map, by its path."""
    metres: float = 0.0
    """The sum of all depths in metres."""

    def count(self, files: PixelFiles, labels: NDArray[Any], path: str) -> None:
        """Count the labels `(H, W)` of the map at a path."""
        self.read += 1
        if files.label == "depth":
            known = labels[labels > 0]
            self.unlabelled += labels.size - known.size
            self.metres += float(known.sum(dtype=np.float64))
            self.nearest = min(self.nearest, float(known.min(initial=np.inf)))
            self.farthest = max(self.farthest, float(known.max(initial=0)))
            self.classes = np.array([known.size + self.classes.sum()])
            self.empty += not known.size
            return
        count = np.bincount(labels.ravel(), minlength=UNLABELLED + 1)
        self.unlabelled += int(count[UNLABELLED])
        of_class = count[: max(len(files.class_names), 2 if files.label == "saliency" else 1)]
        self.classes = of_class + (self.classes if len(self.classes) else 0)
        self.present[path] = np.flatnonzero(of_class).tolist()
        present = len(self.present[path])
        self.empty += not present
        self.single += present == 1


def good_images(
    files: PixelFiles,
    report: AnnotationReport,
    survey: PixelSurvey,
    contents: Iterable[int] | None = None,
    *,
    keep_unreadable: bool = False,
) -> list[int]:
    """The indices of the images without faults; faults are added to the report, and counts to the survey.

    Of maps that are not in `contents` only the headers are read; None reads all. With `keep_unreadable`, images that
    cannot be read are kept, and reported when they are used.
    """
    to_read = set(range(len(files.pairs)) if contents is None else contents)
    good = []
    for index, (path, labels) in enumerate(files.pairs):
        try:
            size, orientation = image_header(path)
        except BadImage as error:
            if report.keeps(error, keep_unreadable):
                good.append(index)
            continue
        try:
            header = files.coding.header(labels)
        except BadImage as error:
            report.add("unreadable file", labels, error.reason)
            continue
        if not files.turning.add(size, orientation, header):
            report.add("wrong size", labels, size_fault(header[0], size))
            continue
        if index in to_read:
            try:
                survey.count(files, files.coding.read(labels), labels)
            except BadImage as error:
                report.add("label outside" if "is no class" in error.reason else "bad mask", labels, error.reason)
                continue
        good.append(index)
    return good
