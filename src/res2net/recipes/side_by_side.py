"""What a network learns in a recipe's run, beside what it knew before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import tyro
from rich.console import Console
from torch import Tensor, nn

from res2net.engine.config import ModelConfig, OptimConfig, TrainConfig
from res2net.engine.evaluate import evaluate
from res2net.engine.report import write_run_report
from res2net.engine.train import make_task, open_data, train
from res2net.errors import InputError
from res2net.images.loader import eval_loader
from res2net.images.sources import DataSource
from res2net.report import Column, Table
from res2net.task.base import Task

__all__ = ["Constant", "command", "few_epochs", "side_by_side", "small_model"]

Chosen = TypeVar("Chosen")

Others = Callable[[Task, DataSource], Mapping[str, Task]]
"""From the untrained task and its data to more that is evaluated, by what it is called in the table."""


def side_by_side(
    config: TrainConfig[Any], goals: Mapping[str, float], console: Console, *, others: Others | None = None
) -> Table:
    """Evaluate the network as it starts and others, train it, write its report, and put all side by side.

    Args:
        config: of the run.
        goals: what metrics have to reach, set before anything was trained.
        console: where progress is shown.
        others: what else is evaluated, such as a predictor that sees no image.
    """
    source = open_data(config)
    untrained = make_task(config, source)
    compared = {"untrained": untrained} | (dict(others(untrained, source)) if others else {})
    scores = {}
    for name, task in compared.items():
        console.print(f"Before training: {name}", style="bold")
        _, samples = task.datasets(source)
        scores[name] = evaluate(task, eval_loader(samples, config.data.batch_size), console=console).metrics
    trained = train(config, console=console)
    write_run_report(trained, source, config)
    console.print(f"Report: {trained.folder.report}", markup=False, highlight=False, soft_wrap=True)
    after = trained.evaluation.metrics
    rows = []
    for name, value in after.items():
        if name == "loss" or "AR" in name:
            continue
        goal = goals.get(name)
        unit = trained.evaluation.units.get(name)
        shown = name if unit is None else f"{name}, {unit or 'no unit'}"
        word = reached(value, goal, lower=name in trained.task.lower)
        rows.append((shown, *(one.get(name) for one in scores.values()), value, goal, word))
    columns = (
        Column("metric"),
        *(Column(name, digits=2 if trained.evaluation.units else 1) for name in (*scores, "trained")),
        Column("goal", digits=0),
        Column(""),
    )
    minutes = sum(row["seconds"] for row in trained.rows) / 60
    kind = next((getattr(config.task, word) for word in ("detector", "decoder") if hasattr(config.task, word)), None)
    title = (
        f"{config.task_name}{f', {kind}' if kind else ''}, {config.model.model}: {len(source.val)} "
        f"{trained.task.source_name} held out, "
        f"{minutes:.1f} minutes of training, seed {config.seed}; scores in %"
    )
    return Table(title, columns, rows)


class Constant(nn.Module):
    """Gives every pixel, or voxel, the same values.

    Args:
        values: `(K,)`.
    """

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, *size)` to `(N, K, *size)`."""
        size = images.shape[2:]
        values = self.values.view(1, -1, *[1] * len(size)).expand(len(images), -1, *size)
        return values.contiguous()  # windows may be weighted in place


def small_model(name: str) -> ModelConfig:
    """A network that learns in few epochs from scratch."""
    # In so few steps residual branches that start at zero hardly begin to learn; the official code has none.
    return ModelConfig(model=name, options={"zero_init_last": False})


def few_epochs(epochs: int) -> OptimConfig:
    """What suits a small network and few epochs."""
    return OptimConfig(
        epochs=epochs,
        optimizer="adamw",
        lr=3e-3,
        weight_decay=0.05,
        schedule="one-cycle",
        warmup=0.1 * epochs,
        clip=5.0,
    )


def command(kind: type[Chosen], run: Callable[[Chosen, Console], Table], about: str | None) -> None:
    """A recipe as a command: parse its arguments, run it, print its table; a user's mistake is one sentence."""
    chosen = tyro.cli(kind, description=about)
    console = Console()
    try:
        console.print(run(chosen, console).to_rich())
    except InputError as error:
        raise SystemExit(f"res2net: {error}") from None


def reached(value: float, goal: float | None, *, lower: bool = False) -> str:
    """Whether a goal was reached, in a word; `lower` where less is better."""
    if goal is None:
        return ""
    return "reached" if (value <= goal if lower else value >= goal) else "missed"
