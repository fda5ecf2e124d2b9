"""Copy-paste augmentation: paste objects of one image into another.

Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation", CVPR 2021, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes
from torchvision.transforms import v2

from res2net.errors import InputError, check_range
from res2net.images.joint_geometry import as_kind_of, image_size, kept_objects
from res2net.images.joint_transforms import ObjectTransform
from res2net.images.samples import OBJECT_ENTRIES, UNLABELLED, Sample, Samples, Skipped, Transformed

MIN_PIXELS = 10
"""Partly covered objects with fewer visible pixels are dropped."""


class CopyPaste(Dataset[Sample | Skipped]):
    """Transformed samples into which objects of another random sample are pasted.

    The geometric part of the transform is applied to both images independently before pasting, the rest of it after.
    Each object of the other image that is not a crowd is pasted with probability 1/2. Random numbers come from torch's
    global generator.

    Args:
        dataset: a data set whose targets have masks.
        transform: the transform for training, best with large-scale jitter as in the paper.
        probability: probability of pasting objects into an image.
        bad_images: "stop" raises `BadImage`, "skip" returns a `Skipped` instead of the sample.
        decode: "scaled" or "full", as in `Transformed`.
    """

    def __init__(
        self,
        dataset: Samples,
        transform: ObjectTransform,
        *,
        probability: float = 1.0,
        bad_images: str = "stop",
        decode: str = "full",
    ) -> None:
        check_range("probability", probability, 0, 1)
        self.transform, self.probability = transform, probability
        self.samples = Transformed(dataset, transform.geometry, bad_images, decode)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample | Skipped:
        sample = self.samples[index]
        if isinstance(sample, Skipped):
            return sample
        if float(torch.rand(())) < self.probability:
            other = self.samples[int(torch.randint(len(self), ()))]
            if not isinstance(other, Skipped):
                fill = self.transform.preprocessing.mean
                sample = pasted(sample, other, _chosen(other[1]), fill)
        return self.transform.finish(*sample)


def pasted(sample: Sample, other: Sample, chosen: Tensor, fill: Sequence[float] = (0.0,)) -> Sample:
    """Paste objects of one sample into another, at the same pixel positions.

    If the other image is higher or wider, the sample is padded at the right and bottom. Covered pixels are removed from
    masks. A partly covered object gets the box of its remaining mask and a smaller `area`, and is dropped if fewer than
    10 pixels remain; visible keypoints under pasted objects get visibility 1. Masks of the whole image take the values
    of the other image at the pasted pixels.

    Args:
        sample: an image and a target with `masks` and other entries of objects; it is not modified.
        other: another sample with the same entries.
        chosen: which objects of `other` to paste, bool `(n,)`.
        fill: the value of padding, 0 to 1, per channel or for all channels.

    Returns:
        The image as a tensor with the same range of values, and the target, in which pasted objects come last.

    Raises:
        InputError: a target has no masks, or the targets have different entries.
    """
    (image, target), (source, donor) = sample, other
    if "masks" not in target or target.keys() != donor.keys():
        raise InputError(
            f"Copy-paste cannot join targets with the entries {', '.join(target)} and {', '.join(donor)}: let the data "
            "set give masks, and the same entries for each image."
        )
    if not chosen.any():
        return sample
    size = tuple(map(max, image_size(image), image_size(source)))
    both = [v2.functional.to_image(one).as_subclass(Tensor) for one in (image, source)]
    if len(both[0]) != len(both[1]):  # only one of the images is in colour
        both = [v2.functional.grayscale_to_rgb(one) for one in both]
    pixels, source_pixels = (_pad(one, size, fill) for one in both)
    target, donor = _pad_target(target, size), _pad_target(kept_objects(donor, chosen), size)
    cover = _plain(donor["masks"]).view(torch.uint8).amax(0).bool()
    joined = _uncovered(target, cover)
    for key in target:
        if key in OBJECT_ENTRIES:
            joined[key] = as_kind_of(torch.cat([_plain(joined[key]), _plain(donor[key])]), target[key])
        elif isinstance(target[key], tv_tensors.Mask):
            joined[key] = tv_tensors.Mask(torch.where(cover, _plain(donor[key]), _plain(target[key])))
    return tv_tensors.Image(torch.where(cover, source_pixels, pixels)), joined | {"size_now": size}


def _chosen(target: dict[str, Any]) -> Tensor:
    """Choose each object that is not a crowd with probability 1/2, bool `(n,)`."""
    coins = torch.rand(len(target.get("masks", ()))) < 0.5
    return coins & ~target["crowd"] if "crowd" in target else coins


def _uncovered(target: dict[str, Any], cover: Tensor) -> dict[str, Any]:
    """The target after the pixels of `cover` `(H, W)` were covered."""
    masks = _plain(target["masks"])
    visible = masks & ~cover
    before, after = _pixels_of(masks), _pixels_of(visible)
    changed = (after < before) & (after >= MIN_PIXELS)
    left = target | {"masks": tv_tensors.Mask(visible)}
    if "boxes" in target:
        boxes = _plain(target["boxes"]).clone()
        # Torchvision's boxes end at the index of the last pixel, ours at its far edge.
        boxes[changed] = masks_to_boxes(visible[changed]) + boxes.new_tensor([0, 0, 1, 1])
        left["boxes"] = as_kind_of(boxes, target["boxes"])
    if "area" in target:
        left["area"] = target["area"] * after / before.clamp_min(1)
    if "keypoints" in target and "visibility" in target:
        column, row = _plain(target["keypoints"]).long().unbind(-1)
        hidden = cover[row.clamp(0, cover.shape[0] - 1), column.clamp(0, cover.shape[1] - 1)]
        left["visibility"] = target["visibility"].masked_fill(hidden & (target["visibility"] == 2), 1)
    return kept_objects(left, (after == before) | changed)


def _pixels_of(masks: Tensor) -> Tensor:
    """The number of pixels of each mask, `(n,)`; counting one by one is faster than summing bools."""
    return torch.stack([masks.new_zeros((), dtype=torch.int64), *(mask.count_nonzero() for mask in masks)])[1:]


def _plain(value: Tensor) -> Tensor:
    return value.as_subclass(Tensor)


def _pad(image: Tensor, size: tuple[int, ...], fill: Sequence[float]) -> Tensor:
    """Pad an image `(C, H, W)` with `fill` at the right and bottom, up to `size`."""
    white = 1.0 if image.is_floating_point() else torch.iinfo(image.dtype).max
    values = torch.tensor([value * white for value in fill])
    values = values if image.is_floating_point() else values.round()
    if len(values) != len(image):
        values = values.mean().expand(len(image))
    return v2.functional.pad_image(image, _edges(image, size), fill=values.to(image.dtype).tolist())


def _edges(image: Tensor, size: tuple[int, ...]) -> list[int]:
    """The padding at the left, top, right and bottom that gives an image or masks a size."""
    return [0, 0, size[1] - image.shape[-1], size[0] - image.shape[-2]]


def _pad_target(target: dict[str, Any], size: tuple[int, ...]) -> dict[str, Any]:
    """Pad the masks of a target to `size`; the padding has no objects and is unlabelled."""
    padded = dict(target)
    for key, value in target.items():
        if isinstance(value, tv_tensors.Mask):
            fill = UNLABELLED if key == "semantic" else 0
            padded[key] = v2.functional.pad(value, _edges(value, size), fill=fill)
        elif isinstance(value, tv_tensors.BoundingBoxes | tv_tensors.KeyPoints):
            padded[key] = tv_tensors.wrap(_plain(value), like=value, canvas_size=size)
    return padded
