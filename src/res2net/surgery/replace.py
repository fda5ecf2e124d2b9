"""Replacements of a convolution and its neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import starmap
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from res2net.kernels import SplitOrder
from res2net.nn import Res2Conv
from res2net.nn.layers import LayerStyle, norm_layer
from res2net.nn.layers import conv as new_conv
from res2net.surgery.kinds import conv_like, padding_of


def odd_kernel(conv: _ConvNd) -> tuple[int, ...]:
    """The kernel size of a replacement: that of the convolution, with one more where it is even."""
    return tuple(size + 1 - size % 2 for size in conv.kernel_size)


def extra_padding(conv: _ConvNd) -> list[tuple[int, int]]:
    """Padding before and after each axis, beyond the padding that keeps the size; a negative one is a crop."""
    axes = zip(padding_of(conv), conv.kernel_size, conv.stride, conv.dilation, strict=True)
    return list(starmap(axis_padding, axes))


def axis_padding(padding: int | str, size: int, step: int, spread: int) -> tuple[int, int]:
    """Padding before and after an axis, beyond the padding with which an odd kernel keeps the size."""
    if isinstance(padding, int):
        before = after = padding
    elif step > 1:
        # For even sizes, TensorFlow pads one zero more at the end; equal padding on both sides avoids that.
        return 0, 0
    else:
        before = spread * (size - 1) // 2
        after = spread * (size - 1) - before
    kept = spread * (size // 2)
    return before - kept + spread * (1 - size % 2), after - kept


@dataclass(frozen=True)
class Size:
    """The size of a replacement."""

    scale: int
    width: int
    cardinality: int = 1

    @property
    def channels(self) -> int:
        """Channels of all splits together."""
        return self.scale * self.width


class MultiScaleConv(nn.Module):
    """A `Res2Conv` with the channels and the padding of the convolution that it replaces.

    With `ends`, a 1x1 convolution with a normalisation comes before the splits, and a 1x1 convolution after them, both
    with the groups of the original. There is no activation between the first of these and the splits: since every
    convolution becomes three layers, it would make the gradients of a deep network explode at initialisation.

    Shape: that of the original convolution.
    """

    def __init__(self, res2: Res2Conv, conv: _ConvNd, style: LayerStyle, ends: tuple[bool, bool]) -> None:
        super().__init__()
        before, after = ends
        self.conv_in: nn.Module = nn.Identity()
        self.norm_in: nn.Module = nn.Identity()
        self.conv_out: nn.Module = nn.Identity()
        pointwise = partial(new_conv, style.dims, groups=conv.groups, bias=conv.bias is not None)
        if before:
            self.conv_in = pointwise(conv.in_channels, res2.channels)
            self.norm_in = norm_layer(style.norm, res2.channels, style.dims)
        self.res2 = res2
        if after:
            self.conv_out = pointwise(res2.channels, conv.out_channels)
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        self.kernel_size, self.stride, self.dilation = odd_kernel(conv), tuple(conv.stride), tuple(conv.dilation)
        self.padding_mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
        # With a stride, cropping determines which positions are computed, so it comes first.
        self.first: list[int] = []
        self.last: list[int] = []
        for pads, step in reversed(list(zip(extra_padding(conv), conv.stride, strict=True))):
            self.first += [n if n > 0 or step > 1 else 0 for n in pads]
            self.last += [n if n < 0 and step == 1 else 0 for n in pads]

    def forward(self, x: Tensor) -> Tensor:
        """Compute the replacement, with the shape of the original convolution."""
        if any(self.first):
            x = F.pad(x, self.first, mode=self.padding_mode)
        x = self.conv_out(self.res2(self.norm_in(self.conv_in(x))))
        return F.pad(x, self.last) if any(self.last) else x


def replacement(
    conv: _ConvNd, size: Size, style: LayerStyle, *, stage: bool, ends: tuple[bool, bool], split_order: SplitOrder
) -> nn.Module:
    """Create the replacement of a convolution: a `Res2Conv`, within a `MultiScaleConv` where needed."""
    res2 = Res2Conv(
        size.width,
        scale=size.scale,
        dims=style.dims,
        kernel_size=odd_kernel(conv),
        stride=tuple(conv.stride),
        dilation=tuple(conv.dilation),
        cardinality=size.cardinality,
        norm=style.norm,
        act=style.act,
        mode="stage" if stage else "hierarchical",
        split_order=split_order,
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
    )
    if not any(ends) and not any(map(any, extra_padding(conv))):
        return res2
    return MultiScaleConv(res2, conv, style, ends)


def resized_neighbour(layer: Any, *, inputs: int | None = None, outputs: int | None = None) -> nn.Module:
    """Create a freshly initialised 1x1 convolution or linear layer like `layer` with other numbers of channels."""
    if not isinstance(layer, nn.Linear):
        return conv_like(layer, inputs or layer.in_channels, outputs or layer.out_channels, groups=1)
    sizes = (inputs or layer.in_features, outputs or layer.out_features, layer.bias is not None)
    return nn.Linear(*sizes, device=layer.weight.device, dtype=layer.weight.dtype)


def initialise_new(modules: Sequence[nn.Module]) -> None:
    """Initialise the convolutions in `modules`: Kaiming-normal weights by the outputs of a group, biases zero."""
    for module in modules:
        for layer in module.modules():
            if isinstance(layer, _ConvNd):
                fan = layer.out_channels // layer.groups * math.prod(layer.kernel_size)
                with torch.no_grad():
                    layer.weight.normal_(0, math.sqrt(2 / fan))
                    if layer.bias is not None:
                        layer.bias.zero_()
