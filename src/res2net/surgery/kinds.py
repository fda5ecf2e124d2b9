"""What a convolution computes, told by its class."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["is_plain", "padding_of"]

SAME = ("Conv2dSame", "Conv2dSameExport")
"""Classes of timm that pad as TensorFlow does; by name, so that timm need not be there."""


def is_plain(conv: nn.Module) -> bool:
    """Whether it computes what torch's own class does, up to the padding, with weights of its own."""
    if hasattr(conv, "parametrizations"):
        return False
    return type(conv).__name__ in SAME or any(
        isinstance(conv, kind) and type(conv).forward is kind.forward and type(conv)._conv_forward is kind._conv_forward
        for kind in (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    )


def padding_of(conv: Any) -> tuple[int | str, ...]:
    """For each axis how much is padded on both sides, or "same": so much that a stride `s` makes `n` `ceil(n / s)`."""
    if conv.padding == "same" or type(conv).__name__ in SAME:
        return ("same",) * len(conv.kernel_size)
    return (0,) * len(conv.kernel_size) if conv.padding == "valid" else tuple(conv.padding)
