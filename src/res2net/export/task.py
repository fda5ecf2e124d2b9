"""A task that runs on an exported network."""

from __future__ import annotations

from pathlib import Path

from res2net.errors import InputError
from res2net.export.runtimes import load_runtime
from res2net.tasks.base import Task, task_type

__all__ = ["restore_exported"]


def restore_exported(path: str | Path, runtime: str | None = None, precision: str = "fp32") -> Task:
    """The task of an exported network, for prediction: the network stands in the place of the model.

    Raises:
        InputError: as `load_runtime`, or the network gives features and no results.
    """
    network = load_runtime(path, runtime, precision=precision)
    artefact = network.artefact
    if not artefact.class_names:
        raise InputError(f"{path} gives features and no results: export the network without --features.")
    return task_type(artefact.task).restore(network, artefact.class_names, artefact.preprocessing)
