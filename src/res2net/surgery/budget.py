"""Widths of the splits, such that the whole network stays within a budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import starmap
from operator import mul
from typing import Any, Literal

from torch import nn
from torch.nn.modules.conv import _ConvNd

from res2net.measure import nearest_width
from res2net.measure.flow import Node
from res2net.nn.layers import LayerStyle, activation, norm_layer
from res2net.surgery.find import Absorbed
from res2net.surgery.replace import Size, odd_kernel
from res2net.surgery.spaces import Space

Budget = Literal["parameters", "macs", "width"]
Metric = Literal["parameters", "macs"]
TOLERANCE = 1e-3
"""Relative difference from the budget at which the search stops."""


@dataclass(eq=False)
class Unit:
    """A convolution that is replaced, with all layers that change with it."""

    name: str
    """Name of the convolution."""
    conv: _ConvNd
    """The convolution."""
    style: LayerStyle
    """Normalisation and activation of the replacement."""
    scale: int
    """Number of splits."""
    stage: bool
    """Whether the splits are independent (`mode="stage"` of `Res2Conv`)."""
    node: Node | None = None
    """The call of the convolution; None if it did not run."""
    ends: tuple[bool, bool] = (False, False)
    """Whether 1x1 convolutions are added before and after the splits."""
    between: tuple[Space, ...] = ()
    """The channel spaces before and after it, if they are resized."""
    absorbed: Absorbed | None = None
    """The normalisation and activation that the splits take over."""
    share: int | None = None
    """Channels per group in a split; None if a split is one group."""
    step: int = 1
    """The width is a multiple of this number."""
    number: int = 1
    """The width in steps."""
    free: bool = True
    """Whether the width can be chosen."""

    @property
    def size(self) -> Size:
        """The size of the replacement."""
        return self.size_of(self.number)

    def size_of(self, number: int) -> Size:
        """The size of the replacement at a width of `number` steps."""
        width = number * self.step
        return Size(self.scale, width, width // (self.share or width))

    @cached_property
    def positions(self) -> tuple[int, int]:
        """Numbers of positions of the input and of the output; 1 if the convolution did not run."""
        if self.node is None:
            return 1, 1
        return math.prod(self.node.inputs[0].shape[2:]), math.prod(self.node.output.shape[2:])

    @cached_property
    def extras(self) -> tuple[float, int]:
        """Weights of a normalisation per channel, and of an activation."""
        layers = norm_layer(self.style.norm, 16, self.style.dims), activation(self.style.act)
        norm, act = (sum(tensor.numel() for tensor in layer.parameters()) for layer in layers)
        return norm / 16, act

    @cached_property
    def channel_costs(self) -> dict[Metric, list[float]]:
        """The cost of one channel in the layers that are resized, by metric, for each space."""
        costs: dict[Metric, list[float]] = {"parameters": [], "macs": []}
        for space in self.between:
            layers = (*space.producers.values(), *space.consumers.values())
            for metric, of_spaces in costs.items():
                of_spaces.append(sum(per_channel(node, space, metric) for node in layers))
            kept = [name for name in space.norms if self.absorbed is None or name != self.absorbed.norm.name]
            costs["parameters"][-1] += sum(weights_per_channel(space.norms[name].module) for name in kept)
        return costs

    def before(self, metric: Metric) -> float:
        """The cost of all layers that change, in the original network."""
        conv = self.conv
        weights = conv.out_channels * (conv.in_channels // conv.groups) * math.prod(conv.kernel_size)
        channels = (conv.in_channels, conv.out_channels)
        cost = sum(starmap(mul, zip(self.channel_costs[metric], channels, strict=False)))
        if metric == "macs":
            return cost + weights * self.positions[1]
        cost += weights + (conv.bias is not None) * conv.out_channels
        if self.absorbed is not None:
            cost += weights_per_channel(self.absorbed.norm.module) * conv.out_channels
        return cost

    def cost(self, number: int, metric: Metric) -> float:
        """The cost of all layers that change, at a width of `number` steps."""
        conv, size, bias = self.conv, self.size_of(number), self.conv.bias is not None
        width, channels = size.width, size.channels
        weights = (self.scale - 1) * width * (width // size.cardinality) * math.prod(odd_kernel(conv))
        first = conv.in_channels * channels // conv.groups * self.ends[0]
        last = conv.out_channels * channels // conv.groups * self.ends[1]
        cost = sum(self.channel_costs[metric]) * channels
        if metric == "macs":
            return cost + first * self.positions[0] + (weights + last) * self.positions[1]
        norm, act = self.extras
        cost += weights + first + last + (self.scale - 1) * (width * (norm + bias) + act)
        cost += self.ends[0] * channels * (norm + bias) + self.ends[1] * bias * conv.out_channels
        return cost


def weights_per_channel(module: nn.Module | None) -> float:
    """Number of weights of a normalisation per channel."""
    weight = getattr(module, "weight", None)
    if module is None or weight is None:
        return 0
    return sum(tensor.numel() for tensor in module.parameters(recurse=False)) / weight.numel()


def per_channel(node: Node, space: Space, metric: Metric) -> float:
    """The cost of one channel of a space in a 1x1 convolution or linear layer that produces or consumes it."""
    layer: Any = node.module
    outputs, inputs = layer.weight.shape[:2]
    positions = math.prod(node.output.shape[2:]) if metric == "macs" else 1
    cost = 0.0
    if node.name in space.producers:
        cost += inputs * positions + (metric == "parameters" and layer.bias is not None)
    if node.name in space.consumers:
        cost += outputs * positions
    return cost


def solve(units: Sequence[Unit], metric: Metric) -> None:
    """Choose the widths such that the units together cost as much as before, and each about as much."""
    free = [unit for unit in units if unit.free]
    if not free:
        return
    budget = sum(unit.before(metric) for unit in units) - sum(
        unit.cost(unit.number, metric) for unit in units if not unit.free
    )
    share = max(budget / sum(unit.before(metric) for unit in free), 0.05)
    for unit in free:
        most = max(8, 4 * max(unit.conv.in_channels, unit.conv.out_channels))
        unit.number = nearest_width(partial(unit.cost, metric=metric), share * unit.before(metric), most)
    # In narrow layers, whole channels are coarse: adjust the total by single steps of single units.
    excess = sum(unit.cost(unit.number, metric) for unit in free) - budget
    for _ in range(4 * len(free)):
        if abs(excess) <= TOLERANCE * budget:
            return
        step = -1 if excess > 0 else 1
        changes = [
            (abs(excess + change), number, change)
            for number, unit in enumerate(free)
            if unit.number + step >= 1
            for change in [unit.cost(unit.number + step, metric) - unit.cost(unit.number, metric)]
        ]
        if not changes or min(changes)[0] >= abs(excess):
            return
        _, number, change = min(changes)
        free[number].number += step
        excess += change
