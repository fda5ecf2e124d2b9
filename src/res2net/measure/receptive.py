"""Theoretical receptive fields: the positions of an input that one position of an output depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce, singledispatch
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd

from res2net.errors import InputError
from res2net.measure.costs import without_weights
from res2net.measure.field import ReceptiveField
from res2net.measure.flow import POINTWISE, Flow, Node, Value, record
from res2net.nn import Res2Bottleneck, Res2Conv, SqueezeExcitation
from res2net.nn.stem import SameAvgPool

SIDES = (256, 320, 384)
"""Sides of the input that a network is run with: all different, and divisible by most strides."""
POOLS: dict[Any, Callable[..., nn.Module]] = {
    getattr(module, f"{kind.lower()}_pool{dims}d", None): getattr(nn, f"{kind}Pool{dims}d")
    for kind in ("Avg", "Max")
    for dims in (1, 2, 3)
    for module in (F, torch)
}
"""Pooling functions, and the layers that take the same arguments."""
RESHAPING = {
    *("cat", "concat", "chunk", "split", "narrow", "unbind", "__getitem__", "view", "reshape", "flatten"),
    *("transpose", "permute", "unsqueeze", "squeeze", "stack", "expand", "expand_as", "mean", "amax", "sum"),
}
"""Functions that do not move positions if the axis keeps its size."""
GATES = ("mul", "mul_", "__mul__", "__imul__", "__rmul__")
POOLED = ("mean", "amax", "sum")


@runtime_checkable
class HasFeatures(Protocol):
    """A backbone, which gives the output of each of its stages."""

    def features(self, x: Tensor) -> list[Tensor]:
        """The output of each stage, finest first."""


def receptive_field(*modules: nn.Module, axis: int = -1) -> ReceptiveField:
    """The receptive field of `modules` in sequence along one axis of the signal (-1 is the last).

    Modules with code of their own, which must take one tensor, are run once without weights to record which output goes
    where. Every channel is assumed to see all channels of the layer before. A global average, which sees the whole
    input, does not count: in the gate of a squeeze-and-excitation, in a normalisation or before a classifier.

    Raises:
        InputError: the receptive field of a module, or of a function that it calls, is not known.
    """
    return reduce(ReceptiveField.then, (field_of(module, axis) for module in modules), ReceptiveField())


def stage_fields(backbone: nn.Module, axis: int = -1) -> list[ReceptiveField]:
    """The receptive field of each stage of a backbone in its image, finest first; see `receptive_field`."""
    if not isinstance(backbone, HasFeatures):
        raise InputError(f"A {type(backbone).__name__} has no stages: give a backbone, or use receptive_field.")
    return traced(backbone, axis)


def split_fields(module: Res2Conv, axis: int = -1) -> list[int]:
    """Receptive field of each split of a Res2 convolution's output, in the order of its channels.

    Positions are those of the input of the Res2 convolution; in a bottleneck this is the output of the first 1x1
    convolution.
    """
    return [field.largest for field in _split_fields(module, axis)]


@singledispatch
def field_of(module: nn.Module, axis: int) -> ReceptiveField:
    """The receptive field of one module along one axis of the signal.

    Layers are known by their type: `@field_of.register` on a function of the module and the axis adds a type. Other
    modules are run, which gives the field of their last output.
    """
    return traced(module, axis)[-1]


@field_of.register
def _(module: nn.Sequential, axis: int) -> ReceptiveField:
    return receptive_field(*module, axis=axis)


@field_of.register
def _(module: nn.Conv1d | nn.Conv2d | nn.Conv3d, axis: int) -> ReceptiveField:
    span = (module.kernel_size[axis] - 1) * module.dilation[axis]
    if isinstance(module.padding, str):
        padding = span // 2 if module.padding == "same" else 0
    else:
        padding = module.padding[axis]
    return _window(span, padding, module.stride[axis])


@field_of.register(nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d | nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d)
def _(module: Any, axis: int) -> ReceptiveField:
    span = (_along(module.kernel_size, axis) - 1) * _along(getattr(module, "dilation", 1), axis)
    return _window(span, _along(module.padding, axis), _along(module.stride, axis))


@field_of.register
def _(module: SameAvgPool, axis: int) -> ReceptiveField:
    return field_of(module.pool, axis)


@field_of.register(nn.Identity)
@field_of.register(_NormBase)
@field_of.register(nn.GroupNorm)
@field_of.register(nn.LayerNorm)
@field_of.register(_DropoutNd)
@field_of.register(SqueezeExcitation)
@field_of.register(nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d | nn.AdaptiveAvgPool3d)
@field_of.register(nn.ReLU | nn.ReLU6 | nn.LeakyReLU | nn.PReLU | nn.ELU | nn.GELU | nn.SiLU | nn.Mish)
@field_of.register(nn.Hardtanh | nn.Hardswish | nn.Hardsigmoid | nn.Sigmoid | nn.Tanh | nn.Softplus)
def _(_module: nn.Module, _axis: int) -> ReceptiveField:
    return ReceptiveField()


@field_of.register
def _(module: Res2Conv, axis: int) -> ReceptiveField:
    return reduce(ReceptiveField.joined_with, _split_fields(module, axis))


@field_of.register
def _(module: Res2Bottleneck, axis: int) -> ReceptiveField:
    splits = reduce(ReceptiveField.joined_with, _split_fields(module, axis))
    before = receptive_field(module.conv1, module.bn1, module.act1, axis=axis)
    after = receptive_field(module.conv3, module.bn3, module.se, axis=axis)
    branch = before.then(splits).then(after)
    return branch.joined_with(field_of(module.downsample, axis)).then(field_of(module.act3, axis))


def _split_fields(module: Res2Conv, axis: int) -> list[ReceptiveField]:
    """The receptive field of each split in the order of the output's channels (Eq. 1)."""
    layout = module.layout
    fields = [ReceptiveField()] * layout.scale
    before = None if layout.added_first is None else ReceptiveField()
    if layout.passed is not None and module.pool is not None:
        fields[layout.passed] = field_of(module.pool, axis)
    for index, branch in zip(layout.convolved, module.branches(), strict=True):
        seen = ReceptiveField() if before is None else before.joined_with(ReceptiveField())
        fields[index] = seen.then(receptive_field(*branch, axis=axis))
        before = fields[index] if layout.hierarchical else None
    return fields


