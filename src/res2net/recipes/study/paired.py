"""Statistics of scores over seeds: confidence intervals, paired tests, and their correction for several comparisons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from res2net.errors import InputError

LEVEL = 0.95
"""The confidence level of every interval."""


class Interval(NamedTuple):
    """A mean with its confidence interval."""

    mean: float
    std: float
    """The standard deviation of a sample (n - 1); NaN for one value."""
    low: float
    high: float


class Paired(NamedTuple):
    """The difference of two models, seed by seed."""

    mean: float
    low: float
    high: float
    p: float
    """Probability of a mean difference at least this large, in either direction, if the models were equally good."""
    wins: int
    """Seeds in which the first is better."""

    @property
    def text(self) -> str:
        """The difference with its confidence interval, such as "+0.96 [-0.14, +2.07]"."""
        return f"{self.mean:+.2f}" + ("" if math.isnan(self.low) else f" [{self.low:+.2f}, {self.high:+.2f}]")


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of values with Student's confidence interval of `LEVEL`; its limits are NaN for one value.

    Raises:
        InputError: there are no values.
    """
    if not values:
        raise InputError("There are no scores to average: give at least one.")
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan, math.nan)
    std = float(np.std(values, ddof=1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)) * std / math.sqrt(len(values))
    return Interval(mean, std, mean - half, mean + half)


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Paired:
    """The mean of `first - second` with its confidence interval, and the p value of the paired t-test (two-sided).

    Pairs are runs of the same seed. For one pair the interval and p are NaN; for equal differences, p is 0 or 1.

    Raises:
        InputError: the numbers of scores differ, or there are none.
    """
    if len(first) != len(second):
        raise InputError(f"{len(first)} and {len(second)} scores make no pairs: give one of each seed for both.")
    differences = [a - b for a, b in zip(first, second, strict=True)]
    interval = mean_interval(differences)
    wins = sum(difference > 0 for difference in differences)
    if len(differences) < 2:
        p = math.nan
    elif interval.std == 0:
        p = 1.0 if interval.mean == 0 else 0.0
    else:
        p = float(stats.ttest_1samp(differences, 0.0).pvalue)
    return Paired(interval.mean, interval.low, interval.high, p, wins)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for the number of comparisons (Holm, 1979); NaN, which is no comparison, stays NaN."""
    order = sorted((index for index, p in enumerate(p_values) if not math.isnan(p)), key=lambda index: p_values[index])
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, p_values[index] * (len(order) - rank)))
        corrected[index] = largest
    return corrected
