"""How wide the splits are: a budget kept over the whole network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import starmap
from operator import mul
from typing import Any

from torch import nn

from res2net.measure import nearest_width
from res2net.measure.flow import Node
from res2net.surgery.find import Style, Taken
from res2net.surgery.replace import Form, Size
from res2net.surgery.spaces import Space

__all__ = ["BUDGETS", "Unit", "solve"]

BUDGETS = ("parameters", "macs", "width")
CLOSE = 1e-3
"""Relative distance from the budget that is not improved further."""


@dataclass(eq=False)
class Unit:
    """A convolution that is replaced, with everything that changes with it."""

    name: str
    form: Form
    style: Style
    scale: int
    taps: int
    """Weights of one channel for one channel, in the convolution as it is."""
    stage: bool
    node: Node | None = None
    ends: tuple[bool, bool] = (False, False)
    between: tuple[Space, ...] = ()
    """The channels before and behind it, where these are resized."""
    taken: Taken | None = None
    """The normalisation and activation that its splits take over."""
    share: int | None = None
    """Channels of a group in a split; None where a split is one group."""
    step: int = 1
    """The width is a multiple of it."""
    number: int = 1
    """The width in steps."""
    free: bool = True
    """Whether the width can be chosen."""

    @property
    def size(self) -> Size:
        """The numbers of the replacement."""
        return self.size_of(self.number)

    def size_of(self, number: int) -> Size:
        """The numbers of the replacement at a width of `number` steps."""
        width = number * self.step
        return Size(self.scale, width, width // (self.share or width))

    @cached_property
    def positions(self) -> tuple[int, int]:
        """Of the input and of the output; 1 where it did not run."""
        if self.node is None:
            return 1, 1
        return math.prod(self.node.inputs[0].shape[2:]), math.prod(self.node.output.shape[2:])

    @cached_property
    def extras(self) -> tuple[float, int]:
        """Weights of a normalisation for each channel, and of an activation."""
        norm = sum(tensor.numel() for tensor in self.style.norm(16).parameters()) / 16
        return norm, sum(tensor.numel() for tensor in self.style.act().parameters())

    def around(self, metric: str) -> list[float]:
        """What one channel costs in the layers that are resized, for each of the spaces."""
        costs = []
        for space in self.between:
            cost = 0.0
            for node in (*space.producers.values(), *space.consumers.values()):
                cost += per_channel(node, space, metric)
            if metric == "parameters":
                for name, node in space.norms.items():
                    if self.taken is None or name != self.taken.norm.name:
                        cost += weights_per_channel(node.module)
            costs.append(cost)
        return costs

    @cached_property
    def channel_costs(self) -> dict[str, list[float]]:
        """What one channel costs in the layers that are resized, by metric, for each of the spaces."""
        return {metric: self.around(metric) for metric in ("parameters", "macs")}

    def before(self, metric: str) -> float:
        """What everything that changes costs in the network as it is."""
        form = self.form
        weights = form.out_channels * (form.in_channels // form.groups) * self.taps
        channels = (form.in_channels, form.out_channels)
        cost = sum(starmap(mul, zip(self.channel_costs[metric], channels, strict=False)))
        if metric == "macs":
            return cost + weights * self.positions[1]
        cost += weights + form.bias * form.out_channels
        if self.taken is not None:
            cost += weights_per_channel(self.taken.norm.module) * form.out_channels
        return cost

    def cost(self, number: int, metric: str) -> float:
        """What everything that changes costs at a width of `number` steps."""
        form, size = self.form, self.size_of(number)
        width, channels = size.width, size.channels
        weights = (self.scale - 1) * width * (width // size.cardinality) * math.prod(form.kernel_size)
        first = form.in_channels * channels // form.groups * self.ends[0]
        last = form.out_channels * channels // form.groups * self.ends[1]
        cost = sum(self.channel_costs[metric]) * channels
        if metric == "macs":
            return cost + first * self.positions[0] + (weights + last) * self.positions[1]
        norm, act = self.extras
        cost += weights + first + last + (self.scale - 1) * (width * (norm + form.bias) + act)
        cost += self.ends[0] * channels * (norm + form.bias) + self.ends[1] * form.bias * form.out_channels
        return cost


def weights_per_channel(module: nn.Module | None) -> float:
    """Of a normalisation."""
    weight = getattr(module, "weight", None)
    if module is None or weight is None:
        return 0
    return sum(tensor.numel() for tensor in module.parameters(recurse=False)) / weight.numel()


def per_channel(node: Node, space: Space, metric: str) -> float:
    """What one channel of a space costs in a 1x1 convolution or linear layer that makes or reads it."""
    layer: Any = node.module
    outputs, inputs = layer.weight.shape[:2]
    cost = 0.0
    if node.name in space.producers:
        cost += inputs * (math.prod(node.output.shape[2:]) if metric == "macs" else 1)
        cost += (layer.bias is not None) * (metric == "parameters")
    if node.name in space.consumers:
        cost += outputs * (math.prod(node.output.shape[2:]) if metric == "macs" else 1)
    return cost


def solve(units: Sequence[Unit], metric: str) -> None:
    """Choose the widths so that all units together cost what they did, each about what it did."""
    free = [unit for unit in units if unit.free]
    if not free:
        return
    budget = sum(unit.before(metric) for unit in units) - sum(
        unit.cost(unit.number, metric) for unit in units if not unit.free
    )
    share = max(budget / sum(unit.before(metric) for unit in free), 0.05)
    for unit in free:
        most = max(8, 4 * max(unit.form.in_channels, unit.form.out_channels))
        unit.number = nearest_width(partial(unit.cost, metric=metric), share * unit.before(metric), most)
    # Whole channels are coarse where layers are narrow: single steps of single units make up for it.
    excess = sum(unit.cost(unit.number, metric) for unit in free) - budget
    for _ in range(4 * len(free)):
        if abs(excess) <= CLOSE * budget:
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
