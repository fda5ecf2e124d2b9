"""Recipes: complete run configurations as functions, registered in the folder of their task. Nothing here needs torch.

A recipe is a function without arguments that returns a `TrainConfig`. The first line of its docstring states what it
is; the lines after it give the command, the expected time and the expected score.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from res2net.engine.config import (
    DataConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
    check_task,
    default_config,
    read_config,
)
from res2net.errors import InputError
from res2net.registry import Registry, modules_of_tasks

if TYPE_CHECKING:
    from res2net.engine.folder import RunFolder


@dataclass(frozen=True)
class Recipe:
    """A reproducible run, with its goals and the baselines to compare it with."""

    configure: Callable[[], TrainConfig[Any]]
    """A function that creates the configuration; its `source` is empty if the user has to provide the data."""
    goals: Mapping[str, float] = field(default_factory=dict)
    """Values that metrics should reach, set before training."""
    baselines: str = ""
    """`module:function` from the untrained task and its data to the baselines by name: tasks, such as one that predicts
    a constant, or metrics that were computed in another way."""
    variants: str = ""
    """`module:function` from a task to variants of it by name, which are evaluated before and after training."""

    @property
    def about(self) -> str:
        """The docstring of the function."""
        return inspect.getdoc(self.configure) or ""


RECIPES: Registry[Recipe] = Registry("Recipe", modules=partial(modules_of_tasks, "recipes.py"))
"""All recipes by name; the modules `recipes.py` of the tasks register them."""


def recipe(
    *, goals: Mapping[str, float] | None = None, baselines: str = "", variants: str = ""
) -> Callable[[Callable[[], TrainConfig[Any]]], Callable[[], TrainConfig[Any]]]:
    """Decorator that registers a function as a recipe under its name; the arguments are those of `Recipe`."""

    def register(configure: Callable[[], TrainConfig[Any]]) -> Callable[[], TrainConfig[Any]]:
        name = str(getattr(configure, "__name__", ""))
        RECIPES.add(name, Recipe(configure, goals or {}, baselines, variants))
        return configure

    return register


def starting_config(
    task: str | None,
    *,
    config: str | Path | None = None,
    recipe: str | None = None,
    resume: str | Path | None = None,
) -> tuple[TrainConfig[Any], RunFolder | None]:
    """The configuration that the options of a run change, and the folder of the run if it is resumed.

    It is that of a YAML file, a recipe or a run to resume, else the default one of the task, or of `classify`. Raises
    `InputError` if there is no such file, recipe or run, or it is for another task.
    """
    if resume is not None:
        from res2net.engine.folder import RunFolder

        folder = RunFolder.existing(resume)
        if config is not None or recipe is not None:
            raise InputError(
                f"A resumed run keeps its options: leave out {'--config' if config is not None else '--recipe'}."
            )
        return read_config(folder.config, task), folder
    if config is not None and recipe is not None:
        raise InputError(
            "--recipe and --config exclude each other, since each describes a whole run: leave out one, or write the "
            "recipe to a file with `res2net recipes NAME` and edit it."
        )
    if recipe is not None:
        found = RECIPES[recipe].configure()
        check_task(f"The recipe {recipe}", found.task_name, task)
        return found, None
    return (read_config(config, task) if config is not None else default_config(task or "classify")), None


def applicable(options: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The options of an architecture that another model has, too.

    Raises:
        InputError: there is no such model.
    """
    from res2net.backbones.registry import variant  # needs torch

    names = variant(model).option_names
    return {name: value for name, value in options.items() if name in names}


SMALL_PAIR = {"ResNet": "resnet20_tiny", "Res2Net": "res2net20_26w_4s_tiny"}
"""Small networks for comparisons, equal in parameters and MACs within 2 %."""


def _small_model(name: str = SMALL_PAIR["Res2Net"]) -> ModelConfig:
    """A small network that can be trained from scratch in a few epochs."""
    # With so few steps, residual branches that are initialised to zero hardly learn; the official code has none.
    return ModelConfig(model=name, options={"zero_init_last": False})


def _short_run(epochs: int, lr: float, weight_decay: float, clip: float = 0.0) -> OptimConfig:
    """Optimisation for a small network and few epochs: AdamW with a one-cycle schedule."""
    warmup = 0.1 * epochs
    return OptimConfig(epochs, "adamw", lr, weight_decay, schedule="one-cycle", warmup=warmup, clip=clip)


def small_run(
    task: str, options: Any, epochs: int, *, source: str = "shapes", model: str = "", batch_size: int = 16
) -> TrainConfig[Any]:
    """The configuration of a small network on an embedded data set, trained from scratch on a laptop."""
    return TrainConfig(
        task_name=task,
        source=source,
        task=options,
        model=_small_model(model) if model else _small_model(),
        data=DataConfig(batch_size=batch_size),
        optim=_short_run(epochs, lr=3e-3, weight_decay=0.05, clip=5.0),
    )


def overfit(task: str, options: Any, images: int, size: int, epochs: int, lr: float = 3e-3) -> TrainConfig[Any]:
    """The configuration of a sanity check: a tiny network overfits a few images, on which it is also evaluated."""
    return TrainConfig(
        task_name=task,
        source="",
        task=options,
        model=_small_model(),
        data=DataConfig(batch_size=2, size=size, workers=0, overfit=images),
        optim=_short_run(epochs, lr=lr, weight_decay=0.01),
    )
