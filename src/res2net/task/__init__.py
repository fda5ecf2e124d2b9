"""What every task offers, and the registry of tasks; no task in particular."""

from __future__ import annotations

from res2net.registry import task_modules

__all__ = ["task_modules", "task_names"]


def task_names() -> list[str]:
    """The names of all tasks, in alphabetical order."""
    return list(task_modules())
