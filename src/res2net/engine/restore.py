"""Restore trained tasks from checkpoints. The trainer is not imported here, so that prediction starts quickly."""

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


def restore_task(weights: str | Path, model: str | None = None, name: str | None = None) -> tuple[Task, Checkpoint]:
    """Restore a trained task from its checkpoint, or from published weights of a named model.

    Args:
        weights: a checkpoint of a run, or with `model` another checkpoint file or a tag such as "in1k".
        model: name of the architecture, if the file has no metadata about it.
        name: name of the task; by default the one in the file's metadata, or `classify` if it has none.

    Raises:
        InputError: there is no such file or tag, it belongs to another task, or its metadata are incomplete.
    """
    model_name, checkpoint = open_checkpoint(weights, model)
    trained_for = checkpoint.metadata.get("task")
    if name is not None and trained_for not in (None, name):
        raise InputError(
            f"{weights} was trained for {trained_for}, not for {name}: name the task {trained_for} instead."
        )
    return TASKS[name or trained_for or "classify"].restore(model_name, checkpoint), checkpoint


def task_metadata(task: Task) -> dict[str, Any]:
    """The metadata of a task in checkpoints and exported files, which `Task.restore` needs: its options and facts."""
    return {"task_options": dataclasses.asdict(task.options), **task.facts}


def adjust(task: Task, changes: Mapping[str, Any]) -> None:
    """Change options of a trained task that only affect evaluation and prediction; raises `InputError` for others."""
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

    If the weights came without class names, as published ones do, only the number of classes is compared.
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