def _window(span: int, padding: int, stride: int) -> ReceptiveField:
    """The receptive field of a sliding window whose positions reach from the first one to `span` further."""
    return ReceptiveField(-padding, span - padding, span + 1, stride)


def _along(value: int | tuple[int, ...], axis: int) -> int:
    """The value along an axis of an option that is one number for all axes or one for each."""
    return value if isinstance(value, int) else value[axis]


def traced(module: nn.Module, axis: int) -> list[ReceptiveField]:
    """The receptive fields of the outputs of any module, or of the features of a backbone, by running it once."""
    twin = without_weights(module)
    for name, layer in list(twin.named_modules()):
        if name and isinstance(layer, _NormBase):
            twin.set_submodule(name, nn.Identity())  # the receptive field is the same, and it is faster
    channels, dims = first_channels(module)
    with torch.device("meta"):
        x = torch.empty(1, channels, *SIDES[:dims], dtype=next((t.dtype for t in twin.parameters()), None))
    call = twin.features if isinstance(twin, HasFeatures) else twin
    try:
        flow = record(twin, (x,), call=call, is_layer=is_known, count_macs=False)
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise unknown(f"a {type(module).__name__}", f"it does not take {tuple(x.shape)}") from error
    return Propagation(flow, dims + axis if axis < 0 else axis, dims).outputs()


def first_channels(module: nn.Module) -> tuple[int, int]:
    """The number of channels and of dimensions of a network's input, according to its first layer."""
    for layer in module.modules():
        if isinstance(layer, Res2Bottleneck):
            return first_channels(layer.conv1)
        if isinstance(layer, Res2Conv):
            return layer.channels, layer.dims
        if isinstance(layer, _ConvNd):
            return layer.in_channels, len(layer.kernel_size)
        for dims, kind in enumerate((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), 1):
            if isinstance(layer, kind):
                return layer.num_features, dims
    raise unknown(f"a {type(module).__name__}", "it has no layer of a known type")


