"""Crop, resize and mirror images together with their objects.

Coordinates refer to edges: an image of width w spans 0 to w, and its first pixel 0 to 1. So boxes and keypoints are
scaled by the same factor, and the mirror image of x is w - x for both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from res2net.images.decode import MOST_PIXELS, BadImage, Jpeg
from res2net.images.keypoints import mirrored_order
from res2net.images.samples import OBJECT_ENTRIES

SMALLEST_SIDE = 1.0
"""Minimum side of a box in pixels; narrower boxes are useless for training."""


@dataclass(frozen=True)
class View:
    """A crop of an image, the size it is resized to, and whether it is then mirrored; all in integer pixels."""

    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]
    """Height and width after resizing."""
    mirrored: bool = False


def image_size(image: Any) -> tuple[int, int]:
    """Height and width of a `PIL.Image`, an upright `Jpeg`, or a tensor `(C, H, W)`."""
    if isinstance(image, Image.Image | Jpeg):
        return image.size[1], image.size[0]
    return image.shape[-2], image.shape[-1]


def resized_size(height: int, width: int, shorter: int, longer: int) -> tuple[int, int]:
    """Height and width after resizing the shorter side to `shorter`, or less if the longer one would exceed `longer`.

    One side is exact, the other is rounded down, to at least 1. This is the rule of Faster R-CNN's code, in integer
    arithmetic, since `width * (shorter / width)` can be one pixel short.
    """
    short, long = sorted((height, width))
    goal, given = (longer, long) if long * shorter > longer * short else (shorter, short)
    return max(1, height * goal // given), max(1, width * goal // given)


def fitting_size(height: int, width: int, most_height: int, most_width: int) -> tuple[int, int]:
    """Height and width of the largest image of the same aspect ratio that fits into the given size.

    One side is exact, the other is rounded down, to at least 1.
    """
    goal, given = (most_height, height) if height * most_width > width * most_height else (most_width, width)
    return max(1, height * goal // given), max(1, width * goal // given)


def viewed_image(image: Any, view: View, interpolation: v2.InterpolationMode) -> Any:
    """Apply a view to an image; a `PIL.Image` or a `Jpeg` gives a `PIL.Image`, a tensor gives a tensor."""
    height, width = image_size(image)
    if math.prod(view.size) > MOST_PIXELS:
        enlarged = f"{view.size[1]:,} x {view.size[0]:,}"
        raise BadImage(f"An image of {width:,} x {height:,} pixels would be enlarged to {enlarged}: crop it first.")
    if isinstance(image, Jpeg):
        edges = (view.left, view.top, view.left + view.width, view.top + view.height)
        image = image.cut(edges, view.size[::-1], Image.Resampling[interpolation.name])
    else:
        if (view.height, view.width) != (height, width):
            image = v2.functional.crop(image, view.top, view.left, view.height, view.width)
        image = v2.functional.resize(image, list(view.size), interpolation=interpolation, antialias=True)
    return v2.functional.horizontal_flip(image) if view.mirrored else image


def viewed_target(target: dict[str, Any], view: View, flip_pairs: Sequence[tuple[int, int]] = ()) -> dict[str, Any]:
    """Apply a view to a target's boxes, masks, keypoints, `visibility` and `area`.

    Nothing is clipped or dropped: boxes and keypoints may be outside of the view, see `trimmed_objects`. In a mirror
    image the keypoints of each of `flip_pairs` are swapped, such as the left and the right hand.
    """
    origin = torch.tensor([float(view.left), float(view.top)])
    # Multiplying before dividing keeps results exact that are integers.
    now, original = torch.tensor([view.size[::-1], (view.width, view.height)])
    seen = dict(target)
    for key, value in target.items():
        if isinstance(value, tv_tensors.Mask):
            pixels = value.as_subclass(Tensor)
            pixels = pixels[..., view.top : view.top + view.height, view.left : view.left + view.width]
            # Torchvision would convert bools to floats, which take four times the memory.
            pixels = pixels.view(torch.uint8) if value.dtype == torch.bool else pixels
            resized = v2.functional.resize_mask(pixels, view.size).view(value.dtype)
            seen[key] = tv_tensors.Mask(resized.flip(-1) if view.mirrored else resized)
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
                points = points[..., mirrored_order(points.shape[-2], flip_pairs), :]
            seen[key] = tv_tensors.KeyPoints(points, canvas_size=view.size)
    if view.mirrored and "visibility" in target:
        seen["visibility"] = target["visibility"][..., mirrored_order(target["visibility"].shape[-1], flip_pairs)]
    if "area" in target:
        seen["area"] = target["area"] * now.prod() / original.prod()
    return seen


def trimmed_objects(target: dict[str, Any]) -> dict[str, Any]:
    """Clip the boxes of a target to the image, and drop objects of which nothing is left to learn from.

    Objects are dropped if their clipped box is less than a pixel wide or high, or if their mask is empty. Keypoints
    outside of the image get visibility 0. The `area` shrinks in proportion to the box.
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
        # As bytes, since `amax` is fifty times as fast as `any` on bools.
        keep.append(target["masks"].as_subclass(Tensor).view(torch.uint8).flatten(1).amax(1) > 0)
    if "keypoints" in target and "visibility" in target:
        height, width = target["keypoints"].canvas_size
        points = target["keypoints"].as_subclass(Tensor)
        inside = (points >= 0).all(-1) & (points <= torch.tensor([width, height])).all(-1)
        trimmed["visibility"] = target["visibility"] * inside
    return kept_objects(trimmed, torch.stack(keep).all(0)) if keep else trimmed


def kept_objects(target: dict[str, Any], keep: Tensor) -> dict[str, Any]:
    """A target with only those objects for which `keep` `(n,)` is True."""
    if keep.all():
        return target
    rows = {key: target[key] for key in OBJECT_ENTRIES if key in target}
    return target | {key: as_kind_of(value.as_subclass(Tensor)[keep], value) for key, value in rows.items()}


def as_kind_of(value: Tensor, like: Tensor) -> Tensor:
    """Wrap a tensor as the `tv_tensors` type of another, since operations on these return plain tensors."""
    return tv_tensors.wrap(value, like=like) if isinstance(like, tv_tensors.TVTensor) else value


def _sides(boxes: Tensor) -> Tensor:
    """Width and height `(n, 2)` of boxes `(n, 4)`."""
    edges = boxes.as_subclass(Tensor)
    return edges[:, 2:] - edges[:, :2]


def random_part(side: int, scale: float, most: int) -> tuple[int, int, int]:
    """Choose the part of a side that a scaled view shows: its start, its length, and its length after resizing.

    If the scaled side exceeds `most`, it is cropped before resizing, which is equivalent up to rounding and cheaper.
    """
    if side * scale <= most:
        return 0, side, max(1, round(side * scale))
    return *random_cut(side, round(most / scale)), most


def random_cut(side: int, length: int) -> tuple[int, int]:
    """A random start for a part of a side, and its length, clipped to the side and to at least 1."""
    length = min(max(1, length), side)
    return below(side - length + 1), length


def uniform(low: float, high: float) -> float:
    """A random number, uniform between `low` and `high`."""
    return low + (high - low) * float(torch.rand(()))


def below(bound: int) -> int:
    """A random integer from 0 to `bound` - 1."""
    return int(torch.randint(bound, ()))
