"""From an image to what a network sees, for training and evaluation, and back for drawing.

Transforms take `(image, target)` or an image alone. Boxes, masks and key points of the target (torchvision's
`tv_tensors`) go through the same geometry. An image is a `PIL.Image` or a tensor `(C, H, W)`, uint8 or float in 0..1;
or a `Jpeg`, of which they decode what they need, with a target that has nothing to move.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from res2net.errors import InputError, check_range
from res2net.images.decode import Box, Jpeg
from res2net.weights.records import Preprocessing

__all__ = [
    "TrainAugment",
    "Transform",
    "batch_mix",
    "check_pair",
    "check_whole",
    "denormalise",
    "eval_transform",
    "train_transform",
]

Transform = Callable[..., Any]


@dataclass(frozen=True)
class TrainAugment:
    """The random changes of training images, in the order in which they happen.

    Raises:
        InputError: a value is out of its range.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    """Share of the image's area that the random resized crop takes (Szegedy et al., 2015)."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width by height of that crop."""
    pad: int | None = None
    """When given, in place of the random resized crop: a crop after padding by so many pixels, as for CIFAR."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    rand_augment: int = 0
    """Operations of RandAugment (Cubuk et al., 2020); 0 is off. Not for boxes, masks and key points."""
    magnitude: int = 9
    """Strength of those operations, 0 to 30."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation."""
    erase: float = 0.0
    """Probability of erasing a rectangle (Zhong et al., 2020). Not for boxes, masks and key points."""

    def __post_init__(self) -> None:
        check_pair("scale", self.scale, 1.0)
        check_pair("ratio", self.ratio, math.inf)
        if self.pad is not None:
            check_whole("pad", self.pad, 0)
        check_range("flip", self.flip, 0, 1)
        check_whole("rand_augment", self.rand_augment, 0)
        check_whole("magnitude", self.magnitude, 0, 30)
        check_range("color_jitter", self.color_jitter, 0, 1)
        check_range("erase", self.erase, 0, 1)


def eval_transform(preprocessing: Preprocessing) -> Transform:
    """Resize the shorter side to `size / crop` (rounded down), crop the centre, normalise: float `(C, size, size)`.

    Exactly what timm computes: a `PIL.Image` is resized by Pillow, and only then becomes a tensor. Of a `Jpeg` only
    the centre is resized, from the detail that this needs.
    """
    size, resized = preprocessing.size, math.floor(preprocessing.size / preprocessing.crop)
    resize = v2.Resize(resized, interpolation=v2.InterpolationMode(preprocessing.interpolation))
    decoded = v2.Compose([UnlessSized(resized, resize), UnlessSized(size, v2.CenterCrop(size))])
    cut = CutJpeg(partial(_centre, resized=resized, side=size), preprocessing.interpolation, decoded)
    return v2.Compose([cut, Normalise(preprocessing)])


def train_transform(preprocessing: Preprocessing, augment: TrainAugment | None = None) -> Transform:
    """A random crop and the changes of `augment` (by default those of `TrainAugment()`), normalised like evaluation.

    Raises:
        InputError: colours are to be changed, but the network sees neither grey nor colour images.
    """
    augment = augment or TrainAugment()
    if len(preprocessing.mean) not in (1, 3) and (augment.rand_augment or augment.color_jitter):
        raise InputError(
            f"rand_augment and color_jitter need 1 or 3 channels, and the network sees {len(preprocessing.mean)}: "
            "set both to 0."
        )
    size, interpolation = preprocessing.size, v2.InterpolationMode(preprocessing.interpolation)
    steps: list[Transform] = []
    if augment.pad is None:
        resized_crop = v2.RandomResizedCrop(size, augment.scale, augment.ratio, interpolation=interpolation)
        where = partial(_random, crop=resized_crop)
        steps.append(CutJpeg(where, preprocessing.interpolation, Quick(resized_crop)))
    else:
        resize = UnlessSized(size, v2.Resize(size, interpolation=interpolation))
        steps.append(CutJpeg(partial(_whole, resized=size), preprocessing.interpolation, resize))
        crop = Quick(v2.RandomCrop(size, padding=augment.pad or None))
        steps.append(crop if augment.pad else UnlessSized(size, crop))
    if augment.flip:
        steps.append(Quick(v2.RandomHorizontalFlip(augment.flip)))
    if augment.rand_augment:
        bilinear = v2.InterpolationMode.BILINEAR
        steps.append(v2.RandAugment(augment.rand_augment, augment.magnitude, interpolation=bilinear))
    if augment.color_jitter:
        steps.append(v2.ColorJitter(*(augment.color_jitter,) * 3))
    steps.append(Normalise(preprocessing))
    if augment.erase:
        steps.append(v2.RandomErasing(augment.erase))
    return v2.Compose(steps)


