"""The options of tasks without torch, a file each, so that `res2net train --help` answers at once.

A file has the name of its task, and offers one dataclass. A task without a file here holds its options itself.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from res2net.tasks import task_names

__all__ = ["options_type"]


def options_type(task: str) -> type[Any]:
    """The dataclass of a task's options.

    Raises:
        InputError: there is no such task; the nearest is named.
    """
    if task in task_names() and task in {module.name for module in pkgutil.iter_modules(__path__)}:
        module = importlib.import_module(f"{__name__}.{task}")
        (name,) = module.__all__
        kind: type[Any] = getattr(module, name)
        return kind
    from res2net.tasks.base import task_type  # it imports torch and every task

    return task_type(task).Options
