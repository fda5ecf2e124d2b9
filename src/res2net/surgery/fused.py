"""Fused layers for inference: a convolution with its activation, a Res2 chain, a bottleneck."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from res2net.errors import InputError
from res2net.kernels import ChainOptions, Layout, chain, folded_chain_op, tap_major
from res2net.kernels.folded import Act
from res2net.kernels.folded_op import Backend
from res2net.surgery.kinds import CHANNELS_LAST, conv_like

onednn: Any = torch.ops.mkldnn
LAYOUTS = 3
"""Number of input shapes for which weights are kept in an optimal layout."""
ACTIVATIONS: dict[type[nn.Module], Act] = {nn.ReLU: "relu", nn.Identity: "none"}
"""The activations of `FoldedChain`."""
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)

Step = tuple[Any, nn.Module]
"""A convolution and the activation after it."""

# The operations that oneDNN fuses with a convolution: their name, scalars and algorithm.
ATTRIBUTES: dict[type[nn.Module], Callable[[Any], tuple[str, list[float], str]]] = {
    nn.Identity: lambda _: ("none", [], ""),
    nn.ReLU: lambda _: ("relu", [], ""),
    nn.ReLU6: lambda act: ("hardtanh", [act.min_val, act.max_val], ""),
    nn.Hardtanh: lambda act: ("hardtanh", [act.min_val, act.max_val], ""),
    nn.LeakyReLU: lambda act: ("leaky_relu", [act.negative_slope], ""),
    nn.SiLU: lambda _: ("swish", [], ""),
    nn.GELU: lambda act: ("gelu", [], act.approximate),
    nn.Hardswish: lambda _: ("hardswish", [], ""),
    nn.Hardsigmoid: lambda _: ("hardsigmoid", [], ""),
    nn.Sigmoid: lambda _: ("sigmoid", [], ""),
    nn.Tanh: lambda _: ("tanh", [], ""),
}
ELEMENTWISE = (*ATTRIBUTES, nn.Mish, nn.ELU)
"""Activations without weights, so that one can serve all splits."""


class ConvAct(nn.Module):
    """A convolution, an optional addition of another tensor, and an activation, in plain layers."""

    def __init__(self, conv: nn.Module, act: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.act = act

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Compute `act(conv(x) + other)`: `(N, C, *size)` to the shape of `other`, that of the convolution."""
        y = self.conv(x)
        return self.act(y if other is None else y + other)

    def added_to(self, other: Tensor, x: Tensor) -> Tensor:
        """Compute `act(conv(x) + other)`; the result may overwrite `other`."""
        return self(x, other)


class PackedConv(nn.Module):
    """A convolution with its weights in the optimal layout of oneDNN, and an activation of `ATTRIBUTES`, on the CPU.

    It computes in channels-last memory, in fp32 or bf16, and is for inference only: it is not differentiable. The
    optimal layout depends on the input shape, and another one is slow: the first `LAYOUTS` shapes have a layout of
    their own.

    Shape: that of the convolution.
    """

    bias: Tensor | None

    def __init__(self, conv: Any, act: nn.Module) -> None:
        super().__init__()
        self.stride, self.padding, self.dilation = list(conv.stride), list(conv.padding), list(conv.dilation)
        self.groups = conv.groups
        self.act = act
        self.attribute, self.numbers, self.kind = ATTRIBUTES[type(act)](act)
        self.memory_format = CHANNELS_LAST[conv.weight.ndim]
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach())
        self.set_weight(conv.weight.detach())

    def set_weight(self, weight: Tensor) -> None:
        """Set the weight from a dense tensor."""
        if weight.device.type != "cpu":
            raise InputError("A model that was optimised for the CPU cannot be moved: optimise it after the move.")
        self.packed = self.pack(weight, None)
        self.layouts: dict[tuple[int, ...], Tensor] = {}

    def pack(self, weight: Tensor, shape: tuple[int, ...] | None) -> Tensor:
        """Convert a dense weight to the optimal layout for inputs of that shape."""
        weight = weight.contiguous(memory_format=self.memory_format)
        return onednn._reorder_convolution_weight(weight, self.padding, self.stride, self.dilation, self.groups, shape)

    def packed_for(self, shape: tuple[int, ...]) -> Tensor:
        """The weight in the layout for inputs of that shape, converted at the first call."""
        found = self.layouts.get(shape)
        if found is None and len(self.layouts) < LAYOUTS:
            found = self.pack(self.weight, shape)
            if not self.layouts:
                self.packed = found
            self.layouts[shape] = found
        return self.packed if found is None else found

    @property
    def weight(self) -> Tensor:
        """A dense copy of the weight, `(C_out, C_in / groups, *kernel)`."""
        return self.packed.to_dense()

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Compute `act(conv(x) + other)`: `(N, C, *size)` to the shape of `other`, that of the convolution."""
        x, *where = self.operands(x)
        if other is None:
            return onednn._convolution_pointwise(x, *where, self.attribute, self.numbers, self.kind)
        return self.activate_sum(onednn._convolution_pointwise(x, other, *where, "add", 1.0, self.relu, [], ""))

    def added_to(self, other: Tensor, x: Tensor) -> Tensor:
        """Compute `act(conv(x) + other)`; the result overwrites `other`."""
        where = self.operands(x)
        return self.activate_sum(onednn._convolution_pointwise_(other, *where, "add", 1.0, self.relu, [], ""))

    def operands(self, x: Tensor) -> tuple[Any, ...]:
        """The first arguments of oneDNN's operators."""
        if x.stride(1) != 1:
            x = x.contiguous(memory_format=self.memory_format)
        weight = self.packed_for(tuple(x.shape))
        return x, weight, self.bias, self.padding, self.stride, self.dilation, self.groups

    @property
    def relu(self) -> str | None:
        """The name of the activation after an addition, if oneDNN can fuse it: only ReLU."""
        return "relu" if self.attribute == "relu" else None

    def activate_sum(self, y: Tensor) -> Tensor:
        """Apply the activation to a sum, unless oneDNN already did."""
        return y if self.relu else self.act(y)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PackedConv:
        super()._apply(fn, recurse)
        self.set_weight(fn(self.weight))
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "packed": self.weight, "layouts": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.set_weight(self.packed)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "weight"] = self.weight

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        weight = state_dict.pop(prefix + "weight", None)
        if weight is None:
            args[2].append(prefix + "weight")  # the missing keys
        else:
            self.set_weight(weight.to(self.packed.dtype))
        super()._load_from_state_dict(state_dict, prefix, *args)


