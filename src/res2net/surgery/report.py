"""The report of a conversion: which convolutions were replaced, and why others were kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Reason(Enum):
    """The reason why a convolution was not replaced."""

    STEM = "part of the stem: it reads the input"
    NOT_CHOSEN = "not selected by the option `only`"
    MULTI_SCALE = "already part of a multi-scale module"
    TRANSPOSED = "a transposed convolution"
    COMPUTED_WEIGHT = "its weight is computed from others, as by weight or spectral normalisation"
    OWN_FORWARD = "a class of convolution with its own forward"
    INDIVISIBLE = "grouped, with channels that are not divisible into splits"


@dataclass(frozen=True)
class Cost:
    """The cost of a network."""

    parameters: int
    """Number of parameters."""
    macs: int
    """Multiply-accumulates of convolutions and matrix products for the example input."""


@dataclass(frozen=True)
class Replaced:
    """A convolution that was replaced."""

    name: str
    """Name of the layer."""
    before: str
    """Description of the convolution, such as `3x3, 64 to 64`."""
    after: str
    """Description of the replacement, such as `4 splits of 26`."""
    parameters: int
    """Number of weights of the convolution."""


@dataclass(frozen=True)
class Kept:
    """A convolution that was kept."""

    name: str
    """Name of the layer."""
    before: str
    """Description of the convolution, such as `3x3, 64 to 64`."""
    reason: Reason
    """Why it was kept."""
    parameters: int
    """Number of weights of the convolution."""


@dataclass(frozen=True)
class Conversion:
    """The report of `convert`."""

    replaced: Sequence[Replaced]
    kept: Sequence[Kept]
    before: Cost
    after: Cost
    by_value: bool = False
    """Whether sizes inside of the network depend on values, so that the multiply-accumulates of both networks, which
    differ in values, are not for the same amount of work."""

    @property
    def share(self) -> float:
        """Share of the weights of k x k convolutions outside the stem that were replaced, 0..1."""
        done = sum(one.parameters for one in self.replaced)
        left = sum(one.parameters for one in self.kept if one.reason is not Reason.STEM)
        return done / (done + left) if done + left else 0.0

    def __str__(self) -> str:
        lines = [f"{one.name}: {one.before} -> {one.after}" for one in self.replaced]
        lines += [f"{one.name}: {one.before} kept: {one.reason.value}" for one in self.kept]
        lines.append(f"{100 * self.share:.1f} % of the weights of k x k convolutions outside the stem replaced")
        for what in ("parameters", "macs"):
            before, after = getattr(self.before, what), getattr(self.after, what)
            lines.append(f"{what}: {before:,} -> {after:,} ({100 * (after / before - 1):+.2f} %)")
        if self.by_value:
            lines.append("macs depend on what each network finds in the example input, and cannot be compared")
        return "\n".join(lines)
