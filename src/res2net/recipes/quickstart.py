"""The first run: a small ResNet and a Res2Net of the same cost on `shapes`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from res2net.console import Console
from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.engine.train import Trained, train
from res2net.explain import class_activation_maps
from res2net.images.sources import open_source
from res2net.measure import Counts, count
from res2net.report import Column, Report, Table, curves, image_rows, overlay
from res2net.task.base import backbone_of
from res2net.tasks.classify.options import ClassifyOptions
from res2net.tasks.classify.report import SIZES, accuracy_by_size, count_by_size, size_figure


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
                statistics.stdev(scores[name]) if len(self.seeds) > 1 else None,
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
) -> Comparison:
    """Train every configuration with every seed.

    The models, whose configurations are given by name, take turns within each seed, so that a change in the speed of
    the machine affects all of them. Their runs get folders in `folder`.
    """
    runs: dict[str, list[Trained]] = {name: [] for name in configs}
    models = [config.model.model for config in configs.values()]
    for seed in seeds:
        for name, config in configs.items():
            console.print(f"\n[bold]{name}, seed {seed}[/bold]", highlight=False)
            label = config.model.model if models.count(config.model.model) == 1 else name.replace("/", "-")
            out = folder / f"{label}-seed{seed}"
            runs[name].append(train(replace(config, seed=seed, out=str(out)), console=console))
    return Comparison(runs, tuple(seeds))


MODELS = {"ResNet": "resnet20_tiny", "Res2Net": "res2net20_26w_4s_tiny"}
"""Equal in parameters and MACs within 2 %."""
SEEDS = (0, 1)


def quickstart(model: str, *, epochs: int = 3, source: str = "shapes") -> TrainConfig[ClassifyOptions]:
    """One of the runs of `res2net quickstart`.

    - command: `res2net quickstart`
    - time: about 4 minutes for two seeds of both models on 2 cores
    - score: top-1 about 60 % for both, seeds differ by 3 to 6 points
    """
    return TrainConfig(
        task_name="classify",
        source=source,
        task=ClassifyOptions(),
        # In so few steps residual branches that start at zero hardly begin to learn; the official code has none.
        model=ModelConfig(model=model, options={"zero_init_last": False}),
        data=DataConfig(batch_size=64),
        optim=OptimConfig(
            epochs=epochs, optimizer="adamw", lr=5e-3, weight_decay=0.05, schedule="one-cycle", warmup=0.1 * epochs
        ),
    )


def by_size(comparison: Comparison) -> Table:
    """Accuracy of each model for each group of object sizes: mean over the seeds."""
    names = list(comparison.runs)
    values = {
        name: np.array([accuracy_by_size(run.evaluation) for run in runs]) for name, runs in comparison.runs.items()
    }
    counts = count_by_size(comparison.runs[names[0]][0].evaluation)
    rows: list[tuple[str | float, ...]] = []
    for group, (low, high) in enumerate(pairwise(SIZES)):
        means = [float(values[name][:, group].mean()) for name in names]
        rows.append((f"{100 * low:.0f} - {100 * high:.0f} %", counts[group], *means, means[1] - means[0]))
    columns = (
        Column("object size"),
        Column("images"),
        *(Column(name, "top-1 %", digits=1) for name in names),
        Column("difference", digits=1),
    )
    return Table("By size of the object, as a share of the image's side", columns, rows)


def verdict(comparison: Comparison) -> str:
    """One sentence that says which model was better, and whether the seeds agree; it has no favourite."""
    scores = comparison.scores("top1")
    (first, ours), (second, theirs) = ((name, scores[name]) for name in ("Res2Net", "ResNet"))
    gain = statistics.fmean(ours) - statistics.fmean(theirs)
    wins = sum(a > b for a, b in zip(ours, theirs, strict=True))
    seconds = {
        name: statistics.fmean(sum(r["seconds"] for r in run.rows) for run in runs)
        for name, runs in comparison.runs.items()
    }
    better, worse = (first, second) if gain > 0 else (second, first)
    difference = f"{abs(gain):.1f}"
    outcome = (
        f"{first} and {second} are equally accurate"
        if difference == "0.0"
        else f"{better} is {difference} points more accurate than {worse}"
    )
    seeds = "1 seed" if len(ours) == 1 else f"{len(ours)} seeds"
    return (
        f"{outcome} (top-1, mean of {seeds}); {first} is ahead in {wins} of {seeds}, and a run of it takes "
        f"{seconds[first] / seconds[second]:.2f} times as long."
    )


def write_report(comparison: Comparison, folder: Path, source: str = "shapes") -> Path:
    """Write the page with the comparison on a source, the accuracy by object size and the class activation maps."""
    runs = comparison.runs
    epochs = len(next(iter(runs.values()))[0].rows)
    report = Report(
        "ResNet and Res2Net of the same cost",
        f"{source}, {epochs} epochs, {len(comparison.seeds)} seeds, {time.strftime('%Y-%m-%d')}",
    )
    report.add_paragraph(verdict(comparison))
    report.add_table(comparison.table("top1"))
    report.add_section("Accuracy by the size of the object")
    report.add_paragraph(
        "A class is a coarse silhouette filled with a fine texture, so both have to be seen at once. "
        "The smallest things are a few pixels large, and nobody can name them."
    )
    evaluations = {name: [run.evaluation for run in trained] for name, trained in runs.items()}
    report.add_figure(size_figure(evaluations), "Top-1 accuracy on the validation images by the size of the object.")
    report.add_table(by_size(comparison))
    report.add_section("Training")
    series = {
        f"{name}, seed {seed}": ([row["epoch"] for row in run.rows], [row["val_top1"] for row in run.rows])
        for name, trained in runs.items()
        for seed, run in zip(comparison.seeds, trained, strict=True)
    }
    report.add_figure(curves(series, "epoch", "top-1 accuracy, %"), "Validation accuracy by epoch.")
    report.add_section("What the networks look at")
    report.add_figure(
        cam_figure(comparison, source), "Class activation maps (Grad-CAM) of the true class, last stage, first seed."
    )
    path = folder / "report.html"
    report.write(path)
    return path


def cam_figure(comparison: Comparison, source: str) -> Figure:
    """An image of each group of sizes beside what each model sees of its true class."""
    tasks = {name: runs[0].task for name, runs in comparison.runs.items()}
    task = next(iter(tasks.values()))
    val = open_source(source).val
    sizes = [val[index][1]["size"] for index in range(len(val))]
    groups = [[i for i, size in enumerate(sizes) if low <= size < high] for low, high in pairwise(SIZES)]
    samples = [val[group[0]] for group in groups if group]
    images = torch.stack([task.transform(False)(image, {})[0] for image, _ in samples])
    labels = [target["label"] for _, target in samples]
    maps = {name: class_activation_maps(one.model, images, labels) for name, one in tasks.items()}
    likeliest = {name: [found.rows()[0] for found in one.eval().predict(images)] for name, one in tasks.items()}
    rows, captions = [], []
    for index, (image, target) in enumerate(samples):
        rows.append([image, *(overlay(image, maps[name][index]) for name in tasks)])
        seen = [f"{likeliest[name][index][0]} ({likeliest[name][index][1]:.0f} %)" for name in tasks]
        captions.append([f"{task.class_names[target['label']]}, {100 * target['size']:.0f} %", *seen])
    return image_rows(rows, ["image", *tasks], captions, heat_legend="weight for the true class")
