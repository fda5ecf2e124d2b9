"""Train several models with several seeds under equal budgets, and compare their scores and costs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from res2net.engine.config import TrainConfig
from res2net.engine.train import Trained, train
from res2net.measure import Counts, count
from res2net.report import Column, Table
from res2net.task.base import backbone_of

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """The runs of several models, each trained with the same seeds."""

    runs: Mapping[str, Sequence[Trained]]
    """The runs of each model by its name, in the order of `seeds`."""
    seeds: Sequence[int]

    def scores(self, metric: str) -> dict[str, list[float]]:
        """A metric of the best weights of each run, by model."""
        return {name: [run.evaluation.metrics[metric] for run in runs] for name, runs in self.runs.items()}

    def counts(self) -> dict[str, Counts]:
        """The parameters and MACs of each model for one image."""
        costs = {}
        for name, runs in self.runs.items():
            task = runs[0].task
            size, backbone = task.preprocessing.size, backbone_of(task)
            costs[name] = count(backbone, (backbone.in_channels, size, size))
        return costs

    def table(self, metric: str) -> Table:
        """Cost, score (mean and standard deviation over the seeds) and time of each model."""
        scores, counts = self.scores(metric), self.counts()
        rows = [
            (
                name,
                counts[name].parameters / 1e3,
                counts[name].macs / 1e6,
                statistics.fmean(scores[name]),
                spread(scores[name]),
                statistics.fmean(sum(row["seconds"] for row in run.rows) for run in runs),
                statistics.fmean(run.rows[-1]["images_per_s"] for run in runs),
            )
            for name, runs in self.runs.items()
        ]
        columns = (
            Column("model"),
            Column("parameters", "k", digits=1),
            Column("MACs", "M", digits=2),
            Column(metric, "%", best="high"),
            Column("± std", "%"),
            Column("time of a run", "s", digits=0, best="low"),
            Column("training", "images/s", digits=0, best="high"),
        )
        return Table(f"{len(self.seeds)} seeds of each, the same data and epochs", columns, rows)


def compare(
    configs: Mapping[str, TrainConfig[Any]],
    seeds: Sequence[int],
    folder: Path,
    console: Console,
    run: Callable[..., Trained] = train,
) -> Comparison:
    """Train every configuration with every seed.

    The models take turns within each seed, so that a change in the speed of the machine affects all of them.

    Args:
        configs: configurations by name of the model; their `seed` and `out` are replaced.
        seeds: seeds of the runs. All models see the same data; a folder without a split is split by the seed.
        folder: parent of the runs' folders.
        console: where progress is shown.
        run: a function that trains a configuration, such as `train`.
    """
    runs: dict[str, list[Trained]] = {name: [] for name in configs}
    models = [config.model.model for config in configs.values()]
    for seed in seeds:
        for name, config in configs.items():
            console.print(f"\n[bold]{name}, seed {seed}[/bold]", highlight=False)
            label = config.model.model if models.count(config.model.model) == 1 else name.replace("/", "-")
            out = folder / f"{label}-seed{seed}"
            runs[name].append(run(replace(config, seed=seed, out=str(out)), console=console))
    return Comparison(runs, tuple(seeds))


def spread(values: Sequence[float]) -> float | None:
    """The standard deviation of a sample; None for fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None
