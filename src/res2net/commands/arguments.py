"""Options that several commands share, and the task that a command is for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from res2net.errors import InputError, nearest
from res2net.task import task_names

if TYPE_CHECKING:
    from res2net.api import Model

__all__ = ["RunningArguments", "TrainedArguments", "load_trained", "split_task"]


@dataclass(frozen=True, kw_only=True)
class RunningArguments:
    """How trained networks are run."""

    bad_images: str = "stop"
    """An image that cannot be read: "stop" there, or "skip" it and say so."""
    accelerator: str = "auto"
    """cpu, gpu, mps, or auto."""
    runtime: str | None = None
    """For weights that `res2net export` wrote: openvino, onnx or pt2; by default the one that the file is for."""
    task_options: dict[str, str] = dataclasses.field(default_factory=dict)
    """Options of the task's evaluation that are not as in the training, as pairs: `window 513 scales [0.75,1,1.25]`
    looks at large images piece by piece, and in three sizes."""


@dataclass(frozen=True, kw_only=True)
class TrainedArguments(RunningArguments):
    """What the verbs that use trained weights have in common."""

    weights: str
    """A checkpoint of `res2net train`; or, with --model, another checkpoint or a tag such as "in1k"."""
    model: str | None = None
    """Name of the architecture, where the weights do not say it."""


def load_trained(chosen: TrainedArguments, task: str, precision: str | None) -> Model:
    """The trained task that a user chose.

    Args:
        chosen: the options of the command.
        task: the task that is expected.
        precision: None for that of the training.

    Raises:
        InputError: the weights are missing or damaged, or do not fit what else was given.
    """
    from res2net.api import load

    try:
        task_options = {name: yaml.safe_load(value) for name, value in chosen.task_options.items()}
    except yaml.YAMLError as error:
        raise InputError("A value of --task-options is no number, list or word: give such as `window 513`.") from error
    return load(
        chosen.weights,
        model=chosen.model,
        task=task,
        runtime=chosen.runtime,
        accelerator=chosen.accelerator,
        precision=precision,
        task_options=task_options,
    )


def split_task(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The task, `classify` unless the first word names one, and the other words.

    Raises:
        InputError: two words stand first, and the first is nearly the name of a task.
    """
    words = list(arguments)
    if words and words[0] in task_names():
        return words[0], words[1:]
    if len(words) > 1 and not words[1].startswith("-") and not Path(words[0]).exists():
        hint = nearest(words[0], task_names())
        if hint:
            raise InputError(f"There is no task {words[0]!r}: {hint} (tasks: {', '.join(task_names())}).")
    return "classify", words
