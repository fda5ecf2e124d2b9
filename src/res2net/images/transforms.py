"""Transforms from an image to the input of a network, for training and evaluation, and back for drawing.

Transforms take `(image, target)` or an image alone. Boxes, masks and keypoints of the target (torchvision's
`tv_tensors`) undergo the same geometric transform. An image is a `PIL.Image` or a tensor `(C, H, W)`, uint8 or float in
0..1; or an undecoded `Jpeg`, if the target has no boxes, masks or keypoints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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

Transform = Callable[..., Any]

LONGEST = 64
"""Ratio of the sides of an image that is resized as a whole at most."""


@dataclass(frozen=True)
class TrainAugment:
    """Data augmentation of training images; the fields are in the order of the operations.

    Raises:
        InputError: a value is out of its range.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    """Share of the image's area that the random resized crop takes (Szegedy et al., 2015)."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Aspect ratio (width / height) of that crop."""
    pad: int | None = None
    """If given, pad by this many pixels and crop, as for CIFAR, instead of the random resized crop."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    rand_augment: int = 0
    """Number of RandAugment operations (Cubuk et al., 2020); 0 is off. Not for boxes, masks and keypoints."""
    magnitude: int = 9
    """Strength of those operations, 0 to 30."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation."""
    erase: float = 0.0
    """Probability of erasing a rectangle (Zhong et al., 2020). Not for boxes, masks and keypoints."""

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

    The result is exactly that of timm: a `PIL.Image` is resized by Pillow before it becomes a tensor. For a `Jpeg`,
    only the centre is resized, and it is decoded only as finely as needed.
    """
    size, resized = preprocessing.size, math.floor(preprocessing.size / preprocessing.crop)
    resize = ResizeShorter(resized, v2.InterpolationMode(preprocessing.interpolation))
    decoded = v2.Compose([UnlessSized(resized, resize), UnlessSized(size, v2.CenterCrop(size))])
    cut = CutJpeg(partial(_centre, resized=resized, side=size), preprocessing.interpolation, decoded)
    return v2.Compose([cut, Normalise(preprocessing)])


def ten_crop_transform(preprocessing: Preprocessing) -> Transform:
    """Resize as `eval_transform`, then the corners, the centre and their mirror images: float `(10 C, size, size)`."""
    size, resized = preprocessing.size, math.floor(preprocessing.size / preprocessing.crop)
    resize = UnlessSized(resized, v2.Resize(resized, interpolation=v2.InterpolationMode(preprocessing.interpolation)))
    whole = CutJpeg(partial(_whole, resized=resized), preprocessing.interpolation, resize)
    return v2.Compose([whole, TenCrop(size, Normalise(preprocessing))])


def train_transform(preprocessing: Preprocessing, augment: TrainAugment | None = None) -> Transform:
    """A random crop and the augmentation of `augment` (by default `TrainAugment()`), normalised as in evaluation.

    Raises:
        InputError: colour augmentation is requested, but the network takes neither grey nor colour images.
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
        resize = UnlessSized(size, ResizeShorter(size, interpolation))
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
    """Mixup and CutMix: from images `(N, C, H, W)` and labels `(N,)` to images and probabilities `(N, num_classes)`.

    Args:
        mixup_alpha: parameter of the Beta distribution of mixup (Zhang et al., 2018); 0 is off.
        cutmix_alpha: parameter of the Beta distribution of CutMix (Yun et al., 2019); 0 is off. With both, one of them
            is chosen at random for each batch.
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
    """Convert normalised images `(..., C, H, W)` back to uint8, for drawing."""
    mean = images.new_tensor(preprocessing.mean).view(-1, 1, 1)
    std = images.new_tensor(preprocessing.std).view(-1, 1, 1)
    return (images * std + mean).mul(255).round().clamp(0, 255).to(torch.uint8)


class Normalise:
    """Converts an image of any kind to normalised floats with the number of channels that the network takes.

    This is a single step, since for small images the overhead of calling transforms dominates.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.mean, self.std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)

    def __call__(self, image: Any, *target: Any) -> Any:
        """Transform an image, and its target if there is one."""
        pixels = v2.functional.to_image(image) if isinstance(image, Image.Image) else image
        pixels = _in_channels(pixels, len(self.mean)).as_subclass(Tensor)
        if pixels.is_floating_point():
            pixels = pixels.clone()
        else:
            # Divide, as timm and torchvision's ToTensor do: v2.ToDtype multiplies by 1 / 255, which rounds differently.
            pixels = pixels.to(torch.float32).div_(torch.iinfo(pixels.dtype).max)
        # In place, since allocating memory would cost more than the arithmetic.
        channels, _, width = pixels.shape
        if pixels.stride() == (1, channels * width, channels):
            # A decoded image stores the channels of a pixel next to each other, so that going along its contiguous
            # rows is four times as fast as going through its strided planes.
            rows = pixels.permute(1, 2, 0).flatten(1)
            rows.sub_(self.mean.repeat(width)).div_(self.std.repeat(width))
        else:
            pixels.sub_(self.mean.view(-1, 1, 1)).div_(self.std.view(-1, 1, 1))
        normalised = tv_tensors.Image(pixels)
        return (normalised, *target) if target else normalised


class Quick:
    """Calls a random transform of torchvision directly if the target has only labels, with the same random numbers.

    Torchvision's search for boxes, masks and keypoints takes longer than cropping a small image.
    """

    def __init__(self, transform: v2.Transform) -> None:
        self.transform = transform
        self.probability: float | None = getattr(transform, "p", None)

    def __call__(self, image: Any, *target: Any) -> Any:
        """Transform an image, and its target if there is one."""
        if not all(isinstance(value, int | float | str) for entries in target for value in entries.values()):
            return self.transform(image, *target)
        if self.probability is None or torch.rand(1) < self.probability:
            pixels = image.as_subclass(Tensor) if isinstance(image, Tensor) else image
            image = self.transform.transform(pixels, self.transform.make_params([pixels]))
        return (image, *target) if target else image


