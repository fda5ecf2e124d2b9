"""Fair timing of several functions: interleaved, in many rounds, in one process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)

MAX_CALLS = 1000


@dataclass(frozen=True)
class Spread:
    """The distribution of several values."""

    median: float
    low: float
    """The lower quartile."""
    high: float
    """The upper quartile."""
    least: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value."""
        low, median, high = np.percentile(values, [25, 50, 75])
        return cls(float(median), float(low), float(high), min(values))

    @property
    def relative(self) -> float:
        """The interquartile range divided by the median."""
        return (self.high - self.low) / self.median


@dataclass
class Samples:
    """The measured times of one function."""

    calls: int = 1
    """Calls in a row per sample."""
    seconds: dict[int, float] = field(default_factory=dict)
    """Seconds per call, by round."""
    spent: float = 0.0
    """Total seconds of all rounds."""

    @property
    def spread(self) -> Spread:
        """The distribution over all rounds."""
        return Spread.of(list(self.seconds.values()))


def ratio(samples: Samples, base: Samples) -> Spread | None:
    """The distribution of the time relative to another function, in the same rounds, when the machine was as fast."""
    ratios = [seconds / base.seconds[turn] for turn, seconds in samples.seconds.items() if turn in base.seconds]
    return Spread.of(ratios) if ratios else None


def interleaved(
    cases: Mapping[Key, Callable[[], Any]],
    repetitions: int,
    *,
    seconds: float = math.inf,
    shortest: float = 0.3,
    wait: Callable[[], Any] = lambda: None,
    done: Callable[[Key], Any] = lambda _: None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[dict[Key, Samples], bool]:
    """Time every case once per round, one after the other, in reverse order in every other round.

    Before each sample the case runs untimed for a while: the previous case has left its own data in the caches, and
    its threads may still be waiting for work.

    Args:
        cases: the functions by key.
        repetitions: number of rounds.
        seconds: time limit of a case over all rounds: one that has taken longer skips the remaining rounds.
        shortest: least duration of a sample in seconds: faster functions are called several times in a row.
        wait: called before each reading of the clock; on a GPU it waits until all work is done.
        done: called after each sample with its key.
        clock: returns the time in seconds.

    Returns:
        The samples of each case, and whether all rounds were completed; Ctrl-C ends them early.
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
            timed(key, 1)  # the first call is not representative
            samples.calls = min(MAX_CALLS, max(1, math.ceil(shortest / max(timed(key, 1), 1e-9))))
        for turn in range(repetitions):
            # A case may affect the one after it.
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
