"""Shortcuts: what the residual branch is added to where the size or the channels change."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from res2net.errors import check_choice
from res2net.nn.layers import Norm, avg_pool, conv, norm_layer

__all__ = ["SHORTCUTS", "shortcut_layers"]

SHORTCUTS = ("conv", "avg_pool")


class SameAvgPool(nn.Module):
    """The average of 2 positions in each dimension, at stride 1; zeros follow the last position."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.dims = dims
        self.pool = avg_pool(dims, 2, stride=1)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, *size)` to the same shape."""
        return self.pool(F.pad(x, (0, 1) * self.dims))


def shortcut_layers(
    shortcut: str,
    in_channels: int,
    out_channels: int,
    *,
    stride: int,
    dilated: bool = False,
    dims: int = 2,
    norm: Norm = "batch",
) -> nn.Sequential:
    """The layers of a shortcut: a 1x1 convolution that has the stride, or an average pooling that has it before one.

    The pooling is that of v1b / d: kernel and stride alike, incomplete windows kept, padding not counted. Where a
    `dilated` stage keeps its resolution, the pooling keeps it too.

    Shape: `(N, in_channels, *size)` to `(N, out_channels, *ceil(size / stride))`.
    """
    check_choice("Shortcut", shortcut, SHORTCUTS)
    norm_out = norm_layer(norm, out_channels, dims)
    if shortcut == "conv":
        return nn.Sequential(conv(dims, in_channels, out_channels, stride=stride), norm_out)
    pool: nn.Module = nn.Identity()
    if stride > 1:
        pool = avg_pool(dims, stride, stride=stride, ceil_mode=True, count_include_pad=False)
    elif dilated:
        pool = SameAvgPool(dims)
    return nn.Sequential(pool, conv(dims, in_channels, out_channels), norm_out)
