"""Transforms from an image with objects to the input of a detector, for training and evaluation.

Transforms take `(image, target)` or an image alone. An image is a `PIL.Image`, a tensor `(C, H, W)` (uint8, or float
in 0..1) or a `Jpeg`. A target may have `boxes`, `labels`, `masks`, `keypoints`, `visibility`, `crowd`, `area` and
`difficult`, each with one row per object, and masks of the whole image. Transforms add two tuples: `original_size`, the
height and width of the image in its file, and `size_now`, those after cropping and resizing. Images keep their aspect
ratio, so their sizes differ: `collate` pads them to a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from res2net.errors import InputError, check_range
from res2net.images.joint_geometry import (
    View,
    below,
    fitting_size,
    image_size,
    random_cut,
    random_part,
    resized_size,
    trimmed_objects,
    uniform,
    viewed_image,
    viewed_target,
)
from res2net.images.samples import Sample
from res2net.images.transforms import Normalise, Transform, check_pair, check_whole
from res2net.weights.records import Preprocessing

MAX_SIZE = 1333
"""Maximum length of the longer side in pixels; with a shorter side of 800, this is the usual setting on COCO."""


@dataclass(frozen=True)
class ObjectAugment:
    """Data augmentation of training images with objects; the fields are in the order of the operations.

    Raises:
        InputError: a value is out of its range.
    """

    crop: tuple[float, float] | None = None
    """Minimum and maximum share of the height, and of the width, that a random crop keeps; None does not crop."""
    min_sizes: tuple[int, ...] = ()
    """Lengths of the shorter side to choose from, in pixels; by default the size of the preprocessing."""
    max_size: int = MAX_SIZE
    """Maximum length of the longer side in pixels."""
    jitter: tuple[float, float] | None = None
    """Minimum and maximum scale of large-scale jitter (Ghiasi et al., 2021, who use 0.1 and 2), which replaces
    `min_sizes` and `max_size`. At scale 1 the image just fits into the square of `jitter_size`; larger images are
    cropped at random, smaller ones are padded with zeros."""
    jitter_size: int = 1024
    """Side of that square, in pixels."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation."""
    photometric_distort: float = 0.0
    """Probability of each of SSD's photometric distortions (Liu et al., ECCV 2016, who use 0.5): brightness, contrast,
    saturation, hue and channel order."""

    def __post_init__(self) -> None:
        if self.crop is not None:
            check_pair("crop", self.crop, 1.0)
        for size in self.min_sizes:
            check_whole("min_sizes", size, 1)
        check_whole("max_size", self.max_size, max(self.min_sizes, default=1))
        if self.jitter is not None:
            check_pair("jitter", self.jitter, math.inf)
        check_whole("jitter_size", self.jitter_size, 1)
        check_range("flip", self.flip, 0, 1)
        check_range("color_jitter", self.color_jitter, 0, 1)
        check_range("photometric_distort", self.photometric_distort, 0, 1)


