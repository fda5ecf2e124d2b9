"""The task that the verbs work with that use trained weights: from a checkpoint, or from an exported network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from res2net.commands.arguments import TrainedArguments
from res2net.engine.checkpoints import restore_task
from res2net.errors import InputError
from res2net.export.artefact import read_artefact, sidecar
from res2net.export.task import restore_exported
from res2net.task.base import Task
from res2net.tasks.classify.task import default_class_names

__all__ = ["Trained", "check_boxes", "restore_trained"]


@dataclass(frozen=True)
class Trained:
    """A task, what its file says about it, and how the trainer runs it."""

    task: Task
    said: Mapping[str, Any]
    """Such as "class_names" and what was chosen for the training."""
    accelerator: str
    precision: str


def restore_trained(chosen: TrainedArguments, name: str, precision: str | None) -> Trained:
    """The task that the weights are of.

    Args:
        chosen: what the user gave.
        name: the task.
        precision: None stands for that of the training; an exported network is in fp32 then.

    Raises:
        InputError: the weights are missing or damaged, or do not fit what else was given.
    """
    if chosen.runtime is None:
        if sidecar(Path(chosen.weights)).is_file():
            to = read_artefact(chosen.weights).format
            raise InputError(f"{chosen.weights} is an exported network: add --runtime {to}.")
        task, checkpoint = restore_task(chosen.weights, chosen.model, name)
        said = checkpoint.metadata
        task.adjust(task_options(chosen))
        return Trained(task, said, chosen.accelerator, precision or str(said.get("precision", "fp32")))
    if chosen.model is not None:
        raise InputError(f"{chosen.weights} holds its model itself: leave out --model.")
    if chosen.accelerator not in ("auto", "cpu"):
        raise InputError(f"--runtime {chosen.runtime} runs on the processor: leave out --accelerator.")
    task, artefact = restore_exported(chosen.weights, chosen.runtime, precision or "fp32", name)
    task.adjust(task_options(chosen))
    names = list(artefact.class_names)
    said = dict(artefact.training) | ({} if names == default_class_names(len(names)) else {"class_names": names})
    # The runtime has its own precision: to the trainer its numbers are fp32.
    return Trained(task, said, "cpu", "fp32")


def check_boxes(task: Task) -> None:
    """`InputError` unless a task looks into the boxes of --boxes."""
    if not task.takes_boxes:
        raise InputError("Only keypoints with simple_baseline looks into given boxes: leave out --boxes.")


def task_options(chosen: TrainedArguments) -> dict[str, Any]:
    """What is chosen by --task-options, with numbers and lists as YAML has them."""
    try:
        return {name: yaml.safe_load(value) for name, value in chosen.task_options.items()}
    except yaml.YAMLError as error:
        raise InputError("A value of --task-options is no number, list or word: give such as `window 513`.") from error
