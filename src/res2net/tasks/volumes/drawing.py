"""Drawings of volumes as three slices at right angles, with the classes of their voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from res2net.report.objects import draw_segments

__all__ = ["crossing", "draw_volume"]

SIDE = 400
"""Pixels of the longer side of a slice."""
GAP = 4
BACKGROUND = (16, 16, 16)


def draw_volume(
    voxels: Tensor,
    spacing: Sequence[float],
    label_map: Tensor,
    names: Sequence[str],
    window: tuple[float, float],
    indices: Sequence[int] | None = None,
) -> Image.Image:
    """Three slices side by side, and below them the same with the classes of the voxels.

    The slices are as radiologists see them: the head and the front are up, the patient's right is on the left.

    Args:
        voxels: `(D, H, W)`, from feet to head, from back to front, from left to right.
        spacing: of voxels along each axis, mm.
        label_map: `(D, H, W)`, indices of classes; 0 is the background and is not drawn.
        names: of all classes.
        window: intensities that are black and white.
        indices: of the slice along each axis; by default those of `crossing`.
    """
    indices = indices or crossing(label_map, label_map.shape)
    size = [count * step for count, step in zip(voxels.shape, spacing, strict=True)]
    scale = SIDE / max(size)
    top, below = [], []
    for axis in range(3):
        grey = plane(voxels, axis, indices[axis])
        classes = plane(label_map, axis, indices[axis])
        height, width = (max(1, round(size[other] * scale)) for other in range(3) if other != axis)
        low, high = window
        shades = np.clip((grey - low) / (high - low), 0, 1) * 255
        image = Image.fromarray(shades.astype(np.uint8)).resize((width, height), Image.Resampling.BILINEAR)
        image = image.convert("RGB")
        large = np.asarray(Image.fromarray(classes.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST))
        found = [int(label) for label in np.unique(large) if label]
        drawn = draw_segments(image, [(torch.from_numpy(large == label), label) for label in found], names)
        below.append(drawn)
        top.append(image.resize(drawn.size, Image.Resampling.BILINEAR))
    return sheet([top, below])


def crossing(label_map: Tensor | None, shape: Sequence[int]) -> tuple[int, int, int]:
    """The index, along each axis, of the slice that has most of the last class that is there.

    In most data sets that class is the rarest. Without a label map, and in one with background alone, it is the middle
    slice of a volume of that shape.
    """
    if label_map is None or not (label_map > 0).any():
        depth, height, width = shape
        return depth // 2, height // 2, width // 2
    chosen = label_map == label_map.max()
    slices, rows, columns = (int(chosen.sum([one for one in range(3) if one != axis]).argmax()) for axis in range(3))
    return slices, rows, columns


def plane(values: Tensor, axis: int, index: int) -> NDArray[Any]:
    """A slice across an axis, turned as radiologists see it: all its axes run the other way."""
    found: NDArray[Any] = values.select(axis, index).flip(0, 1).contiguous().numpy()
    return found


def sheet(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Rows of images on one, each as wide as the widest of its column."""
    widths = [max(image.width for image in column) for column in zip(*rows, strict=True)]
    heights = [max(image.height for image in row) for row in rows]
    paper = Image.new("RGB", (sum(widths) + GAP * (len(widths) - 1), sum(heights) + GAP * (len(rows) - 1)), BACKGROUND)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for image, width in zip(row, widths, strict=True):
            paper.paste(image, (left + (width - image.width) // 2, top + (height - image.height) // 2))
            left += width + GAP
        top += height + GAP
    return paper
