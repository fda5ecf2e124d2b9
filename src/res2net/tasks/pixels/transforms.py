"""Transforms of images whose pixels have labels: random views in training, the whole image in evaluation."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import tv_tensors

from res2net.images.joint_geometry import View, fitting_size, random_part, resized_size, uniform
from res2net.images.joint_transforms import ObjectTransform, color_changes
from res2net.images.samples import Sample
from res2net.weights.records import Preprocessing

UNKNOWN = {"semantic": 255, "saliency": 255, "depth": 0, "object": 255}
"""By label, the value of pixels of which nothing is known, such as those outside of the image."""


class PixelTransform(ObjectTransform):
    """A transform of images and label maps `(H, W)`, which are padded with `UNKNOWN` where the image is padded.

    The booleans of `saliency` become 0 and 1. It adds `zoom` to a target: the pixels of the view per pixel of the file.
    """

    def finish(self, image: Any, target: dict[str, Any]) -> Sample:
        """Change colours, normalise, and pad the image and the maps."""
        return self._for_network(image), {name: self._padded(name, value) for name, value in target.items()}

    def __call__(self, image: Any, *target: dict[str, Any]) -> Any:
        """Apply both parts; without a target, return only the image."""
        return self.finish(*self.geometry(image, target[0])) if target else super().__call__(image)

    def _noted(self, view: View) -> dict[str, Any]:
        return {"zoom": torch.tensor(view.size[0] / view.height)}

    def _padded(self, name: str, value: Any) -> Any:
        if not isinstance(value, tv_tensors.Mask):
            return value
        values = value.as_subclass(Tensor)
        values = values.byte() if values.dtype is torch.bool else values
        if self.padded is not None:
            missing = (0, self.padded[1] - values.shape[-1], 0, self.padded[0] - values.shape[-2])
            values = F.pad(values, missing, value=UNKNOWN.get(name, 0))
        return tv_tensors.Mask(values)


def pixel_train_transform(
    preprocessing: Preprocessing,
    crop: tuple[int, int],
    shorter: int = 0,
    scale: tuple[float, float] = (0.5, 2.0),
    flip: float = 0.5,
    color_jitter: float = 0.0,
) -> PixelTransform:
    """Random changes of training images, in the order of the arguments from the last but two; normalised.

    Args:
        preprocessing: the preprocessing of the network.
        crop: height and width of the result; smaller images are padded at the right and bottom.
        shorter: shorter side to which the image is resized first, pixels; 0 keeps its size.
        scale: smallest and largest factor by which it is then resized, before it is cropped.
        flip: probability of a horizontal flip.
        color_jitter: largest relative change of brightness, contrast and saturation.
    """
    choose = partial(_random_view, crop=crop, shorter=shorter, scale=scale, flip=flip)
    colors = color_changes(len(preprocessing.mean), color_jitter, 0.0)
    return PixelTransform(preprocessing, choose, colors=colors, padded=crop)


def pixel_eval_transform(
    preprocessing: Preprocessing,
    shorter: int = 0,
    within: tuple[int, int] | None = None,
    *,
    padded: bool = False,
) -> PixelTransform:
    """The whole image, normalised, its `shorter` side resized to so many pixels if they are not 0.

    Images larger than a height and width, `within`, are scaled down to fit, and if `padded`, padded with zeros to it.
    """
    choose = partial(_whole_view, shorter=shorter, within=within)
    return PixelTransform(preprocessing, choose, padded=within if padded else None)


def _whole_view(height: int, width: int, shorter: int, within: tuple[int, int] | None) -> View:
    size = resized_size(height, width, shorter, max(height, width) * shorter) if shorter else (height, width)
    if within is not None and (size[0] > within[0] or size[1] > within[1]):
        size = fitting_size(height, width, *within)
    return View(0, 0, height, width, size)


def _random_view(
    height: int, width: int, crop: tuple[int, int], shorter: int, scale: tuple[float, float], flip: float
) -> View:
    factor = uniform(*scale) * (shorter / min(height, width) if shorter else 1)
    (top, rows, new_height), (left, columns, new_width) = (
        random_part(side, factor, most) for side, most in zip((height, width), crop, strict=True)
    )
    return View(top, left, rows, columns, (new_height, new_width), uniform(0, 1) < flip)
