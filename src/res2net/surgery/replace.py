"""The layers that take the place of a convolution and of those around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from res2net.kernels import SplitOrder
from res2net.nn import Res2Conv
from res2net.nn.layers import PaddingMode
from res2net.nn.layers import conv as new_conv
from res2net.surgery.find import Style
from res2net.surgery.kinds import conv_like, padding_of

__all__ = ["Form", "MultiScaleConv", "Size", "initialise_new", "replacement", "resized_neighbour"]


@dataclass(frozen=True)
class Form:
    """A convolution without its weights; kernels are odd, an even one is one larger."""

    dims: int
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    bias: bool
    padding_mode: PaddingMode
    pads: tuple[tuple[int, int], ...]
    """For each axis, padding before and after, beyond that which keeps the size; negative is cut off."""

    @classmethod
    def of(cls, conv: _ConvNd) -> Form:
        """That of a convolution."""
        odd = tuple(size + 1 - size % 2 for size in conv.kernel_size)
        axes = zip(padding_of(conv), conv.kernel_size, conv.stride, conv.dilation, strict=True)
        return cls(
            len(odd),
            conv.in_channels,
            conv.out_channels,
            odd,
            tuple(conv.stride),
            tuple(conv.dilation),
            conv.groups,
            conv.bias is not None,
            conv.padding_mode,
            tuple(starmap(beyond, axes)),
        )

    @property
    def strided(self) -> bool:
        """Whether any axis has a stride."""
        return max(self.stride) > 1


def beyond(padding: int | str, size: int, step: int, spread: int) -> tuple[int, int]:
    """Along an axis, the padding before and after a kernel beyond that which keeps the size with an odd kernel."""
    if isinstance(padding, int):
        before = after = padding
    elif step > 1:
        # TensorFlow puts the odd zero behind where the size is even; with as many on both sides none depends on it.
        return 0, 0
    else:
        before = spread * (size - 1) // 2
        after = spread * (size - 1) - before
    kept = spread * (size // 2)
    return before - kept + spread * (1 - size % 2), after - kept


@dataclass(frozen=True)
class Size:
    """The numbers of a replacement."""

    scale: int
    width: int
    cardinality: int = 1

    @property
    def channels(self) -> int:
        """Of all splits together."""
        return self.scale * self.width


class MultiScaleConv(nn.Module):
    """A `Res2Conv` with the channels and the padding of the convolution whose place it takes.

    No activation stands between the 1x1 convolution before and the splits: it would make the gradients of a deep
    network explode at the start, since every convolution becomes three layers.

    Args:
        res2: what is computed.
        form: of the convolution.
        style: of the layers before.
        ends: whether a 1x1 convolution and a normalisation stand before, and a 1x1 convolution behind, both with the
            groups of the convolution; where not, the channels are those of `res2`.

    Shape: as the convolution.
    """

    def __init__(self, res2: Res2Conv, form: Form, style: Style, ends: tuple[bool, bool]) -> None:
        super().__init__()
        before, after = ends
        self.conv_in: nn.Module = nn.Identity()
        self.norm_in: nn.Module = nn.Identity()
        self.conv_out: nn.Module = nn.Identity()
        if before:
            self.conv_in = new_conv(form.dims, form.in_channels, res2.channels, groups=form.groups, bias=form.bias)
            self.norm_in = style.norm(res2.channels)
        self.res2 = res2
        if after:
            self.conv_out = new_conv(form.dims, res2.channels, form.out_channels, groups=form.groups, bias=form.bias)
        self.in_channels, self.out_channels = form.in_channels, form.out_channels
        self.kernel_size, self.stride, self.dilation = form.kernel_size, form.stride, form.dilation
        self.padding_mode = "constant" if form.padding_mode == "zeros" else form.padding_mode
        # With a stride, what is cut off decides which positions are computed, so it goes first.
        self.first: list[int] = []
        self.last: list[int] = []
        for pads, step in reversed(list(zip(form.pads, form.stride, strict=True))):
            self.first += [n if n > 0 or step > 1 else 0 for n in pads]
            self.last += [n if n < 0 and step == 1 else 0 for n in pads]

    def forward(self, x: Tensor) -> Tensor:
        """As the convolution."""
        if any(self.first):
            x = F.pad(x, self.first, mode=self.padding_mode)
        x = self.conv_out(self.res2(self.norm_in(self.conv_in(x))))
        return F.pad(x, self.last) if any(self.last) else x


def replacement(
    form: Form, size: Size, style: Style, *, stage: bool, ends: tuple[bool, bool], split_order: SplitOrder
) -> nn.Module:
    """What takes the place of a convolution: a `Res2Conv`, or one in a `MultiScaleConv` where that is not enough."""
    res2 = Res2Conv(
        size.width,
        scale=size.scale,
        dims=form.dims,
        kernel_size=form.kernel_size,
        stride=form.stride,
        dilation=form.dilation,
        cardinality=size.cardinality,
        norm=style.norm,
        act=style.act,
        mode="stage" if stage or form.strided else "hierarchical",
        split_order=split_order,
        bias=form.bias,
        padding_mode=form.padding_mode,
    )
    if not any(ends) and not any(any(pad) for pad in form.pads):
        return res2
    return MultiScaleConv(res2, form, style, ends)


def resized_neighbour(layer: Any, *, inputs: int | None = None, outputs: int | None = None) -> nn.Module:
    """A 1x1 convolution or linear layer like `layer` with other numbers of channels, as new."""
    if not isinstance(layer, nn.Linear):
        return conv_like(layer, inputs or layer.in_channels, outputs or layer.out_channels, groups=1)
    sizes = (inputs or layer.in_features, outputs or layer.out_features, layer.bias is not None)
    return nn.Linear(*sizes, device=layer.weight.device, dtype=layer.weight.dtype)


def initialise_new(modules: Sequence[nn.Module]) -> None:
    """Draw the weights of convolutions in `modules`: Kaiming-normal over the outputs of a group, biases zero."""
    for module in modules:
        for layer in module.modules():
            if isinstance(layer, _ConvNd):
                fan = layer.out_channels // layer.groups * math.prod(layer.kernel_size)
                with torch.no_grad():
                    layer.weight.normal_(0, math.sqrt(2 / fan))
                    if layer.bias is not None:
                        layer.bias.zero_()