def is_known(module: nn.Module) -> bool:
    """Whether a call is recorded as one step. Residual blocks are not: some receive their residual from outside."""
    known = field_of.dispatch(type(module)) is not field_of.dispatch(nn.Module)
    return isinstance(module, _ConvTransposeNd) or (known and not isinstance(module, nn.Sequential | Res2Conv))


def unknown(what: str, why: str) -> InputError:
    """The error for something whose receptive field is not known."""
    return InputError(
        f"The receptive field of {what} is not known: {why}; give the layers inside it one by one, or register the "
        "type with res2net.measure.field_of."
    )


class Propagation:
    """Propagates receptive fields along an axis of the signal, of `dims` dimensions, through the calls of a network."""

    def __init__(self, flow: Flow, axis: int, dims: int) -> None:
        self.flow = flow
        self.axis = axis - dims
        self.ndim = dims + 2
        self.fields: dict[Value, ReceptiveField] = {}
        self.everywhere: set[Value] = set()
        """Values that have seen the whole input through a global average; their fields leave that out."""

    def outputs(self) -> list[ReceptiveField]:
        """The receptive fields of the outputs of the network."""
        for node in self.flow.nodes:
            for value in node.inputs:
                if value.producer is None and value.raw:
                    self.fields[value] = ReceptiveField()
            inputs = [value for value in node.inputs if value in self.fields]
            if not inputs:
                continue  # parameters and constants
            local = [value for value in inputs if value not in self.everywhere]
            found = self.joined(node, local or inputs)
            if local and not self.pools_everything(node, local):
                found = self.step(node, local, found)
            else:
                self.everywhere.update(node.outputs)
            self.fields.update(dict.fromkeys(node.outputs, found))
        return [self.fields[value] for value in self.flow.outputs]

    def joined(self, node: Node, values: Sequence[Value]) -> ReceptiveField:
        """The joint receptive field of the inputs of a call."""
        fields = [self.fields[value] for value in values]
        if values[0] in self.everywhere:
            return max(fields, key=lambda field: field.largest)
        if len({field.stride for field in fields}) > 1:
            raise unknown(f"{node.name!r}", "it joins maps of several strides")
        if node.name in GATES:
            # A map and its gate count as one path, like an activation.
            fields = [field for index, field in enumerate(fields) if field not in fields[:index]]
        return reduce(ReceptiveField.joined_with, fields)

    def pools_everything(self, node: Node, inputs: Sequence[Value]) -> bool:
        """Whether a call reduces the whole map to one value, as a global average does."""
        if isinstance(node.module, _AdaptiveAvgPoolNd | _AdaptiveMaxPoolNd) or node.name.startswith("adaptive_"):
            return True
        return node.name in POOLED and not self.keeps_positions(inputs, node.output)

    def keeps_positions(self, inputs: Iterable[Value], output: Value) -> bool:
        """Whether the axis that is followed and those after it keep their sizes."""
        return all(len(value.shape) > 2 and value.shape[self.axis :] == output.shape[self.axis :] for value in inputs)

    def step(self, node: Node, inputs: Sequence[Value], found: ReceptiveField) -> ReceptiveField:
        """The receptive field of the output of a call whose inputs have the receptive field `found`."""
        if isinstance(node.module, _ConvTransposeNd):
            times, kernel, padding, spread = (
                getattr(node.module, name)[self.axis] for name in ("stride", "kernel_size", "padding", "dilation")
            )
            return found.upsampled(times, (kernel - 1) * spread + 1, padding)
        if node.module is not None:
            return found.then(field_of(node.module, self.axis))
        if node.function in POOLS:
            return found.then(field_of(POOLS[node.function](*node.arguments, **node.named), self.axis))
        if node.name == "pad":
            before = node.arguments[0][-2 * (self.axis + 1)] if len(node.arguments[0]) > -2 * (self.axis + 1) else 0
            return found.then(ReceptiveField(-before, -before))
        if node.name == "interpolate" and node.named.get("mode", "nearest").startswith("nearest"):
            times = node.output.shape[self.axis] / inputs[0].shape[self.axis]
            if times >= 1 and times.is_integer():
                return found.upsampled(int(times))
        if node.name in POINTWISE or (
            node.name in RESHAPING and all(self.keeps_positions(inputs, value) for value in node.outputs)
        ):
            return found
        raise unknown(f"{node.name!r}", "the receptive field of this function is not registered")