class ObjectTransform:
    """A transform of images with objects, in two parts between which copy-paste can insert objects of other images.

    The view to apply is what `choose` returns for the height and width of an image. With `train` boxes are clipped to
    the image, and objects of which nothing is left are dropped. The augmentation `colors` comes before normalisation;
    the result is padded with zeros at the right and bottom to the height and width `padded`.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        choose: Callable[[int, int], View],
        *,
        train: bool = False,
        flip_pairs: Sequence[tuple[int, int]] = (),
        colors: Transform | None = None,
        padded: tuple[int, int] | None = None,
    ) -> None:
        self.preprocessing, self.choose, self.train = preprocessing, choose, train
        self.flip_pairs, self.colors, self.padded = flip_pairs, colors, padded
        self.interpolation = v2.InterpolationMode(preprocessing.interpolation)
        self.normalise = Normalise(preprocessing)

    def __call__(self, image: Any, *target: dict[str, Any]) -> Any:
        """Apply both parts; without a target, return only the image."""
        image, *moved = self.geometry(image, *target)
        image = self._for_network(image)
        return (image, *moved) if moved else image

    def finish(self, image: Any, target: dict[str, Any]) -> Sample:
        """Apply the second part: colour augmentation, normalisation and padding."""
        return self._for_network(image), target

    def geometry(self, image: Any, *target: dict[str, Any]) -> tuple[Any, ...]:
        """Apply the first part, which moves objects but does not change pixel values."""
        original = image_size(image)
        view = self.choose(*original)
        image = viewed_image(image, view, self.interpolation)
        if not target:
            return (image,)
        moved = viewed_target(target[0], view, self.flip_pairs)
        if self.train:
            moved = trimmed_objects(moved)
        return image, moved | {"original_size": original, "size_now": view.size} | self._noted(view)

    def _noted(self, view: View) -> dict[str, Any]:
        """Further entries about the view to add to the target; none by default."""
        return {}

    def _for_network(self, image: Any) -> tv_tensors.Image:
        pixels = self.normalise(self.colors(image) if self.colors else image)
        height, width = image_size(pixels)
        if self.padded is None or (height, width) == self.padded:
            return pixels
        missing = (0, self.padded[1] - width, 0, self.padded[0] - height)
        return tv_tensors.Image(F.pad(pixels.as_subclass(Tensor), missing))


def object_eval_transform(
    preprocessing: Preprocessing,
    max_size: int = MAX_SIZE,
    within: tuple[int, int] | None = None,
    *,
    padded: bool = False,
) -> ObjectTransform:
    """Resize the shorter side to `preprocessing.size`, or less if the longer one would exceed `max_size`; normalise.

    All objects are kept, whatever their size, and boxes are not clipped. `preprocessing.crop` is ignored. Images
    larger than the height and width `within` are scaled down to fit; `padded` adds zeros at the right and bottom.

    Raises:
        InputError: `max_size` is less than the shorter side.
    """
    check_whole("max_size", max_size, preprocessing.size)
    choose = partial(_whole_view, shorter=preprocessing.size, longer=max_size, within=within)
    return ObjectTransform(preprocessing, choose, padded=within if padded else None)


def object_train_transform(
    preprocessing: Preprocessing,
    augment: ObjectAugment | None = None,
    flip_pairs: Sequence[tuple[int, int]] = (),
) -> ObjectTransform:
    """The augmentation of `augment` (by default `ObjectAugment()`), with images normalised as in evaluation.

    The size of the preprocessing is the shorter side if `augment` has no `min_sizes`. In a mirror image, the keypoints
    of each of `flip_pairs` are swapped.

    Raises:
        InputError: `max_size` is less than the shorter side, a keypoint is in two pairs, or colour augmentation is
            requested but the network takes neither grey nor colour images.
    """
    augment = augment or ObjectAugment()
    sizes = augment.min_sizes or (preprocessing.size,)
    if augment.jitter is None:
        check_whole("max_size", augment.max_size, max(sizes))
    paired = [point for pair in flip_pairs for point in pair]
    if any(len(pair) != 2 for pair in flip_pairs) or len(set(paired)) < len(paired) or min(paired, default=0) < 0:
        raise InputError(f"flip_pairs {list(flip_pairs)!r} do not fit: give pairs of indices, each index once at most.")
    return ObjectTransform(
        preprocessing,
        partial(_random_view, augment=augment, sizes=sizes),
        train=True,
        flip_pairs=flip_pairs,
        colors=color_changes(len(preprocessing.mean), augment.color_jitter, augment.photometric_distort),
        padded=None if augment.jitter is None else (augment.jitter_size, augment.jitter_size),
    )


def color_changes(channels: int, color_jitter: float, photometric_distort: float) -> Transform | None:
    """The colour augmentation of these fields of `ObjectAugment` for that many channels; None if both are 0.

    Raises:
        InputError: the images are neither grey nor colour images.
    """
    changes: list[v2.Transform] = []
    for name, value in (("color_jitter", color_jitter), ("photometric_distort", photometric_distort)):
        if value and channels not in (1, 3):
            raise InputError(f"{name} needs 1 or 3 channels, and the network sees {channels}: set it to 0.")
    if color_jitter:
        changes.append(v2.ColorJitter(*(color_jitter,) * 3))
    if photometric_distort:
        changes.append(v2.RandomPhotometricDistort(p=photometric_distort))
    return v2.Compose(changes) if changes else None


def _whole_view(height: int, width: int, shorter: int, longer: int, within: tuple[int, int] | None) -> View:
    size = resized_size(height, width, shorter, longer)
    if within is not None and (size[0] > within[0] or size[1] > within[1]):
        size = fitting_size(height, width, *within)
    return View(0, 0, height, width, size)


def _random_view(height: int, width: int, augment: ObjectAugment, sizes: Sequence[int]) -> View:
    """Choose a random view of an image of that size for training."""
    top = left = 0
    if augment.crop is not None:
        (top, height), (left, width) = (
            random_cut(side, round(side * uniform(*augment.crop))) for side in (height, width)
        )
    mirrored = float(torch.rand(())) < augment.flip
    if augment.jitter is None:
        shorter = sizes[below(len(sizes))]
        return View(top, left, height, width, resized_size(height, width, shorter, augment.max_size), mirrored)
    scale = augment.jitter_size / max(height, width) * uniform(*augment.jitter)
    (down, height, new_height), (across, width, new_width) = (
        random_part(side, scale, augment.jitter_size) for side in (height, width)
    )
    return View(top + down, left + across, height, width, (new_height, new_width), mirrored)
