"""Find the options of tasks without importing torch, so that `res2net train --help` answers at once."""

from __future__ import annotations

import importlib
from typing import Any

from res2net.engine import verb_options
from res2net.errors import check_choice
from res2net.task import task_modules, task_names

__all__ = ["eval_options_type", "options_type", "predict_options_type"]


def options_type(task: str) -> type[Any]:
    """The dataclass of a task's options.

    Raises:
        InputError: there is no such task; the message names the nearest.
    """
    kind: type[Any] = getattr(_module(task), f"{task.title()}Options")
    return kind


def predict_options_type(task: str) -> type[Any]:
    """The dataclass of a task's options of `res2net predict`; see `res2net.engine.verb_options`."""
    return _verb_options(task, "PredictOptions")


def eval_options_type(task: str) -> type[Any]:
    """The dataclass of a task's options of `res2net eval`; see `res2net.engine.verb_options`."""
    return _verb_options(task, "EvalOptions")


def _verb_options(task: str, name: str) -> type[Any]:
    kind: type[Any] = getattr(_module(task), name, None) or getattr(verb_options, name)
    return kind


def _module(task: str) -> Any:
    check_choice("Task", task, task_names())
    return importlib.import_module(f"{task_modules()[task]}.options")
