"""The Res2 chain: which split goes where (Gao et al., TPAMI 2021, section 3.1, Eq. 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Layout", "chain", "chain_backward", "chain_in_place"]

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Layout:
    """How the channels are cut into splits and how the splits are connected."""

    width: int
    """Channels of a split."""
    scale: int
    """Number of splits; 1 is a plain convolution."""
    hierarchical: bool = True
    """Whether a split receives the output of the split before it."""
    split_order: str = "official"
    """"official": the last split passes; "paper" and "arxiv-v1": the first."""
    passes: bool = True
    """Whether one split passes without a convolution."""

    @cached_property
    def passed(self) -> int | None:
        """Position of the split that passes."""
        if not self.passes or self.scale == 1:
            return None
        return self.scale - 1 if self.split_order == "official" else 0

    @cached_property
    def convolved(self) -> tuple[int, ...]:
        """Positions of the splits that are convolved, in turn."""
        return tuple(position for position in range(self.scale) if position != self.passed)

    @cached_property
    def starts_with_passed(self) -> bool:
        """Whether the first convolution also receives the split that passes (the first arXiv version's Eq. 1)."""
        return self.hierarchical and self.split_order == "arxiv-v1"


def chain(x: Tensor, branches: Sequence[Step], layout: Layout, pass_through: Step | None = None) -> Tensor:
    """`(N, scale * width, *size)` through one of `branches` a split, each on top of the output before it.

    Args:
        x: the splits side by side.
        branches: what each convolved split goes through, in turn.
        layout: of the splits.
        pass_through: what the split that passes goes through; by default nothing.
    """
    if layout.scale == 1:
        return branches[0](x)
    splits = list(x.split(layout.width, 1))
    before = splits[layout.passed] if layout.passed is not None and layout.starts_with_passed else None
    if layout.passed is not None and pass_through is not None:
        splits[layout.passed] = pass_through(splits[layout.passed])
    for position, branch in zip(layout.convolved, branches, strict=True):
        split = splits[position]
        if before is not None:
            split = before + split
        splits[position] = branch(split)
        before = splits[position] if layout.hierarchical else None
    return torch.cat(splits, 1)


def chain_in_place(x: Tensor, branches: Sequence[Step], layout: Layout) -> Tensor:
    """`chain` without a gradient where the output takes the place of `x`: for branches that keep the shape of a split.

    What splits and concatenation would copy stays where it is.
    """
    splits = x.split(layout.width, 1)
    before = splits[layout.passed] if layout.passed is not None and layout.starts_with_passed else None
    for position, branch in zip(layout.convolved, branches, strict=True):
        split = splits[position]
        y = branch(split if before is None else before + split)
        split.copy_(y)
        before = y if layout.hierarchical else None
    return x


def chain_backward(
    gradient: Tensor, branches: Sequence[Step], layout: Layout, pass_through: Step | None = None
) -> Tensor:
    """The gradient of `chain` for its input, from that for its output.

    Args:
        gradient: for the output of `chain`.
        layout: as in `chain`.
        branches: for each convolved split, the gradient for its output to that for its input; called last to first.
        pass_through: the same for the split that passes.
    """
    if layout.scale == 1:
        return branches[0](gradient)
    splits = list(gradient.split(layout.width, 1))
    after: Tensor | None = None
    for position, branch in reversed(list(zip(layout.convolved, branches, strict=True))):
        split = splits[position] if after is None else splits[position] + after
        splits[position] = branch(split)
        after = splits[position] if layout.hierarchical else None
    if layout.passed is not None:
        if pass_through is not None:
            splits[layout.passed] = pass_through(splits[layout.passed])
        if after is not None and layout.starts_with_passed:
            splits[layout.passed] = splits[layout.passed] + after
    return torch.cat(splits, 1)
