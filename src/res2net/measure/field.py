"""Receptive fields along one axis, how they add up along a network, and how many paths have which field."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from res2net.errors import InputError

PathCounts: TypeAlias = Mapping[int, int]
"""The exact number of paths for each receptive field in positions; empty where it is not known.

It is a polynomial whose exponents are receptive fields.
"""


def chained_paths(first: PathCounts, second: PathCounts, stride: int) -> PathCounts:
    """Count the paths through two modules in sequence, the first with the given stride: the product of polynomials."""
    counts: Counter[int] = Counter()
    for size, count in first.items():
        for further, times in second.items():
            counts[size + stride * (further - 1)] += count * times
    return dict(sorted(counts.items()))


def joined_paths(first: PathCounts, second: PathCounts) -> PathCounts:
    """Count the paths through two modules whose outputs are added or concatenated: the sum of polynomials."""
    return dict(sorted((Counter(first) + Counter(second)).items())) if first and second else {}


def mean_field(paths: PathCounts) -> float:
    """Mean receptive field over all paths, in positions; NaN where the paths are not known."""
    total = sum(paths.values())
    # Divided as integers: a network can have more paths than a float can represent.
    return sum(size * count for size, count in paths.items()) / total if total else math.nan


@dataclass(frozen=True)
class ReceptiveField:
    """The positions of an input that one position of an output sees along one axis, over all paths between them.

    The fields describe position 0 of the output; position i sees the same `i * stride` further. The input has no ends:
    positions before 0 are padding in a real input.
    """

    first: int = 0
    """The first position seen, negative in the padding."""
    last: int = 0
    """The last position seen."""
    smallest: int = 1
    """Number of positions that the path with the smallest receptive field spans."""
    stride: int = 1
    """Distance between the receptive fields of two neighbours, also called jump."""
    paths: PathCounts = field(default_factory=dict, compare=False, repr=False)
    """The number of paths for each receptive field. A path enters a Res2 convolution by one split and leaves it by one,
    and takes either the branch or the shortcut of a block. Without an argument the paths are not known, unless the
    smallest path spans all positions; then there is one."""
    phases: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    """Behind an upsampling, neighbours see different positions around them: `(first, last)` of positions 0, 1, ...
    until it repeats, each relative to its `i * stride`. `first` and `last` are then those of the phase that sees most,
    and the number of positions of a path is the mean over all phases."""

    def __post_init__(self) -> None:
        phases = shortest(self.phases or ((self.first, self.last),))
        first, last = max(phases, key=lambda phase: phase[1] - phase[0])
        for name, value in (("phases", phases), ("first", first), ("last", last)):
            object.__setattr__(self, name, value)
        if not self.paths and self.smallest == self.largest:
            object.__setattr__(self, "paths", {self.smallest: 1})

    @property
    def largest(self) -> int:
        """Number of positions that all paths together span: the receptive field."""
        return self.last - self.first + 1

    def at(self, position: int) -> tuple[int, int]:
        """The first and the last position that a given position of the output sees."""
        first, last = self.phases[position % len(self.phases)]
        return first + position * self.stride, last + position * self.stride

    def then(self, after: ReceptiveField) -> ReceptiveField:
        """The receptive field of this module followed by another one."""
        stride = self.stride * after.stride
        count = math.lcm(len(after.phases), len(self.phases) // math.gcd(len(self.phases), after.stride))
        return ReceptiveField(
            smallest=self.smallest + self.stride * (after.smallest - 1),
            stride=stride,
            paths=chained_paths(self.paths, after.paths, self.stride),
            phases=self._phases([after.at(position) for position in range(count)], stride),
        )

    def joined_with(self, other: ReceptiveField) -> ReceptiveField:
        """The receptive field of the sum or concatenation of the outputs of two modules with a common input."""
        assert self.stride == other.stride, "outputs that are joined have the same size"
        phases = [
            (min(self.at(position)[0], other.at(position)[0]), max(self.at(position)[1], other.at(position)[1]))
            for position in range(math.lcm(len(self.phases), len(other.phases)))
        ]
        return ReceptiveField(
            smallest=min(self.smallest, other.smallest),
            stride=self.stride,
            paths=joined_paths(self.paths, other.paths),
            phases=relative(phases, self.stride),
        )

    def upsampled(self, times: int, kernel_size: int | None = None, padding: int = 0) -> ReceptiveField:
        """The receptive field behind an upsampling that makes `times` as many positions.

        Each position is repeated; with `kernel_size` and `padding` it is a transposed convolution.

        Raises:
            InputError: positions of the larger map would lie between those of the input, or some would see nothing.
        """
        size = times if kernel_size is None else kernel_size
        if self.stride % times or size < times:
            raise InputError(
                f"The receptive field behind an upsampling by {times} is not known: it must divide the stride before "
                "it and not exceed its kernel size."
            )
        stride = self.stride // times
        views = [
            (-((size - 1 - position - padding) // times), (position + padding) // times)
            for position in range(times * len(self.phases))
        ]
        further = stride * (size - times)
        return ReceptiveField(
            smallest=self.smallest + further,
            stride=stride,
            paths={view + further: count for view, count in self.paths.items()},
            phases=self._phases(views, stride),
        )

    def _phases(self, views: Sequence[tuple[int, int]], stride: int) -> tuple[tuple[int, int], ...]:
        """The phases of a following module whose positions 0, 1, ... see the positions `views` of this output."""
        return relative([(self.at(first)[0], self.at(last)[1]) for first, last in views], stride)


def relative(views: Sequence[tuple[int, int]], stride: int) -> tuple[tuple[int, int], ...]:
    """Convert what positions 0, 1, ... see into phases, which are relative to the position."""
    return tuple((first - index * stride, last - index * stride) for index, (first, last) in enumerate(views))


def shortest(phases: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The shortest sequence of phases whose repetition gives all of them."""
    count = len(phases)
    lengths = (length for length in range(1, count + 1) if count % length == 0)
    return next(phases[:length] for length in lengths if phases == phases[:length] * (count // length))
