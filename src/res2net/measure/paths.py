"""How many paths through a network have which receptive field: polynomials whose exponents are sizes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

__all__ = ["PathCounts", "joined", "mean_field", "one_after_another"]

PathCounts: TypeAlias = Mapping[int, int]
"""For each receptive field in positions, the number of paths that have it, exactly; empty where it is not known."""


def one_after_another(first: PathCounts, second: PathCounts, stride: int) -> PathCounts:
    """The paths through two modules, of which the first has that stride: each of one goes on as each of the other.

    It is the product of two polynomials, with a term for each size and not for each path.
    """
    if len(second) == 1:
        ((further, times),) = second.items()
        return {size + stride * (further - 1): count * times for size, count in first.items()}
    counts: Counter[int] = Counter()
    for size, count in first.items():
        for further, times in second.items():
            counts[size + stride * (further - 1)] += count * times
    return dict(sorted(counts.items()))


def joined(first: PathCounts, second: PathCounts) -> PathCounts:
    """The paths through either of two modules whose outputs are added or concatenated: the sum of two polynomials."""
    if not first or not second:
        return {}
    counts = dict(first)
    for size, count in second.items():
        counts[size] = counts.get(size, 0) + count
    return dict(sorted(counts.items()))


def mean_field(paths: PathCounts) -> float:
    """The mean receptive field of all paths, in positions; NaN where they are not known."""
    total = sum(paths.values())
    # Divided as whole numbers: a network can have more paths than a float can count.
    return sum(size * count for size, count in paths.items()) / total if total else math.nan
