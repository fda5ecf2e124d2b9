"""Shortcuts of residual blocks that change the size or the number of channels."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

from res2net.errors import check_choice
from res2net.nn.layers import Norm, avg_pool, conv, norm_layer

__all__ = ["Shortcut", "shortcut_layers"]

Shortcut: TypeAlias = Literal["conv", "avg_pool"]


class SameAvgPool(nn.Module):
    """The average of 2 neighbours in each dimension at stride 1, with zeros behind the last position."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.dims = dims
        self.pool = avg_pool(dims, 2, stride=1)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, *size)` to the same shape."""
        return self.pool(F.pad(x, (0, 1) * self.dims))


def shortcut_layers(
    shortcut: Shortcut,
    in_channels: int,
    out_channels: int,
    *,
    stride: int,
    dilated: bool = False,
    dims: int = 2,
    norm: Norm = "batch",
) -> nn.Sequential:
    """Make the layers of a shortcut: a strided 1x1 convolution, or an average pooling and a 1x1 convolution.

    The pooling is that of v1b / d: its kernel size is the stride, incomplete windows are kept, and padding does not
    count. In a stage that is `dilated` instead of strided, the pooling has stride 1.

    Shape: `(N, in_channels, *size)` to `(N, out_channels, *ceil(size / stride))`.
    """
    check_choice("Shortcut", shortcut, Shortcut)
    norm_out = norm_layer(norm, out_channels, dims)
    if shortcut == "conv":
        return nn.Sequential(conv(dims, in_channels, out_channels, stride=stride), norm_out)
    pool: nn.Module = nn.Identity()
    if stride > 1:
        pool = avg_pool(dims, stride, stride=stride, ceil_mode=True, count_include_pad=False)
    elif dilated:
        pool = SameAvgPool(dims)
    return nn.Sequential(pool, conv(dims, in_channels, out_channels), norm_out)
