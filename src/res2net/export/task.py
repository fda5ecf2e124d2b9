"""A task that runs on an exported network."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from res2net.errors import InputError, check_choice
from res2net.export.artefact import Artefact
from res2net.export.runtimes import SAFE_RUNTIMES, Precision, load_runtime
from res2net.task.base import Task, task_type

__all__ = ["restore_exported"]


def restore_exported(
    path: str | Path, runtime: str, precision: str = "fp32", name: str = "classify"
) -> tuple[Task, Artefact]:
    """The task of an exported network, and what is known about it: the network stands in the place of the model.

    Args:
        path: of the file that `res2net export` wrote.
        runtime: one of `SAFE_RUNTIMES`.
        precision: of what is not in whole numbers.
        name: the task that is expected.

    Raises:
        InputError: as `load_runtime`, the network is for another task, or it gives features and no results.
    """
    check_choice("Runtime", runtime, SAFE_RUNTIMES)
    network = load_runtime(path, runtime, precision=cast("Precision", precision))  # which checks it
    artefact = network.artefact
    if not artefact.class_names:
        raise InputError(f"{path} gives features and no results: export the network without --features.")
    if artefact.task != name:
        raise InputError(f"{path} was trained to {artefact.task}, not to {name}: run `res2net VERB {artefact.task}`.")
    said = {**artefact.task_metadata, "input_size": artefact.input_shape[2:], "outputs": artefact.outputs}
    return task_type(name).restore(network, artefact.class_names, artefact.preprocessing, said), artefact
