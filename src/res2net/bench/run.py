"""A benchmark from its cases to its results."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from res2net.bench.cases import PRECISIONS, Case, Setting
from res2net.bench.machine import Watch, describe_machine
from res2net.bench.memory import peak_memory
from res2net.bench.peak import OPERATIONS, Peak, peak_run
from res2net.bench.results import Benchmark, Result, doubts
from res2net.bench.runtimes import export_case, make_run
from res2net.bench.subjects import Subject
from res2net.bench.timing import Samples, interleaved
from res2net.report.progress import progress_bar

__all__ = ["Files", "export_all", "run_benchmark"]

Files = Mapping[Case, Path | None]


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
    """Measure all cases in turn, and the machine's peak with them.

    Args:
        cases: of `plan`.
        subjects: the networks by name.
        setting: of all cases.
        files: of `export_all`.
        repetitions: rounds.
        seconds: a case that has taken longer sits out the other rounds.
        memory: also measure the memory of each case, in processes of their own.
        console: where progress is shown.

    Returns:
        What was measured; Ctrl-C while it is measured ends it early.

    Raises:
        InputError: a network does not run in a runtime.
    """
    console = console or Console(quiet=True)
    precisions = [precision for precision in PRECISIONS if any(case.precision == precision for case in cases)]
    with threads(setting.threads):
        runs: dict[Case | Peak, Callable[[], Any]] = {}
        for case in shown("prepare", cases, console):
            runs[case] = make_run(case, subjects[case.model], setting, files[case])
        runs |= {Peak(precision): peak_run(precision, setting.device) for precision in precisions}
        wait = torch.cuda.synchronize if setting.device == "cuda" else lambda: None
        # A bar that is drawn while something is measured would take a part of its time.
        with progress_bar(console, auto_refresh=False) as bar:
            task = bar.add_task("measure", total=repetitions * len(runs), note="")

            def done(key: Case | Peak) -> None:
                bar.update(task, advance=1, note=str(key), refresh=True)

            watch = Watch()
            found, finished = interleaved(runs, repetitions, seconds=seconds, wait=wait, done=done)
            warning = watch.warning()
    measured = [case for case in cases if found[case].seconds]
    memories: dict[Case, float] = {}
    if memory and finished:
        memories = {case: peak_memory(case, setting, files[case]) for case in shown("memory", measured, console)}
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
    peaks: Mapping[str, float],
    memories: Mapping[Case, float],
) -> list[Result]:
    """The results, each beside the first case of its group."""
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
    """The file of each case, or None where it needs none; they are there as long as the context lasts."""
    with tempfile.TemporaryDirectory() as folder:
        files: dict[Case, Path | None] = {}
        for case in shown("export", cases, console or Console(quiet=True)):
            files[case] = export_case(case, subjects[case.model], Path(folder))
        yield files


def shown(what: str, cases: Sequence[Case], console: Console) -> Iterator[Case]:
    """The cases, with a bar that moves on with them."""
    with progress_bar(console) as bar:
        task = bar.add_task(what, total=len(cases), note="")
        for case in cases:
            bar.update(task, note=str(case))
            yield case
            bar.advance(task)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Lets torch use so many threads, and no other number."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
