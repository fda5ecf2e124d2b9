"""Restore a task that runs on an exported network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from res2net.errors import InputError
from res2net.export.artefact import Artefact
from res2net.export.exporter import EXPORTERS
from res2net.export.runtimes import Precision, load_runtime
from res2net.options import from_dict
from res2net.task.base import TASKS, Task

__all__ = ["restore_exported"]


def restore_exported(
    path: str | Path,
    runtime: str | None = None,
    precision: str = "fp32",
    name: str | None = None,
    *,
    trust: bool = False,
) -> tuple[Task, Artefact]:
    """Restore the task of an exported network, with the network as the task's model.

    Args:
        path: the file that `res2net export` wrote.
        runtime: a name of `RUNTIMES`; by default the one that matches the file.
        precision: precision of what is not quantized.
        name: the expected task; by default that of the file.
        trust: see `load_runtime`.

    Returns:
        The task, and the metadata of the file.

    Raises:
        InputError: the network cannot be loaded (see `load_runtime`), belongs to another task, or returns features
            instead of the outputs of the task.
    """
    network = load_runtime(path, runtime, precision=cast("Precision", precision), trust=trust)
    artefact = network.artefact
    if not artefact.class_names:
        raise InputError(f"{path} returns features and no results: export the network without --features.")
    if name is not None and artefact.task != name:
        raise InputError(
            f"{path} was trained for {artefact.task}, not for {name}: name the task {artefact.task} instead."
        )
    kind = TASKS[artefact.task]
    make_exporter = EXPORTERS[artefact.task]
    default: dict[str, Any] | None = {} if getattr(make_exporter, "may_lack_options", False) else None
    task_options = artefact.task_metadata.get("task_options", default)
    options = from_dict(kind.Options, task_options, f"The task options of {path}")
    facts = {**artefact.task_metadata, "class_names": list(artefact.class_names)}
    task = kind(network, artefact.preprocessing, options, facts)
    make_exporter(task).restore(network, artefact.outputs, tuple(artefact.input_shape[2:]))
    return task, artefact
