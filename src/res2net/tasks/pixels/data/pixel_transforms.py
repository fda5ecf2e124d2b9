"""Transforms of images whose pixels have labels: random views in training, the whole image in evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from res2net.errors import InputError, check_range
from res2net.images.joint_geometry import View, fitting_size, random_part, resized_size, uniform
from res2net.images.joint_transforms import ObjectTransform
from res2net.images.samples import Sample
from res2net.images.transforms import check_pair, check_whole
from res2net.weights.records import Preprocessing

__all__ = ["UNKNOWN", "PixelAugment", "PixelTransform", "pixel_eval_transform", "pixel_train_transform"]

UNKNOWN = {"semantic": 255, "saliency": 255, "depth": 0, "object": 255}
"""By label, the value of pixels of which nothing is known, such as those outside of the image."""


@dataclass(frozen=True)
class PixelAugment:
    """The random changes of training images, in the order in which they happen.

    Raises:
        InputError: a value is out of its range.
    """

    crop: tuple[int, int] = (513, 513)
    """Height and width of what the network sees; smaller images are filled up, at the right and the bottom."""
    shorter: int = 0
    """Shorter side that the image gets first, pixels; 0 leaves it as large as it is."""
    scale: tuple[float, float] = (0.5, 2.0)
    """The least and the greatest factor of the image's size, before it is cut."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation."""

    def __post_init__(self) -> None:
        for side in self.crop:
            check_whole("crop", side, 1)
        check_whole("shorter", self.shorter, 0)
        check_pair("scale", self.scale, math.inf)
        check_range("flip", self.flip, 0, 1)
        check_range("color_jitter", self.color_jitter, 0, 1)


class PixelTransform(ObjectTransform):
    """A transform of images and maps of labels `(H, W)`, which are filled up with `UNKNOWN` where the image is.

    Truth values of `saliency` become 0 and 1. A target gets its `zoom` too: pixels of the view for one of the file.
    """

    def finish(self, image: Any, target: dict[str, Any]) -> Sample:
        """Colours and normalisation, and both filled up."""
        pixels, known = super().finish(image, target)
        return pixels, {name: self._filled(name, value) for name, value in known.items()}

    def __call__(self, image: Any, *target: dict[str, Any]) -> Any:
        """All of it; without a target the image alone."""
        if not target:
            return super().__call__(image)
        return self.finish(*self.geometry(image, target[0]))

    def _noted(self, view: View) -> dict[str, Any]:
        return {"zoom": torch.tensor(view.size[0] / view.height)}

    def _filled(self, name: str, value: Any) -> Any:
        if not isinstance(value, tv_tensors.Mask):
            return value
        values = value.as_subclass(Tensor)
        values = values.byte() if values.dtype is torch.bool else values
        if self.padded is not None:
            missing = (0, self.padded[1] - values.shape[-1], 0, self.padded[0] - values.shape[-2])
            values = F.pad(values, missing, value=UNKNOWN.get(name, 0))
        return tv_tensors.Mask(values)


def pixel_train_transform(preprocessing: Preprocessing, augment: PixelAugment) -> PixelTransform:
    """The changes of `augment`, normalised like evaluation.

    Raises:
        InputError: colours are to be changed, but the network sees neither grey nor colour images.
    """
    if augment.color_jitter and len(preprocessing.mean) not in (1, 3):
        raise InputError(
            f"color_jitter needs 1 or 3 channels, and the network sees {len(preprocessing.mean)}: set it to 0."
        )
    return PixelTransform(
        preprocessing,
        partial(_random_view, augment=augment),
        colors=v2.ColorJitter(*(augment.color_jitter,) * 3) if augment.color_jitter else None,
        padded=augment.crop,
    )


def pixel_eval_transform(
    preprocessing: Preprocessing,
    shorter: int = 0,
    within: tuple[int, int] | None = None,
    *,
    padded: bool = False,
) -> PixelTransform:
    """The whole image, normalised.

    Args:
        preprocessing: of the network.
        shorter: pixels of the shorter side; 0 leaves images as large as they are.
        within: height and width into which every image has to fit; what would be larger is made smaller.
        padded: add zeros up to that size, at the right and the bottom.
    """
    choose = partial(_whole_view, shorter=shorter, within=within)
    return PixelTransform(preprocessing, choose, padded=within if padded else None)


def _whole_view(height: int, width: int, shorter: int, within: tuple[int, int] | None) -> View:
    size = resized_size(height, width, shorter, max(height, width) * shorter) if shorter else (height, width)
    if within is not None and (size[0] > within[0] or size[1] > within[1]):
        size = fitting_size(height, width, *within)
    return View(0, 0, height, width, size)


def _random_view(height: int, width: int, augment: PixelAugment) -> View:
    scale = uniform(*augment.scale) * (augment.shorter / min(height, width) if augment.shorter else 1)
    (top, rows, new_height), (left, columns, new_width) = (
        random_part(side, scale, most) for side, most in zip((height, width), augment.crop, strict=True)
    )
    return View(top, left, rows, columns, (new_height, new_width), uniform(0, 1) < augment.flip)
