"""What one position of an output sees of an input, and how that adds up along and across the paths of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from res2net.errors import InputError
from res2net.measure.paths import PathCounts, joined, one_after_another

__all__ = ["ReceptiveField"]


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
    turns: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    """Behind a map that was enlarged, neighbours do not see the same way around them: `(first, last)` of positions 0,
    1, ... until it repeats, each without its `i * stride`. `first` and `last` are then those of the turn that sees
    most, and a path's number of positions is the mean of all turns."""

    def __post_init__(self) -> None:
        turns = shortest(self.turns or ((self.first, self.last),))
        first, last = max(turns, key=lambda turn: turn[1] - turn[0])
        for name, value in (("turns", turns), ("first", first), ("last", last)):
            object.__setattr__(self, name, value)
        if not self.paths and self.smallest == self.largest:
            object.__setattr__(self, "paths", {self.smallest: 1})

    @property
    def largest(self) -> int:
        """Positions that all paths together span: the receptive field."""
        return self.last - self.first + 1

    def at(self, position: int) -> tuple[int, int]:
        """The first and the last position that a position of the output sees."""
        first, last = self.turns[position % len(self.turns)]
        return first + position * self.stride, last + position * self.stride

    def then(self, after: ReceptiveField) -> ReceptiveField:
        """What the output of a second module sees of the input of this one."""
        stride = self.stride * after.stride
        count = math.lcm(len(after.turns), len(self.turns) // math.gcd(len(self.turns), after.stride))
        return ReceptiveField(
            smallest=self.smallest + self.stride * (after.smallest - 1),
            stride=stride,
            paths=one_after_another(self.paths, after.paths, self.stride),
            turns=self._turns([after.at(position) for position in range(count)], stride),
        )

    def beside(self, other: ReceptiveField) -> ReceptiveField:
        """What the sum, or the concatenation, of the outputs of two modules sees of their common input."""
        assert self.stride == other.stride, "outputs that are joined have one size"
        turns = [
            (min(self.at(position)[0], other.at(position)[0]), max(self.at(position)[1], other.at(position)[1]))
            for position in range(math.lcm(len(self.turns), len(other.turns)))
        ]
        return ReceptiveField(
            smallest=min(self.smallest, other.smallest),
            stride=self.stride,
            paths=joined(self.paths, other.paths),
            turns=relative(turns, self.stride),
        )

    def enlarged(self, times: int, kernel_size: int | None = None, padding: int = 0) -> ReceptiveField:
        """What a map of `times` as many positions sees that is made of the output.

        Each position is repeated; or with `kernel_size` and `padding` it is a transposed convolution.

        Raises:
            InputError: positions of the larger map would lie between those of the input, or some would see nothing.
        """
        size = times if kernel_size is None else kernel_size
        if self.stride % times or size < times:
            raise InputError(
                f"The receptive field behind an enlargement {times} times is not known: it needs a stride before it "
                "that it divides, and a kernel of that size."
            )
        stride = self.stride // times
        views = [
            (-((size - 1 - position - padding) // times), (position + padding) // times)
            for position in range(times * len(self.turns))
        ]
        further = stride * (size - times)
        return ReceptiveField(
            smallest=self.smallest + further,
            stride=stride,
            paths={view + further: count for view, count in self.paths.items()},
            turns=self._turns(views, stride),
        )

    def _turns(self, views: Sequence[tuple[int, int]], stride: int) -> tuple[tuple[int, int], ...]:
        """The turns of what sees positions `views` of the output, its own position 0, 1, ..., at that stride."""
        return relative([(self.at(first)[0], self.at(last)[1]) for first, last in views], stride)


def relative(views: Sequence[tuple[int, int]], stride: int) -> tuple[tuple[int, int], ...]:
    """Views of positions 0, 1, ... as turns."""
    return tuple((first - index * stride, last - index * stride) for index, (first, last) in enumerate(views))


def shortest(turns: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The turns without repetition."""
    count = len(turns)
    lengths = (length for length in range(1, count + 1) if count % length == 0)
    return next(turns[:length] for length in lengths if turns == turns[:length] * (count // length))
