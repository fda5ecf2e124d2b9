"""A bar that moves on while something takes its time."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["progress_bar"]


def progress_bar(console: Console, *, auto_refresh: bool = True) -> Progress:
    """A bar with what is done, images a second, and the time left; nothing where the output is no terminal.

    Without `auto_refresh` it is drawn when `refresh` is called, and takes no time at others.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
        auto_refresh=auto_refresh,
        disable=not console.is_terminal,  # in a file, bars are noise
    )
