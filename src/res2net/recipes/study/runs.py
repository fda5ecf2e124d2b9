"""The runs of a study: each configuration with each seed, several at a time, finished ones read instead of repeated."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from res2net.bench.machine import cores
from res2net.console import Console
from res2net.engine.changes import changed_options, scaled_to
from res2net.engine.config import RESUMABLE, DataConfig, TrainConfig, read_config, to_yaml
from res2net.engine.folder import RunFolder
from res2net.engine.report import train_with_report
from res2net.engine.stop import StoppedError, stop_at_once
from res2net.engine.train import open_data, with_model
from res2net.errors import InputError
from res2net.recipes.study.plan import tuned_arms, with_option
from res2net.recipes.study.result import FinishedRun, Study
from res2net.report.progress import progress_bar
from res2net.task.base import TASKS
from res2net.weights.files import atomic_write

FREE = set(RESUMABLE) - {"epochs"}
"""Options that may differ between the runs in the folder of a study and those that are asked for."""
POLL_SECONDS = 1.0


@dataclass
class Planned:
    """A run of a study."""

    arm: str
    seed: int
    config: TrainConfig[Any]
    folder: RunFolder

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.arm}, seed {self.seed}"

    def rows(self) -> list[dict[str, float]]:
        """The metrics of its epochs so far."""
        return self.folder.read_metrics()

    def is_finished(self) -> bool:
        """Whether all epochs are trained and evaluated."""
        return len(self.rows()) >= self.config.optim.epochs and self.folder.weights.exists()

    def resumable(self) -> RunFolder | None:
        """Its folder, if it has a state to resume from."""
        return self.folder if self.folder.state.is_file() else None


def run_study(
    arms: Mapping[str, TrainConfig[Any]],
    seeds: Sequence[int],
    folder: str | Path,
    *,
    jobs: int = 1,
    console: Console | None = None,
) -> Study:
    """Train every configuration with every seed, and return the scores.

    The configurations take turns within each seed, so that a change in the speed of the machine affects all of them.
    Runs that are finished in the folder are read, and those that were stopped are resumed bit-exactly.

    Args:
        arms: the configurations by the names that tables show; `seed` and `out` of each are replaced.
        seeds: the seeds, the same for all.
        folder: where the folders of the runs are.
        jobs: runs at a time. With more than one, each is a process of `res2net train` with its share of the
            processors; for small networks that is faster than one run with all of them. A score can differ in the last
            digits from that of another number of jobs, since sums over more threads have another order.
        console: where progress is shown.

    Raises:
        InputError: the folder has runs with other options, or a run fails; what is finished stays.
        StoppedError: it was asked to stop; the runs have been saved, and the same call goes on.
    """
    console = console or Console()
    if not arms or not seeds:
        raise InputError("A study needs at least one model and one seed: give some.")
    if len(set(seeds)) != len(seeds):
        raise InputError(f"The seeds {', '.join(map(str, seeds))} are not all different: leave out the repeated ones.")
    runs = plan_runs(arms, seeds, Path(folder))
    waiting = [run for run in runs if not run.is_finished()]
    if done := len(runs) - len(waiting):
        console.print(f"{done} of {len(runs)} runs are finished.", highlight=False)
    if jobs > 1 and len(waiting) > 1:
        with progress_bar(console) as bar:
            _train_processes(waiting, min(jobs, len(waiting)), Path(folder), console, bar, runs)
    else:
        for run in waiting:
            console.print(f"\n[bold]{run.name}[/bold]", highlight=False)
            train_with_report(run.config, resume=run.resumable(), console=console)
    finished: dict[str, list[FinishedRun]] = {name: [] for name in arms}
    for run in runs:
        finished[run.arm].append(FinishedRun(run.seed, run.folder, run.rows()))
    return Study(dict(arms), tuple(seeds), finished)


def tune(
    arms: Mapping[str, TrainConfig[Any]],
    option: str,
    values: Sequence[Any],
    folder: str | Path,
    *,
    epochs: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    console: Console | None = None,
) -> tuple[dict[str, TrainConfig[Any]], list[list[str | float]]]:
    """Choose the value of a training option for each arm by itself, with the same trials for all.

    Each value is trained on nine tenths of the training split and scored, after the last epoch, on the rest, so that
    the validation split decides nothing. Data without splits are scored on their validation part.

    Args:
        arms: the configurations by name.
        option: the option, by the name that the command line uses, such as "lr".
        values: its values.
        folder: where the folders of these runs are.
        epochs: epochs of these runs, to which schedules are scaled; by default those of the configuration.
        seed: the seed of all of them.
        jobs: runs at a time.
        console: where progress is shown.

    Returns:
        The arms with their best values, and a row for each arm: its name and the scores in the order of `values`.

    Raises:
        InputError: there is no such option, or as `run_study`.
        StoppedError: as `run_study`.
    """
    trials: dict[str, TrainConfig[Any]] = {}
    first = next(iter(arms.values()))
    without_splits = held_out(first) == first.data
    for name, config in tuned_arms(arms, option, values).items():
        shorter = config if epochs is None else scaled_to({"epochs": epochs}, config)[0]
        trials[name] = shorter if without_splits else replace(shorter, data=_tenth(shorter.data))
    study = run_study(trials, (seed,), folder, jobs=jobs, console=console)
    scores = iter([score for (score,) in study.scores().values()])
    best: dict[str, TrainConfig[Any]] = {}
    rows: list[list[str | float]] = []
    for name, config in arms.items():
        row = [next(scores) for _ in values]
        best[name] = with_option(config, option, values[max(range(len(row)), key=row.__getitem__)])
        rows.append([name, *row])
    return best, rows


def held_out(config: TrainConfig[Any]) -> DataConfig:
    """The data of a configuration, validated on a tenth of the training split if there are splits."""
    about = open_data(config).val_about
    if about.startswith("val: "):  # the training divides them itself
        return config.data
    return _tenth(config.data)


def _tenth(data: DataConfig) -> DataConfig:
    split = data.train_split or "train"
    return replace(data, train_split=split, val_split=split, val_fraction=0.1)


def plan_runs(arms: Mapping[str, TrainConfig[Any]], seeds: Sequence[int], folder: Path) -> list[Planned]:
    """The runs in the order in which they are trained.

    Raises:
        InputError: two arms would have the same folder, or a folder has a run with other options.
    """
    slugs = {name: re.sub(r"[^\w.=-]+", "-", name).strip("-") or "arm" for name in arms}
    if len(set(slugs.values())) < len(slugs):
        raise InputError(f"The names {', '.join(arms)} are too alike for folders of their own: change one.")
    planned = []
    for seed in seeds:
        for name, config in arms.items():
            path = folder / f"{slugs[name]}-seed{seed}"
            run = Planned(name, seed, replace(with_model(config), seed=seed, out=str(path)), RunFolder(path))
            if run.folder.config.is_file():
                before = read_config(run.folder.config)
                changed = [one for one in changed_options(before, run.config) if one not in FREE | {"out"}]
                if changed:
                    options = ", ".join(f"--{one.replace('_', '-')}" for one in changed)
                    raise InputError(
                        f"The run in {path} has another {options} than this study: choose another --out, or remove it."
                    )
            planned.append(run)
    return planned


def _train_processes(
    waiting: Sequence[Planned], jobs: int, folder: Path, console: Console, bar: Any, runs: Sequence[Planned]
) -> None:
    """Train runs in processes, each with its share of the processors."""
    threads = max(1, len(cores()) // jobs)
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    queue = list(waiting)
    active: dict[subprocess.Popen[bytes], tuple[Planned, int]] = {}
    total = sum(run.config.optim.epochs for run in runs)
    trained = {run.name: len(run.rows()) for run in runs}
    overall = bar.add_task(f"{len(runs)} runs", total=total, completed=sum(trained.values()), note="epochs")
    with _none_outlives(active):
        while queue or active:
            while queue and len(active) < jobs:
                run = queue.pop(0)
                process = _start(run, threads, logs)
                lines = run.config.optim.epochs
                active[process] = run, bar.add_task(run.name, total=lines, completed=trained[run.name], note="")
            time.sleep(POLL_SECONDS)
            for process, (run, line) in list(active.items()):
                rows = run.rows()
                trained[run.name] = len(rows)
                bar.update(line, completed=len(rows), note=_note(run, rows))
                if process.poll() is None:
                    continue
                del active[process]
                bar.remove_task(line)
                if process.returncode:
                    _raise_failed(run, process.returncode, logs)
                console.out(f"{run.name}: {_note(run, rows)}", highlight=False)
            bar.update(overall, completed=sum(trained.values()))


def _start(run: Planned, threads: int, logs: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "COLUMNS": "120"}
    words = [sys.executable, "-m", "res2net", "train"]
    if (resumed := run.resumable()) is not None:
        words += ["--resume", str(resumed.path), run.config.source]
    else:
        run.folder.path.mkdir(parents=True, exist_ok=True)
        config = logs / f"{run.folder.path.name}.yaml"
        atomic_write(config, to_yaml(run.config).encode())
        words += [run.config.task_name, run.config.source, "--config", str(config)]
    with (logs / f"{run.folder.path.name}.log").open("ab") as log:
        # In a session of its own, so that Ctrl-C reaches it once: from here.
        return subprocess.Popen(  # noqa: S603 - this interpreter, and no shell
            words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


@contextlib.contextmanager
def _none_outlives(active: Mapping[subprocess.Popen[bytes], tuple[Planned, int]]) -> Iterator[None]:
    """Stop and save the processes however the block ends, also by a signal, which raises `StoppedError`."""
    try:
        with stop_at_once(lambda: next((run.folder.path for run, _ in active.values()), Path())):
            yield
    finally:
        for process in active:
            process.terminate()
        for process in active:
            process.wait()


def _raise_failed(run: Planned, status: int, logs: Path) -> None:
    log = logs / f"{run.folder.path.name}.log"
    lines = [line for line in log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    last = lines[-1].removeprefix("res2net: ") if lines else f"exit status {status}"
    if status == 1 and any("Stopped and saved" in line for line in lines[-3:]):
        raise StoppedError(run.folder.path)
    raise InputError(f"The run {run.name} failed, see {log}: {last}")


def _note(run: Planned, rows: Sequence[Mapping[str, float]]) -> str:
    scoring = TASKS[run.config.task_name].scoring
    score = rows[-1].get(f"val_{scoring.monitor}") if rows else None
    return "" if score is None else f"{scoring.monitor} {score:.2f} {scoring.unit(scoring.monitor)}".rstrip()
