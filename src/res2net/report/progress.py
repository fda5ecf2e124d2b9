"""Progress bars in the terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from res2net.console import Console

T = TypeVar("T")


def progress_bar(console: Console, *, auto_refresh: bool = True) -> Progress:
    """A bar with the number of finished steps, a note and the remaining time; hidden if the output is not a terminal.

    Without `auto_refresh` it is redrawn only when `refresh` is called, and takes no time otherwise.
    """
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
        auto_refresh=auto_refresh,
        disable=not console.is_terminal,  # a bar in a log file is noise
    )


def track(description: str, items: Sequence[T], console: Console) -> Iterator[T]:
    """Iterate over items while a bar shows the current one, how many are done, and how many a second."""
    with progress_bar(console) as bar:
        task = bar.add_task(description, total=len(items), note="")
        started = time.monotonic()
        for done, item in enumerate(items):
            rate = f"{done / max(time.monotonic() - started, 1e-9):,.0f}/s  " if done else ""
            bar.update(task, note=f"{rate}{item}")
            yield item
            bar.advance(task)
