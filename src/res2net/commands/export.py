"""`res2net export`: a network as a file that another program runs, compared with the network it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import tyro
from rich.console import Console

from res2net.commands.arguments import split_task
from res2net.commands.parser import parse
from res2net.errors import InputError
from res2net.export.settings import ExportSettings

__all__ = ["run"]

ABOUT = "Write a network to a file that torch, ONNX Runtime or OpenVINO runs, and compare the two."
FRESH = "fresh weights"
"""What is stated of weights that nobody trained."""


@dataclass(frozen=True, kw_only=True)
class Arguments(ExportSettings):
    """What is exported how."""

    source: tyro.conf.Positional[str]
    """A checkpoint of `res2net train`, or the name of a model."""
    weights: str | None = None
    """With the name of a model: a checkpoint file, or a tag such as "in1k"."""


def run(arguments: Sequence[str]) -> None:
    """Export, compare, and print."""
    name, words = split_task(arguments)
    chosen = parse(Arguments, "export", words, ABOUT)

    from res2net.engine.restore import restore_task
    from res2net.export.make import export_task
    from res2net.task.base import TASKS
    from res2net.weights import read_checkpoint

    settings = ExportSettings(**{entry.name: getattr(chosen, entry.name) for entry in fields(ExportSettings)})
    if Path(chosen.source).suffix or Path(chosen.source).exists():
        if chosen.weights:
            raise InputError(f"{chosen.source} is a checkpoint itself: leave out --weights.")
        if Path(chosen.source).is_file() and "model" not in read_checkpoint(chosen.source).metadata:
            raise InputError(
                f"{chosen.source} does not state which model it holds: "
                f"`res2net export MODEL --weights {chosen.source}`."
            )
        task, checkpoint = restore_task(chosen.source, None, name)
        metadata = dict(checkpoint.metadata) | {"source": Path(chosen.source).name}
    elif chosen.weights:
        task, checkpoint = restore_task(chosen.weights, chosen.source, name)
        metadata = dict(checkpoint.metadata)
    else:
        task = TASKS[name].restore(chosen.source, None)
        metadata = {"source": FRESH}
        Console(stderr=True).print("The weights are fresh: name trained ones by --weights.", highlight=False)
    console = Console()
    path = export_task(task, metadata, settings, console).path
    console.print(f"{path} and {path.name}.json", highlight=False, markup=False, soft_wrap=True)
