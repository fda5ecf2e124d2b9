"""What was measured, as tables, JSON and words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

from res2net.bench.cases import Case, Setting
from res2net.bench.timing import Samples, Spread, ratio
from res2net.measure import Counts
from res2net.report import Column, Table

__all__ = ["Benchmark", "Result"]

WIDE = 0.1
"""Distance of the quartiles over the median above which a measurement is doubted."""


@dataclass(frozen=True)
class Result:
    """One case with what was found."""

    case: Case
    counts: Counts
    """Of one image, in the network as it was made."""
    samples: Samples
    base: Samples
    """Those of the first case that it is compared with."""
    peak: float | None = None
    """Operations a second that the machine reaches in this precision."""
    memory: float | None = None
    """MiB."""

    @property
    def time(self) -> Spread:
        """Seconds of one call."""
        return self.samples.spread

    @property
    def ratio(self) -> Spread | None:
        """Time over that of the first case, by round."""
        return ratio(self.samples, self.base)

    @property
    def operations(self) -> float:
        """Multiplications and additions of convolutions and linear layers; a step of training takes three times."""
        return 2.0 * self.counts.macs * self.case.batch * (3 if self.case.training else 1)

    @property
    def of_peak(self) -> float | None:
        """Percentage of the machine's peak: the fastest round against the fastest product of matrices."""
        return 100 * self.operations / self.time.least / self.peak if self.peak else None

    def to_dict(self) -> dict[str, Any]:
        """All numbers and every sample, ready for JSON."""
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
    """All results of one run, those that are compared together."""

    results: Sequence[Result]
    peaks: Mapping[str, float]
    """Operations a second that the machine reached, by precision."""
    setting: Setting
    machine: Mapping[str, Any]
    warnings: Sequence[str] = field(default_factory=list)
    finished: bool = True
    """Whether all rounds came to their end."""

    def groups(self) -> Iterator[list[Result]]:
        """Results that are compared with each other."""
        for _, group in groupby(self.results, key=lambda result: result.case.group):
            yield list(group)

    def tables(self) -> Iterator[Table]:
        """One for each group."""
        for group in self.groups():
            yield result_table(group)

    def peak_line(self) -> str:
        """What the machine reaches, in words."""
        if not self.peaks:
            return "The machine's peak was not measured."
        parts = [
            f"{precision} {peak / 1e9:,.0f} G{'O' if precision == 'int8' else 'FLO'}P/s"
            for precision, peak in self.peaks.items()
        ]
        return f"The machine's peak, by a product of matrices in the same rounds: {', '.join(parts)}."

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "machine": dict(self.machine),
            "setting": asdict(self.setting),
            "peak_gflops": {precision: peak / 1e9 for precision, peak in self.peaks.items()},
            "finished": self.finished,
            "warnings": list(self.warnings),
            "results": [result.to_dict() for result in self.results],
        }


def result_table(group: Sequence[Result]) -> Table:
    """The table of results that are compared with each other."""
    case = group[0].case
    what = "Training step" if case.training else "Latency"
    title = f"{what}, {case.batch} image{'s' if case.batch > 1 else ''} of {case.size} px; ratio: time over the first"
    columns = [
        Column("model"),
        Column("runtime"),
        Column("precision"),
        Column("median", "ms", best="low"),
        Column("quartiles"),
        Column("least"),
        Column("images/s", digits=1),
        Column("ratio"),
        Column("quartiles"),
        Column("peak", "%", digits=0),
    ]
    rows: list[tuple[Any, ...]] = []
    for result in group:
        time, base = result.time, result.ratio
        rows.append(
            (
                result.case.model,
                result.case.runtime,
                result.case.precision,
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
    """A sentence where samples of a case lie far apart."""
    wide = [result for result in results if result.time.relative > WIDE]
    if not wide:
        return []
    worst = max(wide, key=lambda result: result.time.relative)
    return [
        f"The quartiles of {len(wide)} of {len(results)} cases are more than {WIDE:.0%} of the median apart, most of "
        f"{worst.case} ({worst.time.relative:.0%}): do not trust small differences."
    ]
