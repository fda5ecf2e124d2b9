"""Roads of drawn towns as graphs, on a laptop: walked from point to point, and beside it the thinned road map.

- command: `python -m res2net.recipes.drawn_roads`, and beside it `--backbone resnet20_tiny`, a ResNet of the same cost
- time: at most 10 minutes on 2 cores
- score: APLS of at least 60 % on towns that were not trained on; 84.0 % walked and 82.9 % thinned with seed 0
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from rich.console import Console

from res2net.engine.config import DataConfig, TrainConfig
from res2net.engine.evaluate import evaluate
from res2net.engine.report import write_run_report
from res2net.engine.train import make_task, train
from res2net.images.loader import eval_loader
from res2net.images.sources import DataSource, open_source
from res2net.recipes.side_by_side import command, few_epochs, small_model
from res2net.report import Column, Table
from res2net.task.base import Task
from res2net.tasks.roads.data.graph import RoadGraph
from res2net.tasks.roads.metrics.road_metric import RoadMetric
from res2net.tasks.roads.options import TRACINGS, RoadsOptions, Tracing

__all__ = ["GOAL", "Arguments", "configuration", "main"]

GOAL = 60.0
"""Least APLS on held-out towns, %; set before anything was trained."""
METRICS = ("APLS", "junction_F1", "pixel_F1")
GUESSES = 4
"""Graphs that are tried as the same answer for every image."""


@dataclass(frozen=True)
class Arguments:
    """Train a small network on drawn towns, and tell what it learnt beside what needs no learning."""

    backbone: str = "res2net20_26w_4s_tiny"
    """resnet20_tiny costs the same."""
    tracing: Tracing = "next-point"
    """How the graph is traced after each epoch; the table at the end has both ways."""
    epochs: int = 6
    seed: int = 0
    """Of the weights, and of the order of the images."""
    out: str | None = None
    """Folder of the run."""


def configuration(chosen: Arguments) -> TrainConfig[RoadsOptions]:
    """The run; `InputError` where an argument does not fit."""
    return TrainConfig(
        task_name="roads",
        source="roads",
        task=RoadsOptions(
            tracing=chosen.tracing, channels=48, branch_channels=32, next_channels=48, window=64, steps_per_image=8
        ),
        model=small_model(chosen.backbone),
        data=DataConfig(batch_size=8),
        optim=few_epochs(chosen.epochs),
        seed=chosen.seed,
        out=chosen.out,
    )


def main() -> None:
    """The command."""
    command(Arguments, run, __doc__)


def run(chosen: Arguments, console: Console) -> Table:
    """Train, and put side by side what one graph for all, the untrained and the trained network find."""
    config = configuration(chosen)
    source = open_source("roads", labels=("graph",))
    rows = {"one graph for all": constant_scores(source)}
    torch.manual_seed(chosen.seed)
    untrained = make_task(config, source)
    for tracing in TRACINGS:
        rows[f"untrained, {tracing}"] = scores(untrained, source, tracing)
    trained = train(config, console=console)
    write_run_report(trained, source, config)
    console.print(f"Report: {trained.folder.report}", markup=False, highlight=False, soft_wrap=True)
    for tracing in TRACINGS:
        rows[f"trained, {tracing}"] = scores(trained.task, source, tracing)
    minutes = sum(row["seconds"] for row in trained.rows) / 60
    title = f"roads, {chosen.backbone}: {len(source.val)} towns, {minutes:.1f} minutes of training, seed {chosen.seed}"
    columns = (
        Column(""),
        *(Column(name, "%", digits=1) for name in METRICS),
        Column("APLS goal", "%", digits=0),
        Column(" "),
    )
    return Table(
        title, columns, [(name, *(one[m] for m in METRICS), *verdict(name, one["APLS"])) for name, one in rows.items()]
    )


def verdict(name: str, value: float) -> tuple[float | None, str]:
    """The goal and whether it was reached, of what was trained."""
    if not name.startswith("trained"):
        return None, ""
    return GOAL, "reached" if value >= GOAL else "missed"


def scores(task: Task, source: DataSource, tracing: str) -> Mapping[str, float]:
    """The metrics of a network, its maps turned to graphs in that way."""
    judged = copy.copy(task)
    judged.options = replace(task.options, tracing=tracing)
    _, towns = judged.datasets(source)
    return evaluate(judged, eval_loader(towns, 16)).metrics


def constant_scores(source: DataSource) -> Mapping[str, float]:
    """The metrics of one graph for all images: of some of the training the one that fits others there best."""
    towns: list[RoadGraph] = [source.train[index][1]["graph"] for index in range(4 * GUESSES)]
    best = max(towns[:GUESSES], key=lambda guess: judged_alike(guess, towns[GUESSES:], source)["APLS"])
    return judged_alike(best, [source.val[index][1]["graph"] for index in range(len(source.val))], source)


def judged_alike(guess: RoadGraph, truth: list[RoadGraph], source: DataSource) -> dict[str, float]:
    """The metrics, %, where that is said of every image."""
    metric = RoadMetric()
    side = source.preprocessing.size
    metric.update([guess] * len(truth), truth, [(side, side)] * len(truth))
    return {name: 100 * float(value) for name, value in metric.compute().items()}


if __name__ == "__main__":
    main()
