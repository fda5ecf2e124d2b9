"""`res2net export`: write a network to a file for another program, and compare the file with the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated

import tyro

from res2net.commands.arguments import split_task
from res2net.commands.parser import parse
from res2net.console import Console
from res2net.errors import InputError
from res2net.export.settings import ExportSettings

ABOUT = "Write a network to a file that torch, ONNX Runtime or OpenVINO runs, and compare the two."
FRESH = "fresh weights"
"""Source of the weights in the metadata of a network that is not trained."""


@dataclass(frozen=True, kw_only=True)
class Arguments(ExportSettings):
    """A network, and the file to export it to."""

    source: tyro.conf.Positional[str]
    """A checkpoint, the name of weights that ship, or the name of a model."""
    weights: Annotated[str | None, "FILE|TAG"] = None
    """Weights for the name of a model: a checkpoint file, or a tag such as "in1k"."""


def run(arguments: Sequence[str]) -> None:
    """Export a network, compare the file with it, and print the differences."""
    name, words = split_task(arguments)
    chosen = parse(Arguments, "export", words, ABOUT)

    from res2net.engine.restore import restore_task
    from res2net.export.make import export_task
    from res2net.task.base import TASKS
    from res2net.weights import checkpoint_path, read_checkpoint

    settings = ExportSettings(**{entry.name: getattr(chosen, entry.name) for entry in fields(ExportSettings)})
    path = checkpoint_path(chosen.source)
    if path.suffix or path.exists():
        if chosen.weights:
            raise InputError(f"{chosen.source} is a checkpoint itself: leave out --weights.")
        if path.is_file() and "model" not in read_checkpoint(chosen.source).metadata:
            raise InputError(
                f"{chosen.source} does not state which model it holds: "
                f"`res2net export MODEL --weights {chosen.source}`."
            )
        task, checkpoint = restore_task(chosen.source, None, name)
        metadata = dict(checkpoint.metadata) | {"source": path.name}
    elif chosen.weights:
        task, checkpoint = restore_task(chosen.weights, chosen.source, name)
        metadata = dict(checkpoint.metadata)
    else:
        task = TASKS[name].restore(chosen.source, None)
        metadata = {"source": FRESH}
    console = Console()
    path = export_task(task, metadata, settings, console).path
    if metadata.get("source") == FRESH:
        Console(stderr=True).print("The weights are not trained: give trained ones with --weights.", highlight=False)
    console.out(f"{path} and {path.name}.json", highlight=False)
