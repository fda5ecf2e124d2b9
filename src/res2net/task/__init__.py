"""What every task offers, and the registry of tasks; no task in particular."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["task_modules", "task_names"]


@cache
def task_modules() -> dict[str, str]:
    """The package of each task by its name, found by the folders that hold a `task.py`, without importing them."""
    root = Path(__file__).parents[1] / "tasks"
    folders = sorted((path.parent for path in root.rglob("task.py")), key=lambda folder: folder.name)
    return {folder.name: ".".join(("res2net.tasks", *folder.relative_to(root).parts)) for folder in folders}


def task_names() -> list[str]:
    """The names of all tasks, in alphabetical order."""
    return list(task_modules())
