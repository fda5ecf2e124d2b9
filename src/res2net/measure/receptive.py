"""Theoretical receptive fields: how many positions of its input one position of an output has seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce, singledispatch
from typing import Protocol, runtime_checkable

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from res2net.errors import InputError
from res2net.measure.paths import PathCounts, joined, one_after_another
from res2net.nn import Res2Bottleneck, Res2Conv, SqueezeExcitation
from res2net.nn.shortcut import SameAvgPool

__all__ = ["ReceptiveField", "field_of", "receptive_field", "split_fields", "stage_fields"]


@runtime_checkable
class HasStages(Protocol):
    """A backbone: for each of its stages, the modules that lead to it from the stage before."""

    def stage_modules(self) -> Iterable[Iterable[nn.Module]]:
        """From the picture to the last stage, in order."""


@dataclass(frozen=True)
class ReceptiveField:
    """What one position of an output sees of an input along one axis, over all paths between them.

    Positions are those of the input, and the output's position 0 is meant; position i sees the same `i * stride`
    further. The input is unlimited: what lies before its position 0 is padding in a real one.
    """

    first: int = 0
    """The first position seen, negative where it is padding."""
    last: int = 0
    """The last position seen."""
    smallest: int = 1
    """Positions that the path with the smallest view spans."""
    stride: int = 1
    """Positions between the views of two neighbours, also called jump."""
    paths: PathCounts = field(default_factory=dict, compare=False, repr=False)
    """For each number of positions, how many of the paths span so many; where nothing is given and the smallest path
    spans less than all, they are not known, and this is empty. A path takes one split of a Res2 convolution where it
    goes in and one where it comes out, and either the branch or the shortcut of a block."""

    def __post_init__(self) -> None:
        if not self.paths and self.smallest == self.largest:
            object.__setattr__(self, "paths", {self.smallest: 1})

    @property
    def largest(self) -> int:
        """Positions that all paths together span: the receptive field."""
        return self.last - self.first + 1

    def then(self, after: ReceptiveField) -> ReceptiveField:
        """What the output of a second module sees of the input of this one."""
        return ReceptiveField(
            self.first + self.stride * after.first,
            self.last + self.stride * after.last,
            self.smallest + self.stride * (after.smallest - 1),
            self.stride * after.stride,
            one_after_another(self.paths, after.paths, self.stride),
        )

    def beside(self, other: ReceptiveField) -> ReceptiveField:
        """What the sum, or the concatenation, of the outputs of two modules sees of their common input."""
        assert self.stride == other.stride, "outputs that are joined have one size"
        return ReceptiveField(
            min(self.first, other.first),
            max(self.last, other.last),
            min(self.smallest, other.smallest),
            self.stride,
            joined(self.paths, other.paths),
        )


def receptive_field(*modules: nn.Module, axis: int = -1) -> ReceptiveField:
    """The receptive field of `modules`, one after the other, along one axis of the signal (-1 is the last).

    Every channel is taken to see all channels of the layer before. What a global average sees is not counted, neither
    in the gate of a squeeze-and-excitation nor in a normalisation nor before a classifier: it is the whole input.

    Raises:
        InputError: a module of a type whose receptive field is not known.
    """
    return reduce(ReceptiveField.then, (field_of(module, axis) for module in modules), ReceptiveField())


def stage_fields(backbone: nn.Module, axis: int = -1) -> list[ReceptiveField]:
    """The receptive field of each stage of a backbone in its picture, finest first; see `receptive_field`."""
    if not isinstance(backbone, HasStages):
        raise InputError(f"A {type(backbone).__name__} has no stages: give a backbone, or use receptive_field.")
    fields: list[ReceptiveField] = []
    for modules in backbone.stage_modules():
        before = fields[-1] if fields else ReceptiveField()
        fields.append(before.then(receptive_field(*modules, axis=axis)))
    return fields


def split_fields(module: Res2Conv, axis: int = -1) -> list[int]:
    """For each split of a Res2 convolution's output, in the order of its channels, how many positions it has seen.

    Positions are those of the module's own input, in a bottleneck those of its first convolution's output.
    """
    return [view.largest for view in _split_views(module, axis)]


@singledispatch
def field_of(module: nn.Module, axis: int) -> ReceptiveField:
    """The receptive field of one module along one axis of the signal.

    Families with containers of their own register them: `@field_of.register` above a function of the module and the
    axis. A backbone is known by its `stage_modules`.
    """
    if isinstance(module, HasStages):
        return stage_fields(module, axis)[-1]
    raise InputError(
        f"The receptive field of a {type(module).__name__} is not known: give the layers inside it one by one, or "
        "register the type with res2net.measure.field_of."
    )


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


@field_of.register
def _(module: nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d, axis: int) -> ReceptiveField:
    return _window(_along(module.kernel_size, axis) - 1, _along(module.padding, axis), _along(module.stride, axis))


@field_of.register
def _(module: nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d, axis: int) -> ReceptiveField:
    span = (_along(module.kernel_size, axis) - 1) * _along(module.dilation, axis)
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
    return reduce(ReceptiveField.beside, _split_views(module, axis))


@field_of.register
def _(module: Res2Bottleneck, axis: int) -> ReceptiveField:
    return branch_field(module, axis).beside(field_of(module.downsample, axis)).then(field_of(module.act3, axis))


def branch_field(module: Res2Bottleneck, axis: int = -1) -> ReceptiveField:
    """The receptive field of a bottleneck without its shortcut, for families that bring the residual from outside."""
    splits = reduce(ReceptiveField.beside, _split_views(module, axis))
    before = receptive_field(module.conv1, module.bn1, module.act1, axis=axis)
    after = receptive_field(module.conv3, module.bn3, module.se, axis=axis)
    return before.then(splits).then(after)


def _split_views(module: Res2Conv, axis: int) -> list[ReceptiveField]:
    """The receptive field of each split in the module's input, in the order of the output's channels (Eq. 1)."""
    layout = module.layout
    views = [ReceptiveField()] * layout.scale
    before = ReceptiveField() if layout.passed is not None and layout.starts_with_passed else None
    if layout.passed is not None and module.pool is not None:
        views[layout.passed] = field_of(module.pool, axis)
    for position, branch in zip(layout.convolved, module.branches(), strict=True):
        seen = ReceptiveField() if before is None else before.beside(ReceptiveField())
        views[position] = seen.then(receptive_field(*branch, axis=axis))
        before = views[position] if layout.hierarchical else None
    return views


def _window(span: int, padding: int, stride: int) -> ReceptiveField:
    """A sliding window from its first position to `span` further."""
    return ReceptiveField(-padding, span - padding, span + 1, stride)


def _along(value: int | tuple[int, ...], axis: int) -> int:
    """An option that is one number for all axes or one for each."""
    return value if isinstance(value, int) else value[axis]
