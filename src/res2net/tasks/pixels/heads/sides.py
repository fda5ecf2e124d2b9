"""Common parts of decoders with a branch on every stage of a backbone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from res2net.backbones.base import Stage
from res2net.errors import InputError

__all__ = ["initialise_sides", "side_channels"]

FULL = 256
"""Channels of the branches on the middle stages, as in the papers."""
STD = 0.01
"""Standard deviation of the initial weights with that many channels (published code of DSS and PoolNet)."""


def side_channels(stages: Sequence[Stage], channels: int = FULL) -> tuple[int, ...]:
    """Channels of the branch on each stage: `channels` on the middle ones, half on the finest, twice on the last two.

    With 256 channels, these are the numbers of DSS and PoolNet on the five stages of a ResNet.

    Raises:
        InputError: there are fewer than 3 stages.
    """
    if len(stages) < 3:
        raise InputError(f"A network of {len(stages)} stages has too few for this decoder: take one with 3 or more.")
    return (max(1, channels // 2), *(channels for _ in stages[3:]), 2 * channels, 2 * channels)


@torch.no_grad()
def initialise_sides(decoder: nn.Module, channels: int = FULL) -> None:
    """Initialise the weights of a decoder in place, with a variance that does not depend on its width.

    Modules on the meta device are left alone.
    """
    if any(parameter.is_meta for parameter in decoder.parameters()):
        return
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=STD * math.sqrt(FULL / channels))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
