"""What flows out of a data set: samples, broken images that were skipped, and batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset, default_collate
from torchvision import tv_tensors

from res2net.errors import InputError, check_choice
from res2net.images.decode import DECODES, BadImage

__all__ = [
    "BAD_IMAGES",
    "OBJECT_ENTRIES",
    "SIDE_MULTIPLE",
    "UNLABELLED",
    "Generated",
    "Sample",
    "Samples",
    "Skipped",
    "Transformed",
    "collate",
    "true_targets",
]

UNLABELLED = 255
"""In maps of classes: a pixel without a label, or in maps of stuff one of a thing."""
BAD_IMAGES = ("stop", "skip")

OBJECT_ENTRIES = ("boxes", "labels", "masks", "keypoints", "visibility", "crowd", "area", "difficult")
"""Entries of a target that have a row for each object of the image: they are dropped and joined together."""

SIDE_MULTIPLE = 32
"""Sides of a batch of images with objects are multiples of it: the coarsest stride of the usual pyramids."""

Sample = tuple[Any, dict[str, Any]]
"""An image (`PIL.Image`, or a tensor `(C, H, W)`; for a transform also a `Jpeg` not decoded yet) and its target.

The class of an image is `target["label"]`.
"""


class Samples(Protocol):
    """Any data set that gives samples by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


class Generated(Dataset[Sample]):
    """Samples that a subclass makes on demand, each from its index alone.

    Args:
        length: number of samples.
        keep: keep samples in memory once they are made.
    """

    def __init__(self, length: int, *, keep: bool = False) -> None:
        self.length = length
        self._kept: dict[int, Sample] | None = {} if keep else None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(f"index {index} is outside of 0 ... {self.length - 1}")
        if self._kept is None:
            return self.make(index)
        if index not in self._kept:
            self._kept[index] = self.make(index)
        image, target = self._kept[index]
        return image, dict(target)

    def make(self, index: int) -> Sample:
        """Make the sample of an index that is in range."""
        raise NotImplementedError


def true_targets(dataset: Samples) -> Iterator[dict[str, Any]]:
    """The target of each image of a data set.

    Where it has `target(index)`, that is asked in place of the samples, which takes reading every image.
    """
    read = getattr(dataset, "target", None) or (lambda index: dataset[index][1])
    for index in range(len(dataset)):
        yield read(index)


@dataclass(frozen=True)
class Skipped:
    """Stands in a data set for an image that could not be read."""

    path: str
    reason: str


class Transformed(Dataset[Sample | Skipped]):
    """A data set with a transform of `(image, target)`, and a rule for broken images; a target gets its `index`.

    Args:
        dataset: gives samples by index.
        transform: such as those of `res2net.images.transforms`.
        bad_images: "stop" lets `BadImage` through, "skip" puts a `Skipped` in the place of the sample.
        decode: "scaled" hands the transform a `Jpeg` where a file is one, so that it decodes no more detail than it
            needs, as those of `res2net.images.transforms` do; "full" hands it decoded images.
    """

    def __init__(
        self,
        dataset: Samples,
        transform: Callable[..., Sample] | None = None,
        bad_images: str = "stop",
        decode: str = "full",
    ) -> None:
        check_choice("Treatment of bad images", bad_images, BAD_IMAGES)
        check_choice("Way to decode", decode, DECODES)
        self.dataset = dataset
        self.transform = transform
        self.bad_images = bad_images
        self.decode = decode
        self._read: Callable[[int], Sample] = dataset.__getitem__
        if decode == "scaled":  # images in memory have nothing to decode
            self._read = getattr(dataset, "undecoded", dataset.__getitem__)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample | Skipped:
        try:
            image, target = self._read(index)
            target = target | {"index": index}
            return self.transform(image, target) if self.transform else (image, target)
        except BadImage as error:
            if self.bad_images == "stop":
                raise
            return Skipped(error.path, error.reason)


def collate(samples: Sequence[Sample | Skipped]) -> tuple[Tensor, dict[str, Any]]:
    """Samples to a batch: images `(N, C, H, W)` and a dictionary of targets.

    Numbers become a tensor `(N,)`, masks `(H, W)` and other tensors of one shape are stacked, all else becomes a list.
    `targets["skipped"]` lists what was skipped; when that is all, the images have shape `(0,)` and there are no other
    targets.

    Where a target has boxes, a size of its own (`size_now`), or key points `(objects, points, 2)` or masks
    `(objects, H, W)`, all its tensors but masks `(H, W)` become lists, also when the numbers of objects happen to
    agree. The images may then have different sizes: zeros are added at their right and bottom (and of volumes behind
    the last slice), up to the largest size, each side rounded up to a multiple of `SIDE_MULTIPLE`. Nothing is added to
    masks.

    Raises:
        InputError: the images of the batch have different shapes, and no objects or different numbers of channels; or
            the targets have different entries.
    """
    skipped = [sample for sample in samples if isinstance(sample, Skipped)]
    kept = [sample for sample in samples if not isinstance(sample, Skipped)]
    if not kept:
        return torch.empty(0), {"skipped": skipped}
    # Torch's own collation writes straight into the memory that a worker shares, for plain tensors.
    images = [image.as_subclass(Tensor) for image, _ in kept]
    targets = [target for _, target in kept]
    by_object = any("size_now" in target or any(map(_counts_objects, target.values())) for target in targets)
    if by_object and len({(image.ndim, image.shape[0]) for image in images}) == 1:
        images = _padded(images)
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise InputError(f"The images of a batch have shapes {sorted(shapes)}: let the transform give them one size.")
    for target in targets:
        if target.keys() != targets[0].keys():
            some = ", ".join(sorted(target.keys() ^ targets[0].keys()))
            raise InputError(
                f"Only some targets of a batch have the entries {some}: let the data set give all of them."
            )
    batch: dict[str, Any] = {key: _join([target[key] for target in targets], by_object) for key in targets[0]}
    return default_collate(images), {**batch, "skipped": skipped}


def _padded(images: list[Tensor]) -> list[Tensor]:
    """The images with zeros at their right and bottom, so that all have one size."""
    sides = range(images[0].ndim - 1, 0, -1)  # the last first, as torch has them
    sizes = {
        side: math.ceil(max(image.shape[side] for image in images) / SIDE_MULTIPLE) * SIDE_MULTIPLE for side in sides
    }
    missing = [[edge for side in sides for edge in (0, sizes[side] - image.shape[side])] for image in images]
    return [F.pad(image, edges) if any(edges) else image for image, edges in zip(images, missing, strict=True)]


def _counts_objects(value: Any) -> bool:
    """Whether the length of an entry of a target is the number of objects in the image."""
    if isinstance(value, tv_tensors.Mask | tv_tensors.KeyPoints):
        return value.ndim > 2
    return isinstance(value, tv_tensors.BoundingBoxes)


def _join(values: list[Any], by_object: bool) -> Any:
    """One entry of the targets of a batch: a tensor, or the list as it is."""
    if all(isinstance(value, int | float) for value in values):
        return default_collate(values)
    if not all(isinstance(value, Tensor) for value in values) or len({value.shape for value in values}) > 1:
        return values
    whole_image = values[0].ndim == 0 or (isinstance(values[0], tv_tensors.Mask) and values[0].ndim == 2)
    return values if by_object and not whole_image else torch.stack(values)
