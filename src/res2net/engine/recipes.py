"""Recipes: runs as Python functions, each registered in the folder of its task. Nothing here needs torch.

A recipe is a function without arguments that returns a `TrainConfig`. The first line of its docstring states what it
is; the lines after it give the command, the expected time and the expected score.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.registry import Registry
from res2net.task import task_modules

__all__ = ["RECIPES", "Recipe", "find_recipe", "overfit", "recipe", "recipes", "small_run"]


@dataclass(frozen=True)
class Recipe:
    """A run that anyone can repeat, and what it is measured by."""

    configure: Callable[[], TrainConfig[Any]]
    """Makes the configuration; its `source` is empty where the user gives the data."""
    goals: Mapping[str, float] = field(default_factory=dict)
    """Values that metrics have to reach, set before anything was trained."""
    baselines: str = ""
    """`module:function` from the untrained task and its data to what is evaluated beside it, by name: tasks, such as a
    predictor that sees no image, or the metrics of something that is no task."""
    variants: str = ""
    """`module:function` from a task to the ways, by name, in which it is evaluated before and after the training."""

    @property
    def about(self) -> str:
        """The docstring of the function."""
        return inspect.getdoc(self.configure) or ""


RECIPES: Registry[Recipe] = Registry("Recipe")
"""All recipes by name, once `recipes` has imported them."""


def recipe(
    *, goals: Mapping[str, float] | None = None, baselines: str = "", variants: str = ""
) -> Callable[[Callable[[], TrainConfig[Any]]], Callable[[], TrainConfig[Any]]]:
    """Decorator: register a function under its name; the arguments are those of `Recipe`."""

    def register(configure: Callable[[], TrainConfig[Any]]) -> Callable[[], TrainConfig[Any]]:
        name = str(getattr(configure, "__name__", ""))
        RECIPES.add(name, Recipe(configure, goals or {}, baselines, variants))
        return configure

    return register


def recipes() -> Mapping[str, Recipe]:
    """All recipes by name, of the modules `recipes` in the folders of tasks."""
    for module in task_modules().values():
        if importlib.util.find_spec(f"{module}.recipes"):
            importlib.import_module(f"{module}.recipes")
    return RECIPES


def find_recipe(name: str) -> Recipe:
    """The recipe of that name; `InputError` names the nearest."""
    return recipes()[name]


def _small_model(name: str = "res2net20_26w_4s_tiny") -> ModelConfig:
    """A network that learns in few epochs from scratch."""
    # In so few steps residual branches that start at zero hardly begin to learn; the official code has none.
    return ModelConfig(model=name, options={"zero_init_last": False})


def _short_run(epochs: int) -> OptimConfig:
    """What suits a small network and few epochs: AdamW and one cycle."""
    return OptimConfig(
        epochs=epochs,
        optimizer="adamw",
        lr=3e-3,
        weight_decay=0.05,
        schedule="one-cycle",
        warmup=0.1 * epochs,
        clip=5.0,
    )


def small_run(
    task: str, options: Any, epochs: int, *, source: str = "shapes", model: str = "", batch_size: int = 16
) -> TrainConfig[Any]:
    """A small network learns an embedded data set from scratch, on a laptop."""
    return TrainConfig(
        task_name=task,
        source=source,
        task=options,
        model=_small_model(model) if model else _small_model(),
        data=DataConfig(batch_size=batch_size),
        optim=_short_run(epochs),
    )


def overfit(task: str, options: Any, images: int, size: int, epochs: int, lr: float = 3e-3) -> TrainConfig[Any]:
    """A sanity check: a tiny network overfits a few images and is evaluated on the same."""
    return TrainConfig(
        task_name=task,
        source="",
        task=options,
        model=_small_model(),
        data=DataConfig(batch_size=2, size=size, workers=0, overfit=images),
        optim=OptimConfig(
            epochs=epochs, optimizer="adamw", lr=lr, weight_decay=0.01, schedule="one-cycle", warmup=0.1 * epochs
        ),
    )
