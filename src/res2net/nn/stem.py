"""Stems, between the image and the first stage, and the shortcuts of residual blocks that change the size."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

from res2net.errors import InputError, check_choice
from res2net.nn.bottleneck import BlockOrder
from res2net.nn.layers import Activation, Norm, activation, conv, layer_class, norm_layer

Stem: TypeAlias = Literal["conv7", "deep", "conv3", "simple"]
"""The stem of ResNet, that of v1b / d (three 3x3 convolutions), that for small images (one), or that of RegNet (one at
stride 2; Radosavovic et al., CVPR 2020)."""
STEM_STRIDES: dict[Stem, tuple[int, int]] = {"conv7": (2, 4), "deep": (2, 4), "conv3": (1, 1), "simple": (2, 2)}
"""Stride of each stem, before and after its pooling."""
Shortcut: TypeAlias = Literal["conv", "avg_pool"]


def stem_layers(
    stem: Stem,
    in_channels: int,
    channels: int,
    *,
    dims: int = 2,
    norm: Norm = "batch",
    act: Activation = "relu",
    order: BlockOrder = "conv-norm-act",
    ceil_mode: bool = False,
) -> tuple[nn.Module, nn.Module]:
    """Make the convolution and the pooling of a stem, between which normalisation and activation belong.

    The deep stem is that of He et al., "Bag of tricks" (CVPR 2019): its first two convolutions have half of the
    channels, and each is followed by its normalisation and activation in the given order. With `ceil_mode` the pooling
    keeps an incomplete last window, as the networks of DSS, PoolNet and DeepLab (v2) do: one position more where the
    side is even.

    Shape: the convolution maps `(N, in_channels, *size)` to `(N, channels, ...)` at stride 2 (`conv3`: 1), the
    pooling halves the size (`conv3` and `simple`: keeps it).
    """
    check_choice("Stem", stem, Stem)
    stride, pooled_stride = STEM_STRIDES[stem]
    if stride == pooled_stride:
        if ceil_mode:
            raise InputError(f"A stem {stem!r} has no pooling, which ceil_mode would change: leave it out.")
        return conv(dims, in_channels, channels, 3, stride=stride), nn.Identity()
    pool = layer_class("MaxPool", dims)(3, stride=2, padding=1, ceil_mode=ceil_mode)
    if stem == "conv7":
        return conv(dims, in_channels, channels, 7, stride=2), pool
    half = channels // 2

    def after_convolution() -> tuple[nn.Module, nn.Module]:
        layers = norm_layer(norm, half, dims), activation(act)
        return layers if order == "conv-norm-act" else layers[::-1]

    deep = nn.Sequential(
        conv(dims, in_channels, half, 3, stride=2),
        *after_convolution(),
        conv(dims, half, half, 3),
        *after_convolution(),
        conv(dims, half, channels, 3),
    )
    return deep, pool


class SameAvgPool(nn.Module):
    """The average of 2 neighbours in each dimension at stride 1, with zeros behind the last position."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.dims = dims
        self.pool = layer_class("AvgPool", dims)(2, stride=1)

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
        pool = layer_class("AvgPool", dims)(stride, stride=stride, ceil_mode=True, count_include_pad=False)
    elif dilated:
        pool = SameAvgPool(dims)
    return nn.Sequential(pool, conv(dims, in_channels, out_channels), norm_out)
