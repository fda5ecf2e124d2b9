"""The run of a benchmark: from cases to results."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from res2net.bench.cases import PRECISIONS, Case, Precision, Setting, Subject
from res2net.bench.machine import OPERATIONS, LoadMonitor, Peak, describe_machine, peak_run
from res2net.bench.memory import peak_memory
from res2net.bench.results import Benchmark, Result, doubts
from res2net.bench.runtimes import export_case, make_run
from res2net.bench.timing import Samples, interleaved
from res2net.console import Console
from res2net.report.progress import progress_bar, track

Files = Mapping[Case, Path | None]
"""The exported network of each case; None for cases that run the network itself."""


def run_benchmark(
    cases: Sequence[Case],
    subjects: Mapping[str, Subject],
    setting: Setting,
    files: Files,
    *,
    repetitions: int = 15,
    seconds: float = 60.0,
    memory: bool = False,
    console: Console | None = None,
) -> Benchmark:
    """Measure all cases, interleaved with each other and with the peak performance of the machine.

    Args:
        cases: the cases, from `plan`.
        subjects: the networks by name.
        setting: the settings of the benchmark.
        files: the exported networks, from `export_all`.
        repetitions: number of rounds.
        seconds: time limit of a case: one that has taken longer skips the remaining rounds.
        memory: also measure the peak memory of each case, each in a process of its own.
        console: the console for progress bars; by default none are shown.

    Returns:
        The results; after Ctrl-C, those of the rounds until then.

    Raises:
        InputError: a network does not run in a runtime.
    """
    console = console or Console(quiet=True)
    precisions = [precision for precision in PRECISIONS if any(case.precision == precision for case in cases)]
    with threads(setting.threads):
        runs: dict[Case | Peak, Callable[[], Any]] = {}
        for case in track("prepare", cases, console):
            runs[case] = make_run(case, subjects[case.model], setting, files[case])
        runs |= {Peak(precision): peak_run(precision, setting.device) for precision in precisions}
        wait = torch.cuda.synchronize if setting.device == "cuda" else lambda: None
        # The bar is redrawn between measurements only, so that it takes no time from them.
        with progress_bar(console, auto_refresh=False) as bar:
            task = bar.add_task("measure", total=repetitions * len(runs), note="")

            def done(key: Case | Peak) -> None:
                bar.update(task, advance=1, note=str(key), refresh=True)

            monitor = LoadMonitor()
            found, finished = interleaved(runs, repetitions, seconds=seconds, wait=wait, done=done)
            warning = monitor.warning()
    measured = [case for case in cases if found[case].seconds]
    memories: dict[Case, float] = {}
    if memory and finished:
        memories = {case: peak_memory(case, setting, files[case]) for case in track("memory", measured, console)}
    peaks = {
        precision: OPERATIONS[setting.device] / found[Peak(precision)].spread.least
        for precision in precisions
        if found[Peak(precision)].seconds
    }
    results = collected(measured, subjects, {case: found[case] for case in measured}, peaks, memories)
    warnings = ([warning] if warning else []) + doubts(results)
    return Benchmark(results, peaks, setting, describe_machine(setting), warnings, finished)


def collected(
    cases: Sequence[Case],
    subjects: Mapping[str, Subject],
    samples: Mapping[Case, Samples],
    peaks: Mapping[Precision, float],
    memories: Mapping[Case, float],
) -> list[Result]:
    """Collect the results, each with the samples of the first case of its group."""
    first: dict[tuple[bool, int], Samples] = {}
    counts = {(case.model, case.size): subjects[case.model].count(case.size) for case in dict.fromkeys(cases)}
    return [
        Result(
            case,
            counts[case.model, case.size],
            samples[case],
            first.setdefault(case.group, samples[case]),
            peaks.get(case.precision),
            memories.get(case),
        )
        for case in cases
    ]


@contextmanager
def export_all(
    cases: Sequence[Case], subjects: Mapping[str, Subject], console: Console | None = None
) -> Iterator[Files]:
    """Export the network of each case that needs it; the files are deleted at the end of the `with` block."""
    with tempfile.TemporaryDirectory() as folder:
        files: dict[Case, Path | None] = {}
        for case in track("export", cases, console or Console(quiet=True)):
            files[case] = export_case(case, subjects[case.model], Path(folder))
        yield files


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Set the number of torch's threads within a `with` block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
