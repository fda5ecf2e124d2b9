"""Reproduce a recipe: train its network, and compare it with its untrained state and with simple baselines."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch

from res2net.console import Console
from res2net.engine.config import TrainConfig
from res2net.engine.evaluate import evaluate
from res2net.engine.recipes import Recipe
from res2net.engine.report import write_run_report
from res2net.engine.train import make_task, open_data, train
from res2net.images.loader import eval_loader
from res2net.images.sources import DataSource
from res2net.report import Column, Table
from res2net.task.base import Task


def reproduce(recipe: Recipe, config: TrainConfig[Any], console: Console) -> Table:
    """Evaluate the baselines and the untrained network, train it, write its report, and compare all of them.

    The configuration is that of the recipe, possibly with changed options. The table has a row for each metric, and a
    column for each network and variant.
    """
    source = open_data(config)
    torch.manual_seed(config.seed)
    untrained = make_task(config, source)
    variants: Callable[[Task], Mapping[str, Task]] = (
        _function(recipe.variants) if recipe.variants else lambda task: {"": task}
    )
    compared: dict[str, Any] = dict(_function(recipe.baselines)(untrained, source)) if recipe.baselines else {}
    compared |= {f"untrained{way and ', '}{way}": task for way, task in variants(untrained).items()}
    scores: dict[str, Mapping[str, float]] = {}
    for name, one in compared.items():
        console.print(f"Before training: {name}", style="bold")
        scores[name] = _metrics(one, source, config, console) if isinstance(one, Task) else one
    trained = train(config, console=console)
    write_run_report(trained, config)
    console.out(f"Report: {trained.folder.report}", highlight=False)
    for way, task in variants(trained.task).items():
        name = f"trained{way and ', '}{way}"
        # `train` has already evaluated the unchanged task.
        scores[name] = trained.evaluation.metrics if task is trained.task else _metrics(task, source, config, console)
    return _table(recipe, config, trained.task, scores, sum(row["seconds"] for row in trained.rows), len(source.val))


def _metrics(task: Task, source: DataSource, config: TrainConfig[Any], console: Console) -> Mapping[str, float]:
    _, samples = task.datasets(source)
    return evaluate(task, eval_loader(samples, config.data.batch_size), console=console).metrics


def _function(target: str) -> Any:
    """Import the function that `module:function` names."""
    module, function = target.split(":")
    return getattr(importlib.import_module(module), function)


def _table(
    recipe: Recipe,
    config: TrainConfig[Any],
    task: Task,
    scores: Mapping[str, Mapping[str, float]],
    seconds: float,
    count: int,
) -> Table:
    scoring = task.scoring
    shown = [name for name in list(scores.values())[-1] if name != "loss" and "AR" not in name]
    trained = [name for name in scores if name.startswith("trained")]
    rows = []
    for metric in shown:
        goal, unit = recipe.goals.get(metric), scoring.unit(metric)
        heading = metric if unit == "%" else f"{metric}, {unit or 'no unit'}"
        best = [scores[name].get(metric) for name in trained]
        rows.append(
            (
                heading,
                *(one.get(metric) for one in scores.values()),
                goal,
                _verdict(best, goal, lower=metric in scoring.lower_is_better),
            )
        )
    columns = (Column("metric"), *(Column(name, digits=1) for name in scores), Column("goal", digits=0), Column(""))
    kind = next((getattr(config.task, word) for word in ("detector", "decoder") if hasattr(config.task, word)), None)
    title = (
        f"{config.task_name}{f', {kind}' if kind else ''}, {config.model.model}: {count} {task.inputs.name} held out, "
        f"{seconds / 60:.1f} minutes of training, seed {config.seed}; scores in %"
    )
    return Table(title, columns, rows)


def _verdict(values: list[float | None], goal: float | None, *, lower: bool) -> str:
    """Whether all trained variants reach the goal: "reached" or "missed", or an empty string without a goal."""
    if goal is None:
        return ""
    reached = all(value is not None and (value <= goal if lower else value >= goal) for value in values)
    return "reached" if reached else "missed"
