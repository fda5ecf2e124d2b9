"""Checkpoint files: the training state to resume from, and weights with the metadata to use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO

from res2net._version import __version__
from res2net.engine.config import TrainConfig
from res2net.engine.restore import task_metadata
from res2net.errors import InputError
from res2net.task.base import Task, backbone_of
from res2net.weights import atomic_write, save

__all__ = ["AtomicCheckpointIO", "read_state", "save_task"]


class AtomicCheckpointIO(CheckpointIO):
    """Writes the state of a run atomically, and reads it without executing code from the file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`; if that fails, for example on a full disk, the previous file is kept."""
        atomic_write(path, lambda file: torch.save(checkpoint, file))

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        """Read what `save_checkpoint` wrote."""
        return read_state(path)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)


def read_state(path: Path | str) -> dict[str, Any]:
    """Read the state of a run; raises `InputError` if the file is damaged or contains pickled objects."""
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
    """Write the weights of a task, with the metadata for evaluation and prediction in the header."""
    model = backbone_of(task)
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
    save(path, task.model.state_dict(), metadata | task_metadata(task))
