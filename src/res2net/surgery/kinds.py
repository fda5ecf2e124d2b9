"""Classes of convolutions: which of them compute a plain convolution, with which padding, and copies of other sizes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""The channels-last memory format by the number of dimensions of a tensor or weight."""
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

SAME = ("Conv2dSame", "Conv2dSameExport")
"""Names of timm's classes that pad as TensorFlow does; names, so that timm need not be installed."""


def is_plain(conv: nn.Module) -> bool:
    """Whether a convolution computes what torch's class does, up to padding, with weights of its own."""
    if has_computed_weight(conv):
        return False
    return type(conv).__name__ in SAME or any(
        isinstance(conv, kind) and type(conv).forward is kind.forward and type(conv)._conv_forward is kind._conv_forward
        for kind in CONVOLUTIONS
    )


def has_computed_weight(conv: nn.Module) -> bool:
    """Whether the weight of a convolution is computed from other tensors, as by weight or spectral normalisation."""
    return hasattr(conv, "parametrizations") or "weight" not in dict(conv.named_parameters(recurse=False))


def padding_of(conv: Any) -> tuple[int | str, ...]:
    """The padding on both sides of each axis, or "same" for outputs of size `ceil(n / stride)`."""
    if conv.padding == "same" or type(conv).__name__ in SAME:
        return ("same",) * len(conv.kernel_size)
    return (0,) * len(conv.kernel_size) if conv.padding == "valid" else tuple(conv.padding)


def conv_like(conv: Any, in_channels: int, out_channels: int, groups: int) -> nn.Module:
    """Create a freshly initialised convolution like another, with other numbers of channels and groups."""
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