class TenCrop:
    """Crops an image ten times, and concatenates the normalised crops along the channels."""

    def __init__(self, size: int, normalise: Normalise) -> None:
        self.size, self.normalise = size, normalise

    def __call__(self, image: Any, *target: Any) -> Any:
        """Transform an image; a target, if there is one, stays as it is."""
        crops = torch.cat([self.normalise(crop) for crop in v2.functional.ten_crop(image, [self.size, self.size])])
        return (crops, *target) if target else crops


class UnlessSized:
    """Applies a transform only to images that are not already squares of `size` pixels."""

    def __init__(self, size: int, transform: Transform) -> None:
        self.size, self.transform = size, transform

    def __call__(self, image: Any, *target: Any) -> Any:
        """Transform an image, and its target if there is one."""
        size = image.size if isinstance(image, Image.Image) else (image.shape[-1], image.shape[-2])
        if size == (self.size, self.size):
            return (image, *target) if target else image
        return self.transform(image, *target)


class ResizeShorter:
    """Resizes the shorter side of an image to `size` pixels; very long images are first cropped to their middle."""

    def __init__(self, size: int, interpolation: v2.InterpolationMode) -> None:
        self.resize = v2.Resize(size, interpolation=interpolation)

    def __call__(self, image: Any, *target: Any) -> Any:
        """Transform an image, and its target if there is one."""
        width, height = image.size if isinstance(image, Image.Image) else (image.shape[-1], image.shape[-2])
        most = LONGEST * min(width, height)
        if max(width, height) > most:
            image = v2.functional.center_crop(image, [min(height, most), min(width, most)])
        return self.resize(image, *target)


class CutJpeg:
    """Crops and resizes a `Jpeg` while decoding it; applies the equivalent transform `decoded` to decoded images.

    `where` maps the size `(width, height)` of a `Jpeg` to the rectangle to crop and its size after resizing.
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
        """Transform an image, and its target if there is one."""
        if not isinstance(image, Jpeg):
            return self.decoded(image, *target)
        cut = image.cut(*self.where(image.size), self.resample)
        return (cut, *target) if target else cut


def _whole(size: tuple[int, int], resized: int) -> tuple[Box, tuple[int, int]]:
    """What `ResizeShorter` sees of an image; the longer side is rounded down, as in torchvision."""
    shorter = min(size)
    width, height = (min(side, LONGEST * shorter) for side in size)
    left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
    return (left, top, left + width, top + height), (width * resized // shorter, height * resized // shorter)


def _centre(size: tuple[int, int], resized: int, side: int) -> tuple[Box, tuple[int, int]]:
    """The rectangle that becomes the central square of `side` pixels when the shorter side is resized to `resized`."""
    width, height = (one * resized // min(size) for one in size)
    # Rounded as torchvision's CenterCrop does.
    left, top = round((width - side) / 2), round((height - side) / 2)
    across, down = size[0] / width, size[1] / height
    return (left * across, top * down, (left + side) * across, (top + side) * down), (side, side)


def _random(size: tuple[int, int], crop: v2.RandomResizedCrop) -> tuple[Box, tuple[int, int]]:
    """A random resized crop, with the random numbers that torchvision uses for a decoded image of that size."""
    params = crop.make_params([torch.empty(3, size[1], size[0], device="meta")])
    left, top = params["left"], params["top"]
    return (left, top, left + params["width"], top + params["height"]), (crop.size[1], crop.size[0])


def _in_channels(image: Tensor, channels: int) -> Tensor:
    """Convert between grey, colour and colour with transparency if needed; `InputError` for other numbers."""
    given = image.shape[-3]
    if given == channels:
        return image
    if channels == 4 and given in (1, 3):
        opaque = torch.full_like(image[:1], 1 if image.is_floating_point() else torch.iinfo(image.dtype).max)
        return torch.cat([_in_channels(image, 3), opaque])
    if (given, channels) == (3, 1):
        return v2.functional.rgb_to_grayscale(image)
    if (given, channels) == (1, 3):
        return v2.functional.grayscale_to_rgb(image)
    raise InputError(f"The image has {given} channels and the network sees {channels}: set its in_channels.")


def check_whole(name: str, value: int, low: int, high: float = math.inf) -> None:
    """Raise `InputError` unless `value` is an integer from `low` to `high`."""
    check_range(name, value, low, high)
    if not isinstance(value, int):
        raise InputError(f"{name} {value!r} does not fit: give a whole number.")


def check_pair(name: str, pair: tuple[float, float], high: float) -> None:
    """Raise `InputError` unless `pair` is two positive numbers in ascending order, none above `high`."""
    if len(pair) != 2 or not 0 < pair[0] <= pair[1] <= high:
        limit = "" if high == math.inf else f", {high} at most"
        raise InputError(f"{name} {pair!r} is out of range: give a smallest and a largest number above 0{limit}.")


class WithTruth:
    """Wraps an evaluation transform and adds the untransformed annotations of the sample under `truth`."""

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def __call__(self, image: Any, target: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The transformed image, and what the transform returned beside it, with the annotations as `truth`."""
        identifiers = {name: target[name] for name in ("index", "image_id") if name in target}
        prepared, noted = self.transform(image, identifiers)
        return prepared, noted | {"truth": {name: value for name, value in target.items() if name not in identifiers}}
