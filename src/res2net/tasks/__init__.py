"""Tasks, one file each: the wiring of a backbone, a head, losses, a metric and the drawing of results."""

from __future__ import annotations

import pkgutil

__all__ = ["task_names"]


def task_names() -> list[str]:
    """The names of all tasks, found by the names of the files, without importing them."""
    return [module.name for module in pkgutil.iter_modules(__path__) if module.name != "base" and not module.ispkg]
