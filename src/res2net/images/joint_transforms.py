"""From an image with objects to what a detector sees, for training and evaluation.

Transforms take `(image, target)` or an image alone. An image is a `PIL.Image`, a tensor `(C, H, W)` (uint8, or float
in 0..1) or a `Jpeg`. A target may have `boxes`, `labels`, `masks`, `keypoints`, `visibility`, `crowd`, `area` and
`difficult`, each with one row for each of its objects, and masks of the whole image. It gets two tuples:
`original_size`, height and width of the image in its file, and `size_now`, those after resizing and cutting out.
Images keep their shape, so they differ in size: `collate` makes a batch of them.
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
    fitting_size,
    image_size,
    resized_size,
    trimmed_objects,
    viewed_image,
    viewed_target,
)
from res2net.images.random_views import below, random_cut, random_part, uniform
from res2net.images.samples import Sample
from res2net.images.transforms import Normalise, Transform, check_pair, check_whole
from res2net.weights.records import Preprocessing

__all__ = ["ObjectAugment", "ObjectTransform", "color_changes", "object_eval_transform", "object_train_transform"]

MAX_SIZE = 1333
"""Pixels of the longer side at most, with a shorter side of 800: what detectors are compared with on COCO."""


@dataclass(frozen=True)
class ObjectAugment:
    """The random changes of training images with objects, in the order in which they happen.

    Raises:
        InputError: a value is out of its range.
    """

    crop: tuple[float, float] | None = None
    """Share of the height, and of the width, that a random crop keeps: the least and the most. None keeps all."""
    min_sizes: tuple[int, ...] = ()
    """Lengths of the shorter side to draw from, pixels; none: the size of the preprocessing."""
    max_size: int = MAX_SIZE
    """Pixels of the longer side at most."""
    jitter: tuple[float, float] | None = None
    """In place of `min_sizes` and `max_size`: the least and the greatest scale of large-scale jitter (Ghiasi et al.,
    2021, who use 0.1 and 2). At scale 1 the image just fits into the square of `jitter_size`; what is larger is cut
    at random, what is smaller is filled up with zeros."""
    jitter_size: int = 1024
    """Side of that square, pixels."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation."""
    photometric_distort: float = 0.0
    """Probability of each of SSD's changes of colours (Liu et al., ECCV 2016, with 0.5): brightness, contrast,
    saturation, hue and the order of the channels."""

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
    """A transform of images with objects in two halves, between which objects of others can be pasted.

    Args:
        preprocessing: of the network; its interpolation and its normalisation are used here.
        choose: from an image's height and width to what is seen of it.
        train: whether boxes are cut at the border, and objects dropped of which nothing is left.
        flip_pairs: key points that swap in a mirror image.
        colors: change of the colours, before normalisation.
        padded: height and width to which zeros are added at last, at the right and the bottom.
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
        """Both halves; without a target the image alone."""
        image, *moved = self._seen(image, *target)
        image = self._for_network(image)
        return (image, *moved) if moved else image

    def geometry(self, image: Any, target: dict[str, Any]) -> Sample:
        """The first half, all that moves objects: an image with the values that it had."""
        image, moved = self._seen(image, target)
        return image, moved

    def finish(self, image: Any, target: dict[str, Any]) -> Sample:
        """The second half: colours, normalisation and the zeros around."""
        return self._for_network(image), target

    def _seen(self, image: Any, *target: dict[str, Any]) -> tuple[Any, ...]:
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
        """What else a target notes of what is seen."""
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
    """Resize the shorter side to `preprocessing.size`, or less where the longer one would pass `max_size`; normalise.

    All objects stay, whatever their size, and so do boxes that pass the border. Nothing is cropped, whatever
    `preprocessing.crop` says.

    Args:
        preprocessing: of the network.
        max_size: pixels of the longer side at most.
        within: height and width into which every image has to fit; what would be larger is made smaller.
        padded: add zeros up to that size, at the right and the bottom.

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
    """The changes of `augment` (by default those of `ObjectAugment()`), normalised like evaluation.

    Args:
        preprocessing: its size is the shorter side, where `augment` names none.
        augment: the random changes.
        flip_pairs: indices of the key points that swap in a mirror image.

    Raises:
        InputError: the longest allowed side is less than the shorter one, a key point is in two pairs, or colours are
            to be changed, but the network sees neither grey nor colour images.
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
    """The random changes of colours of that name in `ObjectAugment`, for what has that many channels; None for none.

    Raises:
        InputError: these are neither grey nor colour images.
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
    """What a training step sees of an image of that size."""
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
