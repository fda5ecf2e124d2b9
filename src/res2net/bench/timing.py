"""Time several things fairly: all of them in turn, many times, in one process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

__all__ = ["Samples", "Spread", "interleaved", "ratio"]

Key = TypeVar("Key", bound=Hashable)

SHORTEST = 0.3
"""Seconds that a sample takes at least: what is faster is called several times in a row."""
MOST_CALLS = 1000


@dataclass(frozen=True)
class Spread:
    """Several numbers, summarised."""

    median: float
    low: float
    """The lower quartile."""
    high: float
    """The upper quartile."""
    least: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one number."""
        low, median, high = np.percentile(values, [25, 50, 75])
        return cls(float(median), float(low), float(high), min(values))

    @property
    def relative(self) -> float:
        """Distance of the quartiles over the median."""
        return (self.high - self.low) / self.median


@dataclass
class Samples:
    """How long one thing took."""

    calls: int = 1
    """Calls in a row that one sample is the mean of."""
    seconds: dict[int, float] = field(default_factory=dict)
    """Of one call, by round."""
    spent: float = 0.0
    """Seconds that all rounds took together."""

    @property
    def spread(self) -> Spread:
        """The summary of all rounds."""
        return Spread.of(list(self.seconds.values()))


def ratio(samples: Samples, base: Samples) -> Spread | None:
    """Time over the time of another in the same round, so that a machine that slows down slows both."""
    ratios = [seconds / base.seconds[turn] for turn, seconds in samples.seconds.items() if turn in base.seconds]
    return Spread.of(ratios) if ratios else None


def interleaved(
    cases: Mapping[Key, Callable[[], Any]],
    repetitions: int,
    *,
    seconds: float = math.inf,
    shortest: float = SHORTEST,
    wait: Callable[[], Any] = lambda: None,
    done: Callable[[Key], Any] = lambda _: None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[dict[Key, Samples], bool]:
    """Time every case once in each round, in turn, every other round backwards.

    Before a sample the case runs a while untimed: what ran before it has left its own data in the caches, and its
    threads may still be waiting for work.

    Args:
        cases: what is called.
        repetitions: rounds.
        seconds: a case that has taken longer, all rounds together, sits out the rest.
        shortest: seconds that a sample takes at least.
        wait: called before each look at the clock; on a GPU it waits until all is done.
        done: called after each sample with its key.
        clock: in seconds.

    Returns:
        The samples of each case, and whether all rounds came to their end, or Ctrl-C ended them.
    """
    found: dict[Key, Samples] = {key: Samples() for key in cases}

    def timed(key: Key, calls: int) -> float:
        wait()
        start = clock()
        for _ in range(calls):
            cases[key]()
        wait()
        return clock() - start

    try:
        for key, samples in found.items():
            timed(key, 1)  # the first call is no measure of the others
            samples.calls = min(MOST_CALLS, max(1, math.ceil(shortest / max(timed(key, 1), 1e-9))))
        for turn in range(repetitions):
            # Neighbours in the order may warm or cool each other.
            for key in list(cases)[:: -1 if turn % 2 else 1]:
                samples = found[key]
                if samples.spent <= seconds:
                    before = timed(key, -(-samples.calls // 2))
                    took = timed(key, samples.calls)
                    samples.seconds[turn] = took / samples.calls
                    samples.spent += before + took
                done(key)
    except KeyboardInterrupt:
        return found, False
    return found, True