def packs(conv: nn.Module, act: nn.Module | None = None) -> bool:
    """Whether `PackedConv` supports this convolution and activation."""
    return (
        isinstance(conv, nn.Conv2d | nn.Conv3d)
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and conv.weight.dtype in (torch.float32, torch.bfloat16)
        and conv.weight.device.type == "cpu"
        and (act is None or type(act) in ATTRIBUTES)
    )


class Chain(nn.Module):
    """The Res2 chain of fused convolutions, from `(N, scale * width, *size)` to the same channels."""

    def __init__(
        self, convs: list[nn.Module], layout: Layout, pool: nn.Module | None, *, in_place: bool = False
    ) -> None:
        super().__init__()
        self.in_place = in_place and pool is None
        self.convs = nn.ModuleList(convs)
        self.layout = layout
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Compute the chain."""
        return chain(x, list(self.convs), self.layout, self.pool, in_place=self.in_place)


class StageChain(nn.Module):
    """The Res2 chain in stage mode, where splits are independent: one grouped convolution for all of them.

    Shape: `(N, scale * width, *size)` to `(N, scale * width, *ceil(size / stride))`.
    """

    def __init__(self, conv: nn.Module, layout: Layout, pool: nn.Module | None) -> None:
        super().__init__()
        self.conv = conv
        self.pool = pool
        self.passed = layout.passed
        rest = (layout.scale - 1) * layout.width
        self.sizes = [layout.width, rest] if layout.passed == 0 else [rest, layout.width]

    def forward(self, x: Tensor) -> Tensor:
        """Convolve all splits except the one that passes through."""
        if self.passed is None:
            return self.conv(x)
        splits = list(x.split(self.sizes, 1))
        convolved = 1 if self.passed == 0 else 0
        splits[convolved] = self.conv(splits[convolved])
        if self.pool is not None:
            splits[1 - convolved] = self.pool(splits[1 - convolved])
        return torch.cat(splits, 1)


def grouped(convs: Sequence[Any]) -> nn.Module:
    """Join equal convolutions into one grouped convolution."""
    first, count = convs[0], len(convs)
    made: Any = conv_like(first, count * first.in_channels, count * first.out_channels, count * first.groups)
    with torch.no_grad():
        made.weight.copy_(torch.cat([conv.weight for conv in convs]))
        if made.bias is not None:
            made.bias.copy_(torch.cat([conv.bias for conv in convs]))
    return made.requires_grad_(False)


class FusedBottleneck(nn.Module):
    """A bottleneck of fused layers, the last of which adds the shortcut; it has the shapes of the bottleneck."""

    def __init__(self, conv1: nn.Module, inner: nn.Module, conv3: nn.Module, downsample: nn.Module) -> None:
        super().__init__()
        self.conv1, self.inner, self.conv3, self.downsample = conv1, inner, conv3, downsample

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Compute the bottleneck; `residual` replaces the shortcut."""
        y = self.inner(self.conv1(x))
        if residual is None and not isinstance(self.downsample, nn.Identity):
            return self.conv3.added_to(self.downsample(x), y)  # type: ignore[operator]
        return self.conv3(y, x if residual is None else residual)


