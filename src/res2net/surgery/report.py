"""What a conversion did, and why it left the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

__all__ = ["Conversion", "Cost", "Kept", "Reason", "Replaced"]


class Reason(Enum):
    """Why a convolution was not replaced."""

    STEM = "the stem: it sees the input itself"
    NOT_CHOSEN = "not chosen by the option only"
    MULTI_SCALE = "already part of a multi-scale module"
    TRANSPOSED = "a transposed convolution"
    OWN_FORWARD = "a class of convolution that computes in its own way"
    INDIVISIBLE = "grouped, with channels that do not divide into splits"


@dataclass(frozen=True)
class Cost:
    """What a network costs."""

    parameters: int
    """Numbers that are learned."""
    macs: int
    """Multiply-accumulates of convolutions and matrix products for the example input."""


@dataclass(frozen=True)
class Replaced:
    """A convolution that was replaced."""

    name: str
    before: str
    """Such as `3x3, 64 to 64`."""
    after: str
    """Such as `4 splits of 26`."""
    parameters: int
    """Weights of the convolution that is gone."""


@dataclass(frozen=True)
class Kept:
    """A convolution that was left as it is."""

    name: str
    before: str
    reason: Reason
    parameters: int
    """Its weights."""


@dataclass(frozen=True)
class Conversion:
    """What `convert` did."""

    replaced: Sequence[Replaced]
    kept: Sequence[Kept]
    before: Cost
    after: Cost

    @property
    def share(self) -> float:
        """Of the weights of k x k convolutions outside the stem, the share that was replaced, 0..1."""
        done = sum(one.parameters for one in self.replaced)
        left = sum(one.parameters for one in self.kept if one.reason is not Reason.STEM)
        return done / (done + left) if done + left else 0.0

    def __str__(self) -> str:
        lines = [f"{one.name}: {one.before} -> {one.after}" for one in self.replaced]
        lines += [f"{one.name}: {one.before} left: {one.reason.value}" for one in self.kept]
        lines.append(f"{100 * self.share:.1f} % of the weights of k x k convolutions outside the stem replaced")
        for what in ("parameters", "macs"):
            before, after = getattr(self.before, what), getattr(self.after, what)
            lines.append(f"{what}: {before:,} -> {after:,} ({100 * (after / before - 1):+.2f} %)")
        return "\n".join(lines)
