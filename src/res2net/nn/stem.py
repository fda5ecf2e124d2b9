"""Stems: the layers between the image and the first stage."""

from __future__ import annotations

from torch import nn

from res2net.errors import check_choice
from res2net.nn.layers import Activation, Norm, activation, conv, max_pool, norm_layer

__all__ = ["STEMS", "stem_layers"]

STEMS = {"conv7": 4, "deep": 4, "conv3": 1}
"""Each stem by name, with its stride: `conv7` of ResNet, `deep` (three 3x3) of v1b / d, `conv3` for small images."""


def stem_layers(
    stem: str,
    in_channels: int,
    channels: int,
    *,
    dims: int = 2,
    norm: Norm = "batch",
    act: Activation = "relu",
    order: str = "conv-norm-act",
) -> tuple[nn.Module, nn.Module]:
    """The convolution and the pooling of a stem; normalisation and activation come between them.

    Shape: the convolution maps `(N, in_channels, *size)` to `(N, channels, ...)` at stride 2 (`conv3`: 1), the
    pooling keeps the channels and halves the size (`conv3`: keeps it). The deep stem is the one of He et al.,
    "Bag of tricks" (CVPR 2019): its first two convolutions have half of the channels, each with normalisation and
    activation in `order` ("conv-norm-act" or "conv-act-norm").
    """
    check_choice("Stem", stem, STEMS)
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
