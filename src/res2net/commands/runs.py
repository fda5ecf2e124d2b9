"""`res2net runs` and `res2net report`: list and compare runs, and write the report of one that was interrupted."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from res2net.commands.parser import parse
from res2net.console import Console
from res2net.engine.config import read_config
from res2net.errors import InputError

if TYPE_CHECKING:
    from res2net.engine.folder import RunFolder

ABOUT = """List the runs in a folder, at any depth: model, data, epochs, best score, and whether each is finished,
running or stopped."""
ABOUT_REPORT = """Write report.html of a run that was interrupted: its curves until then, and an evaluation of its best
weights."""


@dataclass(frozen=True)
class Arguments:
    """The folder of the runs."""

    folder: tyro.conf.Positional[str] = "runs"
    """A folder of runs."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class ReportArguments:
    """The run."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """The folder of the run."""
    source: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="SOURCE")] = None
    """Where its data are now; by default where they were."""


@dataclass(frozen=True)
class Run:
    """What is known of a run without loading its weights."""

    path: str
    task: str
    model: str
    data: str
    epochs: int
    """Epochs that are trained."""
    planned: int
    score: str
    """The name of the score that decides which epoch is the best."""
    best: float | None
    """The best score so far; None before the first evaluation."""
    best_epoch: int | None
    """The epoch of the best score."""
    state: str
    """"running", "finished", "stopped", or "not begun" before the first checkpoint."""


def run(arguments: Sequence[str]) -> None:
    """Print the table of runs, or a list of them as JSON."""
    chosen = parse(Arguments, "runs", arguments, ABOUT)
    if not Path(chosen.folder).is_dir():
        raise InputError(f"There is no folder {chosen.folder}: give one that holds runs.")
    notes: list[str] = []
    runs = list(_runs(Path(chosen.folder), notes))
    if chosen.json:
        print(json.dumps([asdict(one) for one in runs], indent=2))
        return
    if not runs and not notes:
        raise InputError(f"The folder {chosen.folder} has no runs: give one that holds folders of `res2net train`.")

    from res2net.report import Column, Table

    # Paths below the folder that was asked for are short enough for a terminal.
    names = {one.path: os.path.relpath(one.path, chosen.folder) for one in runs}
    columns = ("run", "task", "model", "data", "epochs", "score", "best", "state")
    rows = [
        (names[one.path], one.task, one.model, one.data, f"{one.epochs}/{one.planned}", one.score, one.best, one.state)
        for one in runs
    ]
    console = Console()
    console.print(Table("", tuple(map(Column, columns)), rows).to_rich())
    for note in notes:
        console.out(note)


def _runs(folder: Path, notes: list[str]) -> Iterator[Run]:
    """Read the runs below a folder; what cannot be read is added to `notes`."""
    from res2net.engine.folder import RunFolder

    for path in sorted(folder.rglob("config.yaml")):
        try:
            yield read_run(RunFolder(path.parent))
        except InputError as error:
            notes.append(str(error))


def read_run(folder: RunFolder) -> Run:
    """Read what is known of a run; raises `InputError` if its configuration or its table is damaged."""
    from res2net.task.base import TASKS
    from res2net.weights.files import read_metadata

    config, rows = read_config(folder.config), folder.read_metrics()
    metadata = read_metadata(folder.weights) if folder.weights.is_file() else {}
    score = metadata.get("score") or TASKS[config.task_name].scoring.monitor
    scores = {row["epoch"]: row[f"val_{score}"] for row in rows if f"val_{score}" in row}
    best = max((epoch for epoch, one in scores.items() if one == one), key=scores.__getitem__, default=None)
    planned = config.optim.epochs
    state = "stopped" if folder.state.is_file() else "not begun"
    if folder.is_locked():
        state = "running"
    elif rows and (len(rows) >= planned or _is_newer(folder.report, folder.state)):
        state = "finished"  # the report is written at the end, also where a run ends early
    return Run(
        str(folder.path),
        config.task_name,
        config.model.model,
        config.source,
        len(rows),
        planned,
        score,
        None if best is None else scores[best],
        None if best is None else int(best),
        state,
    )


def _is_newer(file: Path, other: Path) -> bool:
    return file.is_file() and (not other.is_file() or file.stat().st_mtime >= other.stat().st_mtime)


def report(arguments: Sequence[str]) -> None:
    """Write the report of a run."""
    chosen = parse(ReportArguments, "report", arguments, ABOUT_REPORT)

    from res2net.engine.folder import RunFolder
    from res2net.engine.report import report_of_run

    folder, console = RunFolder.of_run(chosen.run), Console()
    report_of_run(folder, chosen.source, console)
    console.out(f"Report: {folder.report}")