def batch_mix(
    mixup_alpha: float, cutmix_alpha: float, num_classes: int
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """Mixing of a batch: images `(N, C, H, W)` and labels `(N,)` to images and probabilities `(N, num_classes)`.

    Args:
        mixup_alpha: of the Beta distribution of mixup (Zhang et al., 2018); 0 is off.
        cutmix_alpha: of the Beta distribution of CutMix (Yun et al., 2019); 0 is off. With both, one is drawn.
        num_classes: number of classes.

    Returns:
        The function, or None when both are off.
    """
    check_range("mixup_alpha", mixup_alpha, 0)
    check_range("cutmix_alpha", cutmix_alpha, 0)
    check_whole("num_classes", num_classes, 1)
    mixes = [v2.MixUp(alpha=mixup_alpha, num_classes=num_classes)] if mixup_alpha else []
    mixes += [v2.CutMix(alpha=cutmix_alpha, num_classes=num_classes)] if cutmix_alpha else []
    return v2.RandomChoice(mixes) if mixes else None


def denormalise(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Normalised images `(..., C, H, W)` back to uint8, for drawing."""
    mean = images.new_tensor(preprocessing.mean).view(-1, 1, 1)
    std = images.new_tensor(preprocessing.std).view(-1, 1, 1)
    return (images * std + mean).mul(255).round().clamp(0, 255).to(torch.uint8)


class Normalise:
    """From an image of any kind to normalised floats in the channels that the network sees.

    One step for all of it: for small images most of the time of a transform goes into being called.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.mean, self.std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)

    def __call__(self, image: Any, *target: Any) -> Any:
        pixels = v2.functional.to_image(image) if isinstance(image, Image.Image) else image
        pixels = _in_channels(pixels, len(self.mean)).as_subclass(Tensor)
        if pixels.is_floating_point():
            pixels = pixels.clone()
        else:
            # Divided, as timm and torchvision's ToTensor do: v2.ToDtype multiplies by 1 / 255, off in the last bit.
            pixels = pixels.to(torch.float32).div_(torch.iinfo(pixels.dtype).max)
        self._normalise(pixels)
        normalised = tv_tensors.Image(pixels)
        return (normalised, *target) if target else normalised

    def _normalise(self, pixels: Tensor) -> None:
        """In place: new memory costs more than the arithmetic."""
        channels, _, width = pixels.shape
        if pixels.stride() == (1, channels * width, channels):
            # A decoded image holds the channels of a pixel side by side: its rows are long, its planes have gaps,
            # and along the rows this is four times as fast.
            rows = pixels.permute(1, 2, 0).flatten(1)
            rows.sub_(self.mean.repeat(width)).div_(self.std.repeat(width))
        else:
            pixels.sub_(self.mean.view(-1, 1, 1)).div_(self.std.view(-1, 1, 1))


class Quick:
    """A random transform of torchvision, with the same draws, that is called directly for an image and its label.

    To look for boxes, masks and key points, as torchvision does, takes longer than to crop a small image.
    """

    def __init__(self, transform: v2.Transform) -> None:
        self.transform = transform
        self.probability: float | None = getattr(transform, "p", None)

    def __call__(self, image: Any, *target: Any) -> Any:
        if not all(isinstance(value, int | float | str) for entries in target for value in entries.values()):
            return self.transform(image, *target)
        if self.probability is None or torch.rand(1) < self.probability:
            pixels = image.as_subclass(Tensor) if isinstance(image, Tensor) else image
            image = self.transform.transform(pixels, self.transform.make_params([pixels]))
        return (image, *target) if target else image


class UnlessSized:
    """A transform for images that are not squares of `size` pixels yet."""

    def __init__(self, size: int, transform: Transform) -> None:
        self.size, self.transform = size, transform

    def __call__(self, image: Any, *target: Any) -> Any:
        size = image.size if isinstance(image, Image.Image) else (image.shape[-1], image.shape[-2])
        if size == (self.size, self.size):
            return (image, *target) if target else image
        return self.transform(image, *target)


class CutJpeg:
    """The first step for an image: a `Jpeg` is cut out, a decoded image is transformed.

    Args:
        where: from the size `(width, height)` of a `Jpeg` to the rectangle to cut out and the size to resize it to.
        interpolation: of that.
        decoded: the transform of decoded images that does the same.
    """

    def __init__(
        self,
        where: Callable[[tuple[int, int]], tuple[Box, tuple[int, int]]],
        interpolation: str,
        decoded: Transform,
    ) -> None:
        self.where, self.decoded = where, decoded
        self.resample = Image.Resampling[interpolation.upper()]

    def __call__(self, image: Any, *target: Any) -> Any:
        if not isinstance(image, Jpeg):
            return self.decoded(image, *target)
        cut = image.cut(*self.where(image.size), self.resample)
        return (cut, *target) if target else cut


def _whole(size: tuple[int, int], resized: int) -> tuple[Box, tuple[int, int]]:
    """Everything, and its size when the shorter side is `resized`; the longer one is rounded down, as torchvision's."""
    shorter = min(size)
    return (0, 0, *size), (size[0] * resized // shorter, size[1] * resized // shorter)


def _centre(size: tuple[int, int], resized: int, side: int) -> tuple[Box, tuple[int, int]]:
    """What becomes the square of `side` pixels in the centre when the shorter side is `resized`."""
    _, (width, height) = _whole(size, resized)
    # Rounded as torchvision's CenterCrop does.
    left, top = round((width - side) / 2), round((height - side) / 2)
    across, down = size[0] / width, size[1] / height
    return (left * across, top * down, (left + side) * across, (top + side) * down), (side, side)


def _random(size: tuple[int, int], crop: v2.RandomResizedCrop) -> tuple[Box, tuple[int, int]]:
    """A random resized crop, with the draws of torchvision for a decoded image of that size."""
    drawn = crop.make_params([torch.empty(3, size[1], size[0], device="meta")])
    left, top = drawn["left"], drawn["top"]
    return (left, top, left + drawn["width"], top + drawn["height"]), (crop.size[1], crop.size[0])


def _in_channels(image: Tensor, channels: int) -> Tensor:
    """Grey and colour become each other; `InputError` for another number of channels."""
    given = image.shape[-3]
    if given == channels:
        return image
    if (given, channels) == (3, 1):
        return v2.functional.rgb_to_grayscale(image)
    if (given, channels) == (1, 3):
        return v2.functional.grayscale_to_rgb(image)
    raise InputError(f"The image has {given} channels and the network sees {channels}: set its in_channels.")


def check_whole(name: str, value: int, low: int, high: float = math.inf) -> None:
    """Raise `InputError` unless `value` is a whole number from `low` to `high`."""
    check_range(name, value, low, high)
    if not isinstance(value, int):
        raise InputError(f"{name} {value!r} does not fit: give a whole number.")


def check_pair(name: str, pair: tuple[float, float], high: float) -> None:
    """Raise `InputError` unless `pair` is two numbers above 0, the smaller first, the larger `high` at most."""
    if len(pair) != 2 or not 0 < pair[0] <= pair[1] <= high:
        limit = "" if high == math.inf else f", {high} at most"
        raise InputError(f"{name} {pair!r} is out of range: give a smallest and a largest number above 0{limit}.")
