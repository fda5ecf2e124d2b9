"""The Res2 chain: how splits are connected (Gao et al., TPAMI 2021, section 3.1, Eq. 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.fx import Proxy

from res2net.errors import InputError

Step: TypeAlias = Callable[[Tensor], Tensor]
SplitOrder: TypeAlias = Literal["official", "paper", "arxiv-v1"]
"""Which split passes through: the last one in "official", the first one in "paper" and "arxiv-v1"."""


@dataclass(frozen=True)
class Layout:
    """How channels are cut into splits and how the splits are connected."""

    width: int
    """Number of channels of a split."""
    scale: int
    """Number of splits; 1 is a plain convolution."""
    hierarchical: bool = True
    """Whether a split receives the output of the split before it."""
    split_order: SplitOrder = "official"
    passes: bool = True
    """Whether one split passes through without a convolution."""

    @cached_property
    def passed(self) -> int | None:
        """Index of the split that passes through; None if all are convolved."""
        if not self.passes or self.scale == 1:
            return None
        return self.scale - 1 if self.split_order == "official" else 0

    @cached_property
    def convolved(self) -> tuple[int, ...]:
        """Indices of the splits that are convolved, in order."""
        return tuple(index for index in range(self.scale) if index != self.passed)

    @cached_property
    def added_first(self) -> int | None:
        """Index of the split that is added to the first convolved one: that which passes through in arXiv version 1."""
        return self.passed if self.hierarchical and self.split_order == "arxiv-v1" else None


def is_traced(x: Any) -> bool:
    """Whether a graph is being recorded that has no shapes (`torch.fx`) or takes them for constants (`torch.jit`)."""
    return isinstance(x, Proxy) or torch._C._get_tracing_state() is not None


def cut(x: Tensor, layout: Layout, branches: Sequence[Step]) -> list[Tensor]:
    """Cut a tensor into the splits of a layout; raises `InputError` unless channels and branches are those of it."""
    if not is_traced(x) and (x.ndim < 2 or x.shape[1] != layout.scale * layout.width):
        raise InputError(
            f"A tensor of shape {tuple(x.shape)} does not fit {layout.scale} splits of {layout.width} channels: give "
            f"(N, {layout.scale * layout.width}, ...)."
        )
    if len(branches) != len(layout.convolved):
        raise InputError(f"{len(branches)} branches do not fit {len(layout.convolved)} convolved splits: give as many.")
    pieces = x.split(layout.width, 1)
    return [pieces[index] for index in range(layout.scale)]


def chain(
    x: Tensor, branches: Sequence[Step], layout: Layout, pass_through: Step | None = None, *, in_place: bool = False
) -> Tensor:
    """Apply a branch to each convolved split, added to the output of the split before it.

    Args:
        x: the splits side by side, `(N, scale * width, *size)`.
        branches: the function of each convolved split, in order.
        layout: how the splits are connected.
        pass_through: the function of the split that passes through; by default the identity.
        in_place: write the outputs into `x` and return it, which saves copies. It has no gradient, and needs functions
            that keep the shape of a split.

    Raises:
        InputError: the channels or the number of branches are not those of the layout.
    """
    splits = cut(x, layout, branches)
    if layout.scale == 1:
        return branches[0](x)
    before = None if layout.added_first is None else splits[layout.added_first]
    if layout.passed is not None and pass_through is not None:
        splits[layout.passed] = pass_through(splits[layout.passed])
    for index, branch in zip(layout.convolved, branches, strict=True):
        split = splits[index]
        if before is not None:
            split = before + split
        y = branch(split)
        if in_place:
            splits[index].copy_(y)
        else:
            splits[index] = y
        before = y if layout.hierarchical else None
    return x if in_place else torch.cat(splits, 1)


def chain_backward(
    gradient: Tensor, branches: Sequence[Step], layout: Layout, pass_through: Step | None = None
) -> Tensor:
    """Compute the gradient with respect to the input of `chain` from the gradient with respect to its output.

    Args:
        gradient: the gradient with respect to the output.
        branches: for each convolved split, the function from the gradient of its output to that of its input; they are
            called last to first.
        layout: as in `chain`.
        pass_through: the same function for the split that passes through.
    """
    splits = cut(gradient, layout, branches)
    if layout.scale == 1:
        return branches[0](gradient)
    after: Tensor | None = None
    for index, branch in reversed(list(zip(layout.convolved, branches, strict=True))):
        split = splits[index] if after is None else splits[index] + after
        splits[index] = branch(split)
        after = splits[index] if layout.hierarchical else None
    if layout.passed is not None and pass_through is not None:
        splits[layout.passed] = pass_through(splits[layout.passed])
    if layout.added_first is not None and after is not None:
        splits[layout.added_first] = splits[layout.added_first] + after
    return torch.cat(splits, 1)
