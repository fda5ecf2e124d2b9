"""Images and their objects seen through a rectangle: cut out, resized, mirrored, and what is left of each object.

Coordinates are those of edges: an image of width w reaches from 0 to w, and its first pixel from 0 to 1. So boxes and
key points are scaled by the same number, and the mirror image of x is w - x for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from res2net.errors import InputError
from res2net.images.decode import Jpeg
from res2net.images.samples import OBJECT_ENTRIES

__all__ = [
    "View",
    "as_kind_of",
    "fitting_size",
    "image_size",
    "kept_objects",
    "resized_size",
    "trimmed_objects",
    "viewed_image",
    "viewed_target",
]

SMALLEST_SIDE = 1.0
"""Pixels: no network can learn from a narrower box."""


@dataclass(frozen=True)
class View:
    """A rectangle of an image, what size it is resized to, and whether it is mirrored then; all in whole pixels."""

    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]
    """Height and width after resizing."""
    mirrored: bool = False


def image_size(image: Any) -> tuple[int, int]:
    """Height and width of a `PIL.Image`, a `Jpeg` that is upright, or a tensor `(C, H, W)`."""
    if isinstance(image, Image.Image | Jpeg):
        return image.size[1], image.size[0]
    return image.shape[-2], image.shape[-1]


def resized_size(height: int, width: int, shorter: int, longer: int) -> tuple[int, int]:
    """Height and width when the shorter side becomes `shorter`, or less where the longer one would pass `longer`.

    One side is exact, the other is rounded down, to 1 at least. This is the rule of Faster R-CNN's code; with whole
    numbers, since by `width * (shorter / width)` some sides come out one pixel short.
    """
    short, long = sorted((height, width))
    goal, given = (longer, long) if long * shorter > longer * short else (shorter, short)
    return max(1, height * goal // given), max(1, width * goal // given)


def fitting_size(height: int, width: int, most_height: int, most_width: int) -> tuple[int, int]:
    """Height and width of the largest image of the same shape that fits; one side is exact, the other rounded down.

    Each is 1 at least.
    """
    goal, given = (most_height, height) if height * most_width > width * most_height else (most_width, width)
    return max(1, height * goal // given), max(1, width * goal // given)


def viewed_image(image: Any, view: View, interpolation: v2.InterpolationMode) -> Any:
    """What the view shows of an image: of a `PIL.Image` or a `Jpeg` a `PIL.Image`, of a tensor a tensor."""
    height, width = image_size(image)
    if isinstance(image, Jpeg):
        edges = (view.left, view.top, view.left + view.width, view.top + view.height)
        image = image.cut(edges, view.size[::-1], Image.Resampling[interpolation.name])
    else:
        if (view.height, view.width) != (height, width):
            image = v2.functional.crop(image, view.top, view.left, view.height, view.width)
        image = v2.functional.resize(image, list(view.size), interpolation=interpolation, antialias=True)
    return v2.functional.horizontal_flip(image) if view.mirrored else image


def viewed_target(target: dict[str, Any], view: View, flip_pairs: Sequence[tuple[int, int]] = ()) -> dict[str, Any]:
    """What becomes of a target's boxes, masks, key points, `visibility` and `area` through the view.

    Nothing is cut off or dropped: boxes and key points may lie outside of the view, see `trimmed_objects`.

    Args:
        target: of the whole image.
        view: what is seen.
        flip_pairs: key points that swap in a mirror image, such as those of the left and the right hand.

    Raises:
        InputError: an image has too few key points for `flip_pairs`.
    """
    origin = torch.tensor([float(view.left), float(view.top)])
    # Multiplied before it is divided, what ends at a whole number is exact.
    now, original = torch.tensor([view.size[::-1], (view.width, view.height)])
    seen = dict(target)
    for key, value in target.items():
        if isinstance(value, tv_tensors.Mask):
            seen[key] = _viewed_mask(value, view)
        elif isinstance(value, tv_tensors.BoundingBoxes):
            edges = v2.functional.convert_bounding_box_format(value, new_format="XYXY").as_subclass(Tensor)
            corners = (edges.view(-1, 2, 2) - origin) * now / original
            if view.mirrored:  # the right edge becomes the left one
                corners = torch.stack([view.size[1] - corners[..., 0].flip(1), corners[..., 1]], -1)
            seen[key] = tv_tensors.BoundingBoxes(corners.flatten(1), format="XYXY", canvas_size=view.size)
        elif isinstance(value, tv_tensors.KeyPoints):
            points = (value.as_subclass(Tensor) - origin) * now / original
            if view.mirrored:
                points = torch.stack([view.size[1] - points[..., 0], points[..., 1]], -1)
                points = points[..., _mirrored_order(points.shape[-2], flip_pairs), :]
            seen[key] = tv_tensors.KeyPoints(points, canvas_size=view.size)
    if view.mirrored and "visibility" in target:
        seen["visibility"] = target["visibility"][..., _mirrored_order(target["visibility"].shape[-1], flip_pairs)]
    if "area" in target:
        seen["area"] = target["area"] * now.prod() / original.prod()
    return seen


def trimmed_objects(target: dict[str, Any]) -> dict[str, Any]:
    """A target with its boxes cut at the borders of the image, without objects of which nothing is left to learn.

    Dropped are objects whose box is then less than a pixel wide or high, or whose mask is empty. Key points outside of
    the image get visibility 0. An `area` shrinks as its box does.
    """
    trimmed = dict(target)
    keep: list[Tensor] = []
    if "boxes" in target:
        boxes = trimmed["boxes"] = v2.functional.clamp_bounding_boxes(target["boxes"])
        original_sides, sides = _sides(target["boxes"]), _sides(boxes)
        keep.append((sides >= SMALLEST_SIDE).all(-1))
        if "area" in target:
            trimmed["area"] = target["area"] * sides.prod(-1) / original_sides.prod(-1).clamp_min(1e-6)
    if "masks" in target:
        # As bytes, of which torch finds the greatest fifty times as fast as it asks whether any is true.
        keep.append(target["masks"].as_subclass(Tensor).view(torch.uint8).flatten(1).amax(1) > 0)
    if "keypoints" in target and "visibility" in target:
        height, width = target["keypoints"].canvas_size
        points = target["keypoints"].as_subclass(Tensor)
        inside = (points >= 0).all(-1) & (points <= torch.tensor([width, height])).all(-1)
        trimmed["visibility"] = target["visibility"] * inside
    return kept_objects(trimmed, torch.stack(keep).all(0)) if keep else trimmed


def kept_objects(target: dict[str, Any], keep: Tensor) -> dict[str, Any]:
    """A target with those of its objects for which `keep` `(n,)` is True."""
    if keep.all():
        return target
    rows = {key: target[key] for key in OBJECT_ENTRIES if key in target}
    return target | {key: as_kind_of(value.as_subclass(Tensor)[keep], value) for key, value in rows.items()}


def as_kind_of(value: Tensor, like: Tensor) -> Tensor:
    """A tensor as the kind of another: operations on `tv_tensors` give plain ones."""
    return tv_tensors.wrap(value, like=like) if isinstance(like, tv_tensors.TVTensor) else value


def _sides(boxes: Tensor) -> Tensor:
    """Width and height `(n, 2)` of boxes `(n, 4)`."""
    edges = boxes.as_subclass(Tensor)
    return edges[:, 2:] - edges[:, :2]


def _viewed_mask(mask: tv_tensors.Mask, view: View) -> tv_tensors.Mask:
    """A mask `(..., H, W)` through the view, by its nearest pixels."""
    pixels = mask.as_subclass(Tensor)
    pixels = pixels[..., view.top : view.top + view.height, view.left : view.left + view.width]
    # Torchvision would turn truth values into floats, four times their memory.
    resized = v2.functional.resize_mask(pixels.view(torch.uint8) if mask.dtype == torch.bool else pixels, view.size)
    resized = resized.view(mask.dtype)
    return tv_tensors.Mask(resized.flip(-1) if view.mirrored else resized)


def _mirrored_order(points: int, flip_pairs: Sequence[tuple[int, int]]) -> list[int]:
    """For each of so many key points the index of its mirror image."""
    order = list(range(points))
    for left, right in flip_pairs:
        if max(left, right) >= points:
            raise InputError(
                f"The flip pair ({left}, {right}) does not fit {points} key points: give indices below {points}."
            )
        order[left], order[right] = order[right], order[left]
    return order
