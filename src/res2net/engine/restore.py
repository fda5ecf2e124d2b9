"""Trained tasks from checkpoints. Nothing here needs the trainer, so that prediction starts quickly."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from res2net.errors import InputError, check_choice
from res2net.images.sources import DataSource
from res2net.options import from_dict
from res2net.task.base import TASKS, Task
from res2net.weights import Checkpoint
from res2net.zoo import open_checkpoint

__all__ = ["adjust", "check_classes", "restore_task", "task_metadata"]


def restore_task(weights: str | Path, model: str | None = None, name: str | None = None) -> tuple[Task, Checkpoint]:
    """Restore a trained task from its checkpoint, or from published weights of a named model.

    Args:
        weights: a file of a run, or with `model` another checkpoint file or a tag such as "in1k".
        model: name of the architecture, where the file does not state it.
        name: the task, by default that of the file; `classify` where it states none.

    Raises:
        InputError: there is no such file or weight, it is of another task, or it does not state enough.
    """
    held, checkpoint = open_checkpoint(weights, model)
    stated = checkpoint.metadata.get("task")
    if name is not None and stated not in (None, name):
        raise InputError(f"{weights} was trained for {stated}, not for {name}: name the task {stated} instead.")
    return TASKS[name or stated or "classify"].restore(held, checkpoint), checkpoint


def task_metadata(task: Task) -> dict[str, Any]:
    """What a checkpoint or an exported file states of its task, for `Task.restore`: its options and its facts."""
    return {"task_options": dataclasses.asdict(task.options), **task.facts}


def adjust(task: Task, changes: Mapping[str, Any]) -> None:
    """Change options of a trained task that its evaluation and prediction depend on.

    Raises:
        InputError: the task has no such option that may change after training, or a value does not fit.
    """
    if not changes:
        return
    adjustable = getattr(task.Options, "adjustable", ())
    if not adjustable:
        raise InputError(
            f"The task {task.name} has no options that can change after training: leave out --task-options."
        )
    for name in changes:
        check_choice("Option to change after training", name, adjustable)
    values = {entry.name: getattr(task.options, entry.name) for entry in fields(task.options)} | dict(changes)
    task.options = from_dict(type(task.options), values, "What is chosen by --task-options")


def check_classes(task: Task, source: DataSource) -> None:
    """Raise `InputError` unless the classes of a source are those of a trained task.

    Where nobody named the classes of the weights, as of published ones, only their number is compared.
    """
    found = list(task.describe(source)["class_names"])
    if len(found) != len(task.class_names):
        raise InputError(
            f"The weights know {len(task.class_names)} classes and {source.name} has {len(found)}: "
            "evaluate on data with the classes of the training."
        )
    if list(task.class_names) != found and not task.facts.get("class_names_assumed"):
        first = next(name for name, other in zip(found, task.class_names, strict=True) if name != other)
        raise InputError(
            f"The weights were trained on other classes than those of {source.name} (such as {first!r}): "
            "evaluate on data with the classes of the training."
        )
