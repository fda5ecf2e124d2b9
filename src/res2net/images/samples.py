"""Samples of data sets, placeholders for broken images, and collation into batches."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset, default_collate
from torchvision import tv_tensors

from res2net.errors import InputError, check_choice
from res2net.images.decode import DECODES, BadImage

UNLABELLED = 255
"""The value of unlabelled pixels in class maps, and of pixels of things in stuff maps."""
BAD_IMAGES = ("stop", "skip")
SPLITS = ("train", "val", "test")
"""The splits of synthetic data sets, which have no sample in common."""

OBJECT_ENTRIES = ("boxes", "labels", "masks", "keypoints", "visibility", "crowd", "area", "difficult")
"""Entries of a target that have one row per object of the image; transforms filter all of them together."""

SIDE_MULTIPLE = 32
"""Batches of images with objects are padded to multiples of this, the coarsest stride of common pyramids."""

Sample = tuple[Any, dict[str, Any]]
"""An image and its target; the class of an image is `target["label"]`.

The image is a `PIL.Image` or a tensor `(C, H, W)`; transforms also accept an undecoded `Jpeg`.
"""


Origin = tuple[Sequence[str | Path | None], bytes]
"""The files of a sample, its image first, and its label in bytes where it is known without reading a file."""


class Samples(Protocol):
    """Any data set with samples by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


class Generated(Dataset[Sample]):
    """A synthetic data set, whose subclass makes each sample on demand from seed, split and index.

    With `keep` samples are kept in memory once they are made.
    """

    def __init__(self, length: int, *, split: str = "train", seed: int = 0, keep: bool = False) -> None:
        check_choice("Split", split, SPLITS)
        self.length, self.split, self.seed = length, split, seed
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
        """Generate the sample of an index, which is in range."""
        raise NotImplementedError

    def random(self, index: int) -> np.random.Generator:
        """The generator of the random numbers of a sample."""
        return np.random.default_rng([self.seed, SPLITS.index(self.split), index])


class FileSamples(Dataset[Sample]):
    """A data set of `files`, those of each sample with its image first, whose subclass reads the sample of an index."""

    reads_files = True

    def __init__(self, files: Sequence[tuple[Any, ...]]) -> None:
        self.files = list(files)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def paths(self) -> list[Any]:
        """The files of the images."""
        return [files[0] for files in self.files]

    def origin(self, index: int) -> Origin:
        """The files of a sample, for its fingerprint."""
        return self.files[index], b""

    def subset(self, indices: Iterable[int]) -> Self:
        """The samples with these indices, in that order."""
        chosen = copy.copy(self)
        chosen.files = [self.files[index] for index in indices]
        return chosen


def true_targets(dataset: Samples) -> Iterator[dict[str, Any]]:
    """Yield the target of each image of a data set.

    If the data set has a method `target(index)`, it is used instead of indexing, which would read every image.
    """
    read = getattr(dataset, "target", None) or (lambda index: dataset[index][1])
    for index in range(len(dataset)):
        yield read(index)


@dataclass(frozen=True)
class Skipped:
    """Takes the place of a sample whose image could not be read."""

    path: str
    reason: str


class Transformed(Dataset[Sample | Skipped]):
    """Applies a transform to the samples of a data set and handles broken images; adds `index` to the targets.

    Args:
        dataset: a data set with samples by index.
        transform: a transform of `(image, target)`, such as those of `res2net.images.transforms`.
        bad_images: "stop" raises `BadImage`, "skip" returns a `Skipped` instead of the sample.
        decode: "scaled" passes JPEG files to the transform as an undecoded `Jpeg`, so that it decodes only as much
            detail as it needs; "full" always passes decoded images.
    """

    def __init__(
        self,
        dataset: Samples,
        transform: Callable[..., Sample] | None = None,
        bad_images: str = "stop",
        decode: str = "full",
    ) -> None:
        check_choice("bad_images", bad_images, BAD_IMAGES)
        check_choice("Way to decode", decode, DECODES)
        self.dataset = dataset
        self.transform = transform
        self.bad_images = bad_images
        self.decode = decode
        self._read: Callable[[int], Sample] = dataset.__getitem__
        if decode == "scaled":  # data sets in memory have no `undecoded`
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
    """Collate samples to a batch: images `(N, C, H, W)` and a dictionary of targets.

    Numbers become a tensor `(N,)`; masks `(H, W)` and other tensors of equal shapes are stacked; everything else
    becomes a list. `targets["skipped"]` lists the skipped images; if all were skipped, the images have shape `(0,)` and
    there are no other targets.

    If the targets have boxes, `size_now`, keypoints `(objects, points, 2)` or masks `(objects, H, W)`, all tensors but
    masks `(H, W)` become lists, even if the numbers of objects happen to be equal. The images may then have different
    sizes: they are padded with zeros at the right and bottom (volumes also behind the last slice) to the largest size,
    rounded up to a multiple of `SIDE_MULTIPLE`. Masks are not padded.

    Raises:
        InputError: the images have different shapes and their targets have no objects, or they have different numbers
            of channels; or the targets have different entries.
    """
    skipped = [sample for sample in samples if isinstance(sample, Skipped)]
    kept = [sample for sample in samples if not isinstance(sample, Skipped)]
    if not kept:
        return torch.empty(0), {"skipped": skipped}
    # For plain tensors, torch's own collation writes directly to the shared memory of the worker.
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


def evenly_spaced(count: int, most: int) -> list[int]:
    """At most `most` evenly spaced indices below `count`, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist() if count else []


def _padded(images: list[Tensor]) -> list[Tensor]:
    """Pad the images with zeros at the right and bottom to a common size."""
    sides = range(images[0].ndim - 1, 0, -1)  # the last side first, as `F.pad` expects
    sizes = {
        side: math.ceil(max(image.shape[side] for image in images) / SIDE_MULTIPLE) * SIDE_MULTIPLE for side in sides
    }
    missing = [[edge for side in sides for edge in (0, sizes[side] - image.shape[side])] for image in images]
    return [F.pad(image, edges) if any(edges) else image for image, edges in zip(images, missing, strict=True)]


def _counts_objects(value: Any) -> bool:
    """Whether an entry of a target has one row per object."""
    if isinstance(value, tv_tensors.Mask | tv_tensors.KeyPoints):
        return value.ndim > 2
    return isinstance(value, tv_tensors.BoundingBoxes)


def _join(values: list[Any], by_object: bool) -> Any:
    """Join the values of one target entry: stack them if possible, else return the list unchanged."""
    if all(isinstance(value, int | float) for value in values):
        return default_collate(values)
    if not all(isinstance(value, Tensor) for value in values) or len({value.shape for value in values}) > 1:
        return values
    whole_image = values[0].ndim == 0 or (isinstance(values[0], tv_tensors.Mask) and values[0].ndim == 2)
    return values if by_object and not whole_image else torch.stack(values)
