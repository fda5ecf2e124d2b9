"""Checkpoint files: the state of a run for resuming, and weights with all that their users need to know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO

from res2net._version import __version__
from res2net.engine.config import TrainConfig
from res2net.errors import InputError
from res2net.images.sources import DataSource
from res2net.task.base import Task, task_type
from res2net.tasks.classify.task import default_class_names
from res2net.weights import Checkpoint, Preprocessing, atomic_write, save
from res2net.zoo import create_model, open_checkpoint

__all__ = [
    "AtomicCheckpointIO",
    "check_classes",
    "read_state",
    "restore_new",
    "restore_task",
    "save_task",
]


class AtomicCheckpointIO(CheckpointIO):
    """Writes a run's state whole or not at all, and reads it without running code from it."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`; after a failure (a full disk) the file before is still there."""
        atomic_write(path, lambda file: torch.save(checkpoint, file))

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        """Read what `save_checkpoint` wrote."""
        return read_state(path)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)


def read_state(path: Path | str) -> dict[str, Any]:
    """The state of a run; `InputError` when the file is damaged or holds more than plain values."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever is wrong in the file, the answer is the same
        raise InputError(
            f"{path} is damaged or not the state of a run: start from best.safetensors instead."
        ) from error
    if not isinstance(state, dict) or "loops" not in state:
        raise InputError(f"{path} is not the state of a run: give the folder that `res2net train` wrote.")
    return state


def save_task(path: Path, task: Task, metrics: dict[str, float], config: TrainConfig[Any]) -> None:
    """Write a task's weights, with all that evaluation and prediction need to know in the header."""
    model = task.backbone
    options = dict(model.variant_options) | {"num_classes": model.num_classes, "in_channels": model.in_channels}
    metadata = {
        "task": task.name,
        "model": model.variant_name,
        "options": options,
        "class_names": list(task.class_names),
        "preprocessing": task.preprocessing.to_dict(),
        "metrics": metrics,
        "precision": config.precision,
        "batch_size": config.data.batch_size,
        "channels_last": config.channels_last,
        "source": config.source,
        "val_fraction": config.data.val_fraction,
        "seed": config.seed,
        "decode": config.data.decode,
        "version": __version__,
    }
    save(path, task.model.state_dict(), metadata | task.metadata())


def restore_task(weights: str | Path, model: str | None = None, name: str = "classify") -> tuple[Task, Checkpoint]:
    """A trained task from its checkpoint, or from published weights of a named model.

    Args:
        weights: a file of `save_task`, or with `model` another checkpoint file or a tag such as "in1k".
        model: name of the architecture, where the file does not say it.
        name: the task, where the file does not say it.

    Raises:
        InputError: there is no such file or weight, or it does not say enough.
    """
    held, checkpoint = open_checkpoint(weights, model)
    found = checkpoint.metadata.get("task", name)
    if found != name:
        raise InputError(f"{weights} was trained to {found}, not to {name}: run `res2net VERB {found}`.")
    return task_type(name).from_checkpoint(held, checkpoint), checkpoint


def restore_new(model: str, name: str = "classify") -> Task:
    """A task around a model with fresh weights, as `restore_task` gives it for trained ones.

    Raises:
        InputError: there is no such model.
    """
    network = create_model(model)
    return task_type(name).restore(network.eval(), default_class_names(network.num_classes), Preprocessing())


def check_classes(said: list[str] | None, task: Task, source: DataSource) -> None:
    """`InputError` unless the classes of a source are those that a task was trained on, where its file says them."""
    if not task.tells_classes:
        return
    found = list(source.class_names)
    if len(found) != len(task.class_names):
        raise InputError(
            f"The weights know {len(task.class_names)} classes and {source.name} has {len(found)}: "
            "evaluate on data with the classes of the training."
        )
    if said is not None and said != found:
        first = next(name for name, other in zip(found, said, strict=True) if name != other)
        raise InputError(
            f"The weights were trained on other classes than those of {source.name} (such as {first!r}): "
            "evaluate on data with the classes of the training."
        )
