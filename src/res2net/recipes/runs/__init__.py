"""Runs that `res2net train --recipe NAME SOURCE` starts: each file registers its own.

Nothing here needs torch, so that the command line answers at once.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from res2net.engine.config import TrainConfig
from res2net.errors import check_choice

__all__ = ["Recipe", "about", "find_recipe", "recipe", "recipes"]

Recipe = Callable[[], TrainConfig[Any]]
"""Makes the configuration of a run; its `source` is empty where the user gives the data.

The first line of its docstring says what it is, the others give the command, the expected time and the expected score.
"""

Build = TypeVar("Build", bound=Recipe)

_RECIPES: dict[str, Recipe] = {}


def recipe(build: Build) -> Build:
    """Decorator: add a recipe under the name of its function."""
    name = getattr(build, "__name__", "")
    if name in _RECIPES:
        raise ValueError(f"recipe {name!r} is registered twice")
    _RECIPES[name] = build
    return build


@cache
def recipes() -> Mapping[str, Recipe]:
    """All recipes by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_RECIPES.items()))


def find_recipe(name: str) -> Recipe:
    """The recipe of that name; `InputError` names the nearest."""
    check_choice("Recipe", name, recipes())
    return recipes()[name]


def about(build: Recipe) -> str:
    """What its docstring says."""
    return inspect.getdoc(build) or ""
