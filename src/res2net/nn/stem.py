"""Stems: the layers between the image and the first stage."""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import nn

from res2net.errors import check_choice
from res2net.nn.bottleneck import BlockOrder
from res2net.nn.layers import Activation, Norm, activation, conv, max_pool, norm_layer

__all__ = ["STEM_STRIDES", "Stem", "stem_layers"]

Stem: TypeAlias = Literal["conv7", "deep", "conv3"]
"""The stem of ResNet, that of v1b / d (three 3x3 convolutions), or that for small images (one)."""
STEM_STRIDES: dict[Stem, int] = {"conv7": 4, "deep": 4, "conv3": 1}
"""Stride of each stem, its pooling included."""


def stem_layers(
    stem: Stem,
    in_channels: int,
    channels: int,
    *,
    dims: int = 2,
    norm: Norm = "batch",
    act: Activation = "relu",
    order: BlockOrder = "conv-norm-act",
) -> tuple[nn.Module, nn.Module]:
    """Make the convolution and the pooling of a stem, between which normalisation and activation belong.

    The deep stem is that of He et al., "Bag of tricks" (CVPR 2019): its first two convolutions have half of the
    channels, and each is followed by its normalisation and activation in the given order.

    Shape: the convolution maps `(N, in_channels, *size)` to `(N, channels, ...)` at stride 2 (`conv3`: 1), the
    pooling halves the size (`conv3`: keeps it).
    """
    check_choice("Stem", stem, Stem)
    if stem == "conv3":
        return conv(dims, in_channels, channels, 3), nn.Identity()
    pool = max_pool(dims, 3, stride=2, padding=1)
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
