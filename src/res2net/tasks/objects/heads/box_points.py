"""Key points read off heat maps that span boxes, in tensors of fixed shapes, so that a whole detector can be exported.

Mask R-CNN enlarges each heat map to the pixels of its box and takes the largest value. Where shapes are fixed each box
could be as large as the image, which makes too many pixels: here a grid of them is looked at, and then all pixels
around its highest peaks.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["points_in_boxes"]

GRID = 112
"""Pixels of a box that are looked at first, along each side: two for each value of a usual heat map."""
PLACES = 4
"""The highest peaks on that grid around which all pixels are looked at."""
SHARPNESS = -0.75
"""The parameter of bicubic interpolation, as torch has it."""
REACH = 2
"""Values on each side of a position that bicubic interpolation takes."""


def points_in_boxes(heatmaps: Tensor, boxes: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """The pixel of each box that has the largest value of each heat map, enlarged bicubically to the box.

    As torchvision's `heatmaps_to_keypoints`, but that of two almost equal peaks of a map it may take the other.

    Args:
        heatmaps: `(R, k, h, w)` float32, each over the whole of a box.
        boxes: `(R, 4)` in pixels.
        longest: pixels of the longest side that a box can have.

    Returns:
        Points `(R, k, 2)`, the middles of these pixels, and the values there `(R, k)`.
    """
    extent = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)
    counts = extent.ceil()
    width, height = counts[:, :1], counts[:, 1:]  # pixels of a box, (R, 1)
    maps = F.pad(heatmaps, (REACH,) * 4, mode="replicate")

    share = (torch.arange(GRID, device=boxes.device) + 0.5) / GRID
    columns, rows = (share * width).floor(), (share * height).floor()  # (R, GRID)
    coarse = _enlarged(maps, columns[:, None], rows[:, None], counts[:, None])
    peaks = coarse.masked_fill(coarse < F.max_pool2d(coarse, 3, stride=1, padding=1), -math.inf)
    best = peaks.flatten(2).topk(PLACES).indices

    shift = torch.arange(2 * math.ceil(longest / GRID) + 1, device=boxes.device) - math.ceil(longest / GRID)
    x = columns.gather(1, (best % GRID).flatten(1)).view_as(best)[..., None] + shift  # (R, k, PLACES, n)
    y = rows.gather(1, (best // GRID).flatten(1)).view_as(best)[..., None] + shift
    x = torch.minimum(x.clamp(min=0), width[..., None, None] - 1)
    y = torch.minimum(y.clamp(min=0), height[..., None, None] - 1)
    values = _enlarged(maps[:, :, None], x, y, counts[:, None, None])
    scores, position = values.flatten(2).max(-1)  # of PLACES * n * n
    count = len(shift)
    row = position // count
    x = x.flatten(2).gather(2, (row // count * count + position % count)[..., None])
    y = y.flatten(2).gather(2, row[..., None])
    points = (torch.cat([x, y], -1) + 0.5) * (extent / counts)[:, None] + boxes[:, None, :2]
    return points, scores


def _enlarged(maps: Tensor, x: Tensor, y: Tensor, counts: Tensor) -> Tensor:
    """The values of padded maps `(..., h, w)`, enlarged to `counts` `(..., 2)` pixels, at columns and rows `(..., n)`.

    Of the shape `(..., n, n)`.
    """
    height, width = maps.shape[-2:]
    rows = _cubic(y, counts[..., 1:], height)
    return rows @ maps @ _cubic(x, counts[..., :1], width).mT


def _cubic(pixels: Tensor, count: Tensor, size: int) -> Tensor:
    """For pixels `(..., n)` of `count` along a side, the weight of each value of a padded map, `(..., n, size)`."""
    position = (pixels + 0.5) * ((size - 2 * REACH) / count) - 0.5
    apart = (position[..., None] + REACH - torch.arange(size, device=pixels.device)).abs()
    near = ((SHARPNESS + 2) * apart - (SHARPNESS + 3)) * apart**2 + 1
    far = (((apart - 5) * apart + 8) * apart - 4) * SHARPNESS
    return torch.where(apart <= 1, near, torch.where(apart < 2, far, 0.0))
