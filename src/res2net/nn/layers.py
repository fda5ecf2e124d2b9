"""Layers of torch for any number of dimensions, normalisations and activations by name, and channel attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch.nn.functional as F
from torch import Tensor, fx, nn

from res2net.errors import InputError, check_choice
from res2net.kernels.chain import is_traced

IntOrTuple: TypeAlias = int | tuple[int, ...]
NormName: TypeAlias = Literal["batch", "instance", "group", "layer", "none"]
Norm: TypeAlias = NormName | Callable[[int], nn.Module]
"""A normalisation by name, or a function that makes one for a number of channels."""
ActivationName: TypeAlias = Literal["relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "mish", "hardswish", "none"]
Activation: TypeAlias = ActivationName | Callable[[], nn.Module]
"""An activation by name, or a function that makes one."""
PaddingMode: TypeAlias = Literal["zeros", "reflect", "replicate", "circular"]
LayerName: TypeAlias = Literal["Conv", "AvgPool", "MaxPool", "AdaptiveAvgPool", "BatchNorm", "InstanceNorm"]


class SmallAvgPool3d(nn.AvgPool3d):
    """An average pooling that accepts volumes smaller than its kernel, as those of one and two dimensions do.

    Torch compares the volume with the kernel before padding, and so rejects the last stage of 16 frames.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, D, H, W)` to the averages of the windows, `(N, C, *size)`."""
        kernel, stride, padding = (
            (value,) * 3 if isinstance(value, int) else tuple(value)
            for value in (self.kernel_size, self.stride, self.padding)
        )
        return average_3d(x, kernel, stride, padding, self.ceil_mode, self.count_include_pad)


@fx.wrap  # depends on the size of the volume, which a graph of `torch.fx` does not know
def average_3d(
    x: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    ceil_mode: bool,
    count_include_pad: bool,
) -> Tensor:
    """Average the windows of a volume of any size, `(N, C, D, H, W)` to `(N, C, *size)`."""
    sides = x.shape[2:]
    if all(side >= size for side, size in zip(sides, kernel, strict=True)):
        return F.avg_pool3d(x, kernel, stride, padding, ceil_mode, count_include_pad)
    before = [pad for pad in reversed(padding) for _ in (0, 1)]
    beyond: list[int] = []
    for side, size, step, pad in zip(sides, kernel, stride, padding, strict=True):
        missing = -(side + 2 * pad - size) % step if ceil_mode and side + 2 * pad >= size else 0
        beyond = [0, max(missing, size - side - 2 * pad, 0), *beyond]

    def windows(values: Tensor, value: float) -> Tensor:
        return F.avg_pool3d(F.pad(F.pad(values, before, value=value), beyond), kernel, stride)

    counted = windows(x.new_ones(1, 1, *sides), float(count_include_pad))
    return windows(x, 0.0) / counted


ACTIVATIONS: dict[ActivationName, Callable[[bool], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": lambda inplace: nn.LeakyReLU(inplace=inplace),
    "elu": lambda inplace: nn.ELU(inplace=inplace),
    "gelu": lambda _inplace: nn.GELU(),
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "none": lambda _inplace: nn.Identity(),
}
"""For each name, a function of whether to work in place that makes the activation."""


def per_dimension(value: IntOrTuple, dims: int, what: str) -> tuple[int, ...]:
    """Expand an option, one positive integer or `dims` of them, to a tuple; raises `InputError` for anything else."""
    check_dims(dims)
    values = tuple(value) if isinstance(value, Sequence) else (value,) * dims
    if len(values) != dims or any(not isinstance(item, int) or item < 1 for item in values):
        raise InputError(f"{what} {value!r} does not fit: give one positive integer, or {dims} of them.")
    return values


def check_dims(dims: int) -> None:
    """Raise `InputError` unless `dims` is 1, 2 or 3."""
    check_choice("Number of dimensions", dims, (1, 2, 3))


def layer_class(name: LayerName, dims: int) -> Callable[..., nn.Module]:
    """The class of torch for that number of dimensions, such as `Conv2d` for "Conv" and 2."""
    check_dims(dims)
    return SmallAvgPool3d if (name, dims) == ("AvgPool", 3) else getattr(nn, f"{name}{dims}d")


def check_input(what: str, x: Tensor, channels: int, dims: int, advice: str = "") -> None:
    """Raise `InputError` unless a tensor is a batch `(N, channels, *size)` of floating-point numbers.

    `what` takes it and begins the sentence; `advice` ends it. Graphs that are recorded are not checked.
    """
    if is_traced(x):
        return
    shape = f"(N, {channels}, {', '.join(('D', 'H', 'W')[3 - dims :]) if dims > 1 else 'L'})"
    if x.ndim == dims + 1 and x.shape[0] == channels:
        advice = advice or "add a dimension for the batch, `x[None]`"
    if x.ndim != dims + 2 or x.shape[1] != channels:
        raise InputError(f"{what} takes {shape} and got {tuple(x.shape)}: {advice or f'give {channels} channels'}.")
    if not x.is_floating_point():
        raise InputError(f"{what} takes floating-point numbers and got {x.dtype}: convert with `x.float()`.")


def check_positive(what: str, value: object) -> None:
    """Raise `InputError` unless `value` is a positive integer."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{what} {value!r} does not fit: give a positive integer.")


def check_probability(what: str, value: float) -> None:
    """Raise `InputError` unless `value` is at least 0 and less than 1."""
    if not 0 <= value < 1:
        raise InputError(f"{what} {value} does not fit: give a probability, 0 <= p < 1.")


def conv(
    dims: int,
    in_channels: int,
    out_channels: int,
    kernel_size: IntOrTuple = 1,
    *,
    stride: IntOrTuple = 1,
    dilation: IntOrTuple = 1,
    groups: int = 1,
    bias: bool = False,
    padding_mode: PaddingMode = "zeros",
) -> nn.Module:
    """Make a convolution in `dims` dimensions with an odd kernel, padded so that stride 1 keeps the size."""
    check_choice("Padding mode", padding_mode, PaddingMode)
    check_positive("Input channels", in_channels)
    check_positive("Output channels", out_channels)
    kernel = per_dimension(kernel_size, dims, "Kernel size")
    spread = per_dimension(dilation, dims, "Dilation")
    if any(size % 2 == 0 for size in kernel):
        raise InputError(
            f"Kernel size {kernel_size!r} is even: choose an odd one, which can be padded to keep the size."
        )
    padding = tuple((size - 1) // 2 * step for size, step in zip(kernel, spread, strict=True))
    return layer_class("Conv", dims)(
        in_channels,
        out_channels,
        kernel,
        stride=per_dimension(stride, dims, "Stride"),
        padding=padding,
        dilation=spread,
        groups=groups,
        bias=bias,
        padding_mode=padding_mode,
    )


def norm_layer(norm: Norm, channels: int, dims: int) -> nn.Module:
    """Make a normalisation of `channels` channels, by name or by a function of the number of channels.

    "group" has the largest number of groups up to 32 that divides `channels` (Wu and He, 2018); "layer" normalises all
    channels and positions of a sample together, as one group; "instance" learns a scale and a shift.
    """
    if not isinstance(norm, str):
        return norm(channels)
    check_choice("Normalisation", norm, NormName)
    if norm == "batch":
        return layer_class("BatchNorm", dims)(channels)
    if norm == "instance":
        return layer_class("InstanceNorm", dims)(channels, affine=True)
    if norm == "group":
        return nn.GroupNorm(max(groups for groups in range(1, 33) if channels % groups == 0), channels)
    if norm == "layer":
        return nn.GroupNorm(1, channels)
    return nn.Identity()


def activation(act: Activation, *, inplace: bool = True) -> nn.Module:
    """Make an activation, by name or by a function without arguments."""
    if not isinstance(act, str):
        return act()
    check_choice("Activation", act, ACTIVATIONS)
    return ACTIVATIONS[act](inplace)


@dataclass(frozen=True)
class LayerStyle:
    """The dimensions, the normalisation and the activation that layers of a network share."""

    dims: int = 2
    norm: Norm = "batch"
    act: Activation = "relu"

    def conv_norm(
        self, in_channels: int, out_channels: int, kernel_size: int = 1, *, stride: int = 1
    ) -> list[nn.Module]:
        """Make a convolution and its normalisation."""
        convolution = conv(self.dims, in_channels, out_channels, kernel_size, stride=stride)
        return [convolution, norm_layer(self.norm, out_channels, self.dims)]

    def conv_norm_act(
        self, in_channels: int, out_channels: int, kernel_size: int = 1, *, stride: int = 1
    ) -> list[nn.Module]:
        """Make a convolution, its normalisation and its activation."""
        return [*self.conv_norm(in_channels, out_channels, kernel_size, stride=stride), activation(self.act)]


def stochastic_depth(probability: float) -> nn.Module:
    """Make a layer that drops whole samples with `probability` in training (Huang et al., ECCV 2016)."""
    check_probability("Drop path", probability)
    if probability == 0:
        return nn.Identity()
    from torchvision.ops import StochasticDepth  # it takes seconds to import, and few networks need it

    return StochasticDepth(probability, mode="row")


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation: each channel is scaled by a gate computed from the means of all channels.

    Source: Hu et al., CVPR 2018. torchvision has this module for two dimensions only.

    Args:
        channels: number of input and of output channels.
        reduction: the hidden layer has `channels // reduction` channels, at least one.
        dims: number of dimensions of the signal: 1, 2 or 3.

    Shape: `(N, channels, *size)` to the same.

    Raises:
        InputError: the reduction is not a positive integer, or the number of dimensions is not 1, 2 or 3.
    """

    def __init__(self, channels: int, reduction: int = 16, *, dims: int = 2) -> None:
        super().__init__()
        check_positive("Reduction", reduction)
        self.channels, self.dims = channels, dims
        hidden = max(1, channels // reduction)
        self.fc1 = conv(dims, channels, hidden, bias=True)
        self.act = nn.ReLU(inplace=True)
        self.fc2 = conv(dims, hidden, channels, bias=True)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """`(N, channels, *size)` to the same shape, each channel scaled by a factor between 0 and 1."""
        check_input("Squeeze-and-excitation", x, self.channels, self.dims)
        mean = x.mean(tuple(range(2, self.dims + 2)), keepdim=True)
        return x * self.gate(self.fc2(self.act(self.fc1(mean))))