class FoldedChain(nn.Module):
    """The Res2 chain by `res2net.kernels.folded_chain_op`, for inference only: it is not differentiable.

    `folds` must accept the `steps`; `pool` is for the split that is not convolved, if it does not pass unchanged.

    Shape: `(N, scale * width, H, W)` to the same channels, in channels-last memory.
    """

    weight: Tensor
    """Weights `(branches, k * k * width, width / groups)`, in the order that the kernel reads in any memory format."""
    bias: Tensor
    """Biases `(branches, width)`."""

    def __init__(self, steps: Sequence[Step], layout: Layout, pool: nn.Module | None, backend: Backend) -> None:
        super().__init__()
        conv, act = steps[0]
        self.layout, self.backend = layout, backend
        self.size = conv.kernel_size[0]
        self.options = ChainOptions(
            stride=conv.stride[0],
            dilation=conv.dilation[0],
            groups=conv.groups,
            act=ACTIVATIONS[type(act)],
            pass_through="identity" if pool is None else "pool",
            pool_counts_padding=getattr(pool, "count_include_pad", True),
        )
        weights = torch.stack([conv.weight.detach() for conv, _ in steps])
        biases = [conv.weight.new_zeros(layout.width) if conv.bias is None else conv.bias for conv, _ in steps]
        by_tap = tap_major(weights).permute(0, 3, 4, 1, 2)
        self.register_buffer("weight", by_tap.reshape(len(steps), -1, layout.width // conv.groups))
        self.register_buffer("bias", torch.stack(biases).detach())

    @property
    def weights(self) -> Tensor:
        """A view of the weights in the shape that the operator takes, `(branches, width, width / groups, k, k)`."""
        by_tap = self.weight.unflatten(1, (self.size, self.size, self.layout.width))
        return by_tap.permute(0, 3, 4, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the chain."""
        return folded_chain_op(x, self.weights, self.bias, self.layout, self.options, backend=self.backend)

    def extra_repr(self) -> str:
        """The layout and options, for `print`."""
        return f"{self.layout}, kernel {self.size}, {self.options}, backend={self.backend}"


def alike(steps: Sequence[Step]) -> bool:
    """Whether all convolutions have the same options, and all activations."""
    return len({(repr(conv), repr(act)) for conv, act in steps}) == 1  # `repr` shows all options


def merges(steps: Sequence[Step], layout: Layout) -> bool:
    """Whether one grouped convolution replaces these: on a CPU it is faster, if the splits are independent."""
    if layout.hierarchical or len(steps) == 1 or type(steps[0][1]) not in ELEMENTWISE:
        return False
    return all(tensor.device.type == "cpu" for conv, _ in steps for tensor in conv.parameters()) and alike(steps)


def folds(steps: Sequence[Step], layout: Layout, pool: nn.Module | None) -> bool:
    """Whether `FoldedChain` accepts these steps: equal 2-D convolutions, zero-padded to keep the size."""
    conv, act = steps[0]
    # A chain of one split is a plain convolution, for which torch's libraries are fastest.
    if layout.scale == 1 or type(conv) is not nn.Conv2d or type(act) not in ACTIVATIONS or not alike(steps):
        return False
    padding = tuple(step * (size // 2) for size, step in zip(conv.kernel_size, conv.dilation, strict=True))
    square = all(len(set(values)) == 1 for values in (conv.kernel_size, conv.stride, conv.dilation))
    padded = (conv.padding, conv.padding_mode) == (padding, "zeros") and conv.kernel_size[0] % 2 == 1
    return square and padded and conv.weight.dtype in PRECISIONS and pools(pool, conv)


def pools(pool: Any, conv: nn.Conv2d) -> bool:
    """Whether the operator supports the pooling: none, or an average with the kernel and stride of the convolutions."""
    if pool is None:
        return True
    pairs = [(n, n) if isinstance(n, int) else tuple(n) for n in (pool.kernel_size, pool.stride, pool.padding)]
    padding = tuple(size // 2 for size in conv.kernel_size)
    exact = type(pool) is nn.AvgPool2d and not pool.ceil_mode and pool.divisor_override is None
    return exact and pairs == [conv.kernel_size, conv.stride, padding]
