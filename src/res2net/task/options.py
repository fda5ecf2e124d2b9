"""The options of tasks, which need no torch, so that `res2net train --help` answers at once."""

from __future__ import annotations

import importlib
from typing import Any

from res2net.errors import check_choice
from res2net.task import task_modules, task_names

__all__ = ["options_type"]


def options_type(task: str) -> type[Any]:
    """The dataclass of a task's options.

    Raises:
        InputError: there is no such task; the nearest is named.
    """
    check_choice("Task", task, task_names())
    module = importlib.import_module(f"{task_modules()[task]}.options")
    kind: type[Any] = getattr(module, f"{task.title()}Options")
    return kind
