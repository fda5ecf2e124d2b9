"""What a convolution computes, told by its class; and others of its kind."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["CHANNELS_LAST", "conv_like", "is_plain", "padding_of"]

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""The memory format with channels last, by the number of dimensions of a tensor or weight."""
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

SAME = ("Conv2dSame", "Conv2dSameExport")
"""Classes of timm that pad as TensorFlow does; by name, so that timm need not be there."""


def is_plain(conv: nn.Module) -> bool:
    """Whether it computes what torch's own class does, up to the padding, with weights of its own."""
    if hasattr(conv, "parametrizations"):
        return False
    return type(conv).__name__ in SAME or any(
        isinstance(conv, kind) and type(conv).forward is kind.forward and type(conv)._conv_forward is kind._conv_forward
        for kind in CONVOLUTIONS
    )


def padding_of(conv: Any) -> tuple[int | str, ...]:
    """For each axis how much is padded on both sides, or "same": so much that a stride `s` makes `n` `ceil(n / s)`."""
    if conv.padding == "same" or type(conv).__name__ in SAME:
        return ("same",) * len(conv.kernel_size)
    return (0,) * len(conv.kernel_size) if conv.padding == "valid" else tuple(conv.padding)


def conv_like(conv: Any, in_channels: int, out_channels: int, groups: int) -> nn.Module:
    """A convolution of torch like another, but for its numbers of channels and groups, as new."""
    kind = next(kind for kind in CONVOLUTIONS if isinstance(conv, kind))
    return kind(
        in_channels,
        out_channels,
        conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=groups,
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
