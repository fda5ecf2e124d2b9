"""Images with a label for each pixel: semantic segmentation, salient objects, depth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from res2net.images.decode import BadImage, read_turned
from res2net.images.samples import Sample
from res2net.tasks.pixels.formats.codings import Coding, turned

__all__ = ["LABELS", "PixelFiles", "PixelImages"]

LABELS = ("semantic", "saliency", "depth")
"""The possible labels of pixels; see `PixelImages`."""


@dataclass(frozen=True)
class PixelFiles:
    """The files of one split.

    Args:
        name: name of the data set.
        label: one of `LABELS`.
        class_names: the classes of `semantic`; for other labels, the name of the predicted quantity.
        paths: paths of the images.
        maps: paths of the label maps, one per image.
        coding: reads the label maps.
    """

    name: str
    label: str
    class_names: Sequence[str]
    paths: Sequence[str]
    maps: Sequence[str]
    coding: Coding


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
        everything = range(len(files.paths))
        self.chosen = np.fromiter(everything if chosen is None else chosen, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Sample:
        position = int(self.chosen[index])
        image, orientation = read_turned(self.files.paths[position])
        labels = self._labels(position, orientation, (image.height, image.width))
        return image, {self.files.label: tv_tensors.Mask(as_tensor(labels))}

    @property
    def label(self) -> str:
        """The label of the pixels, one of `LABELS`."""
        return self.files.label

    @property
    def paths(self) -> list[str]:
        """The files of the images."""
        return [self.files.paths[image] for image in self.chosen]

    @property
    def class_names(self) -> Sequence[str]:
        """The names of the classes; for saliency and depth, the name of the predicted quantity."""
        return self.files.class_names

    def subset(self, indices: Iterable[int]) -> PixelImages:
        """The samples with these indices, in that order; the lists of files are shared."""
        return PixelImages(self.files, self.chosen[np.fromiter(indices, dtype=np.int64)])

    def _labels(self, image: int, orientation: int, size: tuple[int, int]) -> NDArray[Any]:
        path = self.files.maps[image]
        labels = turned(self.files.coding.read(path), orientation, size)
        if labels.shape != size:
            raise BadImage.at(path, size_fault((labels.shape[0], labels.shape[1]), size))
        return labels


def size_fault(found: tuple[int, int], expected: tuple[int, int]) -> str:
    """A message that a label map does not have the size (H, W) of its image."""
    return f"it has {found[1]} x {found[0]} pixels, and its image has {expected[1]} x {expected[0]}"


def as_tensor(labels: NDArray[Any]) -> Tensor:
    """Convert labels to a tensor, copying them if they are not contiguous."""
    return torch.from_numpy(np.ascontiguousarray(labels))
