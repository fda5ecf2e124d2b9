"""A task that runs on an exported network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from res2net.errors import InputError, check_choice
from res2net.export.artefact import Artefact
from res2net.export.exporter import EXPORTERS
from res2net.export.runtimes import Precision, load_runtime
from res2net.export.settings import SAFE_RUNTIMES
from res2net.options import from_dict
from res2net.task.base import TASKS, Task

__all__ = ["restore_exported"]


def restore_exported(
    path: str | Path, runtime: str | None = None, precision: str = "fp32", name: str | None = None
) -> tuple[Task, Artefact]:
    """Restore the task of an exported network, which takes the place of the task's model.

    Args:
        path: of the file that `res2net export` wrote.
        runtime: one of `SAFE_RUNTIMES`; by default the one that the file is for.
        precision: of what is not quantized.
        name: the task that is expected; by default that of the file.

    Returns:
        The task, and what its file states.

    Raises:
        InputError: as `load_runtime`, the network is of another task, or it returns features and no results.
    """
    if runtime is not None:
        check_choice("runtime", runtime, SAFE_RUNTIMES)
    network = load_runtime(path, runtime, precision=cast("Precision", precision))  # which checks it
    artefact = network.artefact
    if not artefact.class_names:
        raise InputError(f"{path} returns features and no results: export the network without --features.")
    if name is not None and artefact.task != name:
        raise InputError(
            f"{path} was trained for {artefact.task}, not for {name}: name the task {artefact.task} instead."
        )
    kind = TASKS[artefact.task]
    make_exporter = EXPORTERS[artefact.task]
    absent: dict[str, Any] | None = {} if getattr(make_exporter, "may_lack_options", False) else None
    stated = artefact.task_metadata.get("task_options", absent)
    options = from_dict(kind.Options, stated, f"The task options of {path}")
    facts = {**artefact.task_metadata, "class_names": list(artefact.class_names)}
    task = kind(network, artefact.preprocessing, options, facts)
    make_exporter(task).restore(network, artefact.outputs, tuple(artefact.input_shape[2:]))
    return task, artefact
