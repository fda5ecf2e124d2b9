"""The plan of a conversion: which convolutions are replaced, and by what."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from res2net.kernels import SplitOrder
from res2net.measure.flow import Flow, Node, Value
from res2net.nn import Res2Conv
from res2net.surgery.budget import Budget, Unit
from res2net.surgery.find import followers, groups_of, style_of
from res2net.surgery.kinds import has_computed_weight, is_plain
from res2net.surgery.report import Kept, Reason
from res2net.surgery.spaces import Space, spaces

Choice: TypeAlias = str | Iterable[str] | Callable[[str, nn.Module], bool]
"""A selection of convolutions: patterns of names such as `"layer?.0.*"`, or a function of name and convolution."""


@dataclass(frozen=True)
class Options:
    """The options of `convert`."""

    scale: int
    budget: Budget
    base_width: int | None
    only: Choice | None
    stage: Choice | None
    stem: bool
    split_order: SplitOrder
    resize: bool = True
    """Whether the neighbours of a convolution may be resized."""


def is_chosen(choice: Choice, name: str, module: nn.Module) -> bool:
    """Whether a selection includes this convolution."""
    if callable(choice):
        return choice(name, module)
    patterns = (choice,) if isinstance(choice, str) else tuple(choice)
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def describe(conv: _ConvNd) -> str:
    """Describe a convolution, as in `3x3, 64 to 128, stride 2`."""
    text = f"{'x'.join(str(size) for size in conv.kernel_size)}, {conv.in_channels} to {conv.out_channels}"
    if conv.groups > 1:
        text += ", depthwise" if conv.groups == conv.in_channels else f", {conv.groups} groups"
    for what, values in (("stride", conv.stride), ("dilation", conv.dilation)):
        if max(values) > 1:
            text += f", {what} {values[0] if len(set(values)) == 1 else tuple(values)}"
    return text


def plan(model: nn.Module, flow: Flow, options: Options) -> tuple[list[Unit], list[Kept]]:
    """Decide which convolutions are replaced, with widths still to be solved, and which are kept."""
    multi_scale = {
        f"{name}.{inner}"
        for name, module in model.named_modules()
        if (isinstance(module, Res2Conv) and module.scale > 1) or type(module).__name__ == "Bottle2neck"
        for inner, _ in module.named_modules()
    }
    space_of, claimed = spaces(flow), set[str]()
    units, kept = [], []
    for name, conv in model.named_modules():
        if not isinstance(conv, _ConvNd) or max(conv.kernel_size) == 1:
            continue
        node = flow.node(name)
        reason = Reason.MULTI_SCALE if name in multi_scale else why_not(name, conv, node, options)
        unit = None if reason else unit_of(name, conv, node, model, options)
        if unit is None:
            kept.append(Kept(name, describe(conv), reason or Reason.INDIVISIBLE, conv.weight.numel()))
            continue
        neighbours = spaces_around(node, space_of, claimed) if node is not None and options.resize else ()
        choose_structure(unit, neighbours, flow, options)
        for space in unit.between:
            claimed |= {*space.producers, *space.consumers}
        units.append(unit)
    return units, kept


def why_not(name: str, conv: _ConvNd, node: Node | None, options: Options) -> Reason | None:
    """The reason why a convolution is not replaced; None if it can be."""
    if node is not None and node.inputs[0].raw and not options.stem:
        return Reason.STEM
    if options.only is not None and not is_chosen(options.only, name, conv):
        return Reason.NOT_CHOSEN
    if isinstance(conv, _ConvTransposeNd):
        return Reason.TRANSPOSED
    if has_computed_weight(conv):
        return Reason.COMPUTED_WEIGHT
    if not is_plain(conv):
        return Reason.OWN_FORWARD
    return None


def unit_of(name: str, conv: _ConvNd, node: Node | None, model: nn.Module, options: Options) -> Unit | None:
    """The replacement of a convolution; None if a grouped convolution is not divisible into splits."""
    scale = options.scale
    if conv.groups >= scale and conv.in_channels == conv.out_channels:
        while scale > 1 and conv.in_channels % scale:
            scale -= 1
        if scale == 1:
            return None
    stage = options.stage is not None and is_chosen(options.stage, name, conv)
    style = style_of(node, model, len(conv.kernel_size))
    return Unit(name, conv, style, scale, stage or max(conv.stride) > 1, node)


def spaces_around(node: Node, space_of: dict[Value, Space], claimed: set[str]) -> tuple[Space, ...]:
    """The channel spaces before and after a convolution, if they belong to 1x1 convolutions and can be resized."""
    before, after = space_of[node.inputs[0]], space_of[node.output]
    neighbours = (before,) if before is after else (before, after)
    layers = [name for space in neighbours for name in (*space.producers, *space.consumers)]
    if (
        any(space.fixed or space.kernels != {node.name} for space in neighbours)
        or not (before.producers and after.consumers)
        or len(set(layers)) < len(layers)
        or claimed & set(layers)
    ):
        return ()
    return neighbours


def choose_structure(unit: Unit, neighbours: tuple[Space, ...], flow: Flow, options: Options) -> None:
    """Choose the structure of a replacement, and its width if the options give it."""
    conv, wanted, keeps = unit.conv, given_width(unit, options), options.budget == "width"
    divides = conv.in_channels == conv.out_channels and conv.in_channels % unit.scale == 0
    in_place = not neighbours and divides and (conv.groups >= unit.scale or (keeps and options.base_width is None))
    if unit.node is not None and (neighbours or in_place):
        unit.absorbed = followers(unit.node).absorbed(flow)
    if in_place:
        unit.number, unit.free = conv.in_channels // unit.scale, False
        unit.share = unit.number // groups_of(unit.number, conv.in_channels // conv.groups)
        return
    if conv.groups > 1:
        unit.share, unit.step = whole_groups(conv, unit.scale, between=bool(neighbours))
    unit.between, unit.free = neighbours, wanted is None
    unit.number = max(1, round((wanted or 0) / unit.step))
    if not neighbours:
        channels = unit.size.channels if keeps else 0
        unit.ends = (channels != conv.in_channels, channels != conv.out_channels)


def whole_groups(conv: _ConvNd, scale: int, *, between: bool) -> tuple[int | None, int]:
    """Channels per group in a split, None if a split is one group; and the number that the width is a multiple of.

    Unless the splits are between dense layers, 1x1 convolutions with the same groups are added around them, so all
    their channels must be divisible by the groups.
    """
    if conv.groups < scale:
        return None, 1 if between else conv.groups // math.gcd(conv.groups, scale)
    group = conv.in_channels // conv.groups
    return group, group if between else math.lcm(group, conv.in_channels // math.gcd(conv.in_channels, scale))


def given_width(unit: Unit, options: Options) -> int | None:
    """The width of a split, if the options give it."""
    if options.base_width is not None:
        return unit.conv.out_channels * options.base_width // 64
    return max(1, round(unit.conv.out_channels / unit.scale)) if options.budget == "width" else None
