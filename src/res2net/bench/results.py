"""Results of a benchmark, as tables, JSON and text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

from res2net.bench.cases import Case, Precision, Setting
from res2net.bench.timing import Samples, Spread, ratio
from res2net.measure import Counts
from res2net.report import Column, Table

WIDE = 0.1
"""Interquartile range, relative to the median, above which a warning is given."""


@dataclass(frozen=True)
class Result:
    """The result of one case."""

    case: Case
    counts: Counts
    """Parameters and MACs of the original network, for one image."""
    samples: Samples
    base: Samples
    """Measured times of the first case of the group."""
    peak: float | None = None
    """Peak performance of the machine in this precision, in operations per second."""
    memory: float | None = None
    """Peak memory in MiB."""

    @property
    def time(self) -> Spread:
        """Seconds per call."""
        return self.samples.spread

    @property
    def ratio(self) -> Spread | None:
        """Time relative to the first case of the group, by round."""
        return ratio(self.samples, self.base)

    @property
    def operations(self) -> float:
        """Multiplications and additions of convolutions and linear layers; training counts three times."""
        return 2.0 * self.counts.macs * self.case.batch * (3 if self.case.training else 1)

    @property
    def of_peak(self) -> float | None:
        """Percentage of the machine's peak: the fastest round relative to the fastest matrix product."""
        return 100 * self.operations / self.time.least / self.peak if self.peak else None

    def to_dict(self) -> dict[str, Any]:
        """All values and every sample, as a dictionary for JSON."""
        base = self.ratio
        return asdict(self.case) | {
            "parameters": self.counts.parameters,
            "macs": self.counts.macs,
            "seconds": asdict(self.time),
            "images_per_second": self.case.batch / self.time.median,
            "ratio_to_first": asdict(base) if base else None,
            "gflops": self.operations / self.time.median / 1e9,
            "percent_of_peak": self.of_peak,
            "memory_mib": self.memory,
            "calls_in_a_sample": self.samples.calls,
            "samples_by_round": {str(turn): seconds for turn, seconds in sorted(self.samples.seconds.items())},
        }


@dataclass(frozen=True)
class Benchmark:
    """All results of one run, ordered by group."""

    results: Sequence[Result]
    peaks: Mapping[Precision, float]
    """Peak performance of the machine by precision, in operations per second."""
    setting: Setting
    machine: Mapping[str, Any]
    """Description of the machine."""
    warnings: Sequence[str] = field(default_factory=list)
    """Reasons to doubt the results."""
    finished: bool = True
    """Whether all rounds were completed."""

    def groups(self) -> Iterator[list[Result]]:
        """Iterate over the groups of results that are compared with each other."""
        for _, group in groupby(self.results, key=lambda result: result.case.group):
            yield list(group)

    def tables(self) -> Iterator[Table]:
        """Iterate over the tables, one per group."""
        return map(result_table, self.groups())

    def peak_line(self) -> str:
        """A sentence with the peak performance of the machine."""
        if not self.peaks:
            return "The peak of the machine was not measured."
        parts = [
            f"{precision} {peak / 1e9:,.0f} G{'O' if precision == 'int8' else 'FLO'}P/s"
            for precision, peak in self.peaks.items()
        ]
        return f"Peak of the machine, by a matrix product in the same rounds: {', '.join(parts)}."

    def to_dict(self) -> dict[str, Any]:
        """The whole benchmark, as a dictionary for JSON."""
        return {
            "machine": dict(self.machine),
            "setting": asdict(self.setting),
            "peak_gflops": {precision: peak / 1e9 for precision, peak in self.peaks.items()},
            "finished": self.finished,
            "warnings": list(self.warnings),
            "results": [result.to_dict() for result in self.results],
        }


def result_table(group: Sequence[Result]) -> Table:
    """The table of one group of results."""
    case = group[0].case
    what = "Training step" if case.training else "Latency"
    title = f"{what}, {case.batch} image{'s' if case.batch > 1 else ''} of {case.size} px; ratio: time over the first"
    columns = [
        *map(Column, ("model", "runtime", "precision")),
        Column("median", "ms", best="low"),
        *map(Column, ("quartiles", "least")),
        Column("images/s", digits=1),
        *map(Column, ("ratio", "quartiles")),
        Column("peak", "%", digits=0),
    ]
    rows: list[tuple[Any, ...]] = []
    for result in group:
        time, base = result.time, result.ratio
        rows.append(
            (
                *(result.case.model, result.case.runtime, result.case.precision),
                1e3 * time.median,
                f"{1e3 * time.low:.2f} - {1e3 * time.high:.2f}",
                1e3 * time.least,
                result.case.batch / time.median,
                base.median if base else None,
                f"{base.low:.2f} - {base.high:.2f}" if base else "",
                result.of_peak,
            )
        )
    if any(result.memory is not None for result in group):
        columns.append(Column("memory", "MiB", digits=0, best="low"))
        rows = [(*row, result.memory) for row, result in zip(rows, group, strict=True)]
    return Table(title, columns, rows)


def doubts(results: Sequence[Result]) -> list[str]:
    """Warnings about cases whose samples vary much."""
    wide = [result for result in results if result.time.relative > WIDE]
    if not wide:
        return []
    worst = max(wide, key=lambda result: result.time.relative)
    return [
        f"The interquartile range of {len(wide)} of {len(results)} cases is above {WIDE:.0%} of the median, at most "
        f"{worst.time.relative:.0%} ({worst.case}): do not trust small differences."
    ]
