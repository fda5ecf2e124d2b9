"""Read keypoints off the heat maps of boxes, with fixed shapes, so that a whole detector can be exported.

Mask R-CNN resizes each heat map to the pixels of its box and takes the maximum. With fixed shapes, every box would have
to be as large as the image. Instead, a coarse grid of pixels is evaluated first, and then all pixels around the highest
peaks of the grid.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

GRID = 112
"""Grid points along each side of a box: two per value of a 56 x 56 heat map."""
CANDIDATES = 4
"""Number of peaks of the grid around which all pixels are evaluated."""
SHARPNESS = -0.75
"""The parameter of bicubic interpolation, as in torch."""
REACH = 2
"""Number of values on each side of a position that bicubic interpolation uses."""


def points_in_boxes(heatmaps: Tensor, boxes: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """The pixel of each box with the maximum of each heat map, resized to the box by bicubic interpolation.

    The result is that of torchvision's `heatmaps_to_keypoints`, except that it may choose the other of two almost equal
    peaks.

    Args:
        heatmaps: heat maps `(R, k, h, w)` in float32, each spanning a box.
        boxes: boxes `(R, 4)` in pixels.
        longest: maximum side of a box in pixels.

    Returns:
        The centres of these pixels `(R, k, 2)`, and the values there `(R, k)`.
    """
    extent = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)
    counts = extent.ceil()
    width, height = counts[:, :1], counts[:, 1:]  # pixels of a box, (R, 1)
    maps = F.pad(heatmaps, (REACH,) * 4, mode="replicate")

    share = (torch.arange(GRID, device=boxes.device) + 0.5) / GRID
    columns, rows = (share * width).floor(), (share * height).floor()  # (R, GRID)
    coarse = _enlarged(maps, columns[:, None], rows[:, None], counts[:, None])
    peaks = coarse.masked_fill(coarse < F.max_pool2d(coarse, 3, stride=1, padding=1), -math.inf)
    best = peaks.flatten(2).topk(CANDIDATES).indices

    shift = torch.arange(2 * math.ceil(longest / GRID) + 1, device=boxes.device) - math.ceil(longest / GRID)
    x = columns.gather(1, (best % GRID).flatten(1)).view_as(best)[..., None] + shift  # (R, k, CANDIDATES, n)
    y = rows.gather(1, (best // GRID).flatten(1)).view_as(best)[..., None] + shift
    x = torch.minimum(x.clamp(min=0), width[..., None, None] - 1)
    y = torch.minimum(y.clamp(min=0), height[..., None, None] - 1)
    values = _enlarged(maps[:, :, None], x, y, counts[:, None, None])
    scores, position = values.flatten(2).max(-1)  # of CANDIDATES * n * n
    count = len(shift)
    row = position // count
    x = x.flatten(2).gather(2, (row // count * count + position % count)[..., None])
    y = y.flatten(2).gather(2, row[..., None])
    points = (torch.cat([x, y], -1) + 0.5) * (extent / counts)[:, None] + boxes[:, None, :2]
    return points, scores


def _enlarged(maps: Tensor, x: Tensor, y: Tensor, counts: Tensor) -> Tensor:
    """Resize padded maps `(..., h, w)` to `counts` `(..., 2)` pixels, evaluated at columns `x` and rows `y` `(..., n)`.

    The result has the shape `(..., n, n)`.
    """
    height, width = maps.shape[-2:]
    rows = _cubic(y, counts[..., 1:], height)
    return rows @ maps @ _cubic(x, counts[..., :1], width).mT


def _cubic(pixels: Tensor, count: Tensor, size: int) -> Tensor:
    """The bicubic weights `(..., n, size)` of a padded map for pixels `(..., n)` of a side of `count` pixels."""
    position = (pixels + 0.5) * ((size - 2 * REACH) / count) - 0.5
    distance = (position[..., None] + REACH - torch.arange(size, device=pixels.device)).abs()
    near = ((SHARPNESS + 2) * distance - (SHARPNESS + 3)) * distance**2 + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * SHARPNESS
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0))
