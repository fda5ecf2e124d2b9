"""The first run: a small ResNet and a Res2Net of the same cost, beside runs of the same setting with many seeds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from res2net.console import Console
from res2net.engine.changes import scaled_to
from res2net.engine.config import TrainConfig
from res2net.engine.evaluate import evaluate
from res2net.engine.recipes import SMALL_PAIR
from res2net.engine.restore import restore_task
from res2net.explain import class_activation_maps
from res2net.images.loader import eval_loader
from res2net.images.sources import DataSource
from res2net.recipes.study import Study, mean_interval, run_study
from res2net.recipes.study.recorded import Recorded, recorded
from res2net.recipes.study.report import epoch_figure, seed_figure
from res2net.report import Column, Report, Table, image_rows, overlay
from res2net.task.base import Evaluation, Task
from res2net.tasks.classify.report import SIZES, accuracy_by_size, count_by_size, size_figure


def configs(source: str | None = None, epochs: int | None = None) -> dict[str, TrainConfig[Any]]:
    """The configurations of both networks: those of the recorded study, whose first seed a run repeats.

    Args:
        source: other data.
        epochs: another number of epochs.
    """
    study = recorded("shapes")
    found = {name: study.arms[arm] for name, arm in SMALL_PAIR.items()}
    if source is not None:
        found = {name: replace(config, source=source) for name, config in found.items()}
    if epochs is not None:
        found = {name: scaled_to({"epochs": epochs}, config)[0] for name, config in found.items()}
    return found


def quickstart(
    folder: str | Path,
    *,
    seeds: Sequence[int] = (0,),
    source: str | None = None,
    epochs: int | None = None,
    jobs: int = 2,
    console: Console | None = None,
) -> Study:
    """Train both networks; what is finished in the folder is read.

    - command: `res2net quickstart`
    - time: at most 5 minutes on 2 cores
    - score: that of the recorded study, `res2net/recipes/recorded/shapes.json`
    """
    return run_study(configs(source, epochs), seeds, folder, jobs=jobs, console=console)


def evaluations(study: Study, source: DataSource) -> dict[str, list[Evaluation]]:
    """The evaluations of the last weights of every run on the validation images of a source, by model."""
    found: dict[str, list[Evaluation]] = {}
    for name, config in study.arms.items():
        for run in study.runs[name]:
            task, _ = restore_task(run.folder.last)
            _, samples = task.datasets(source)
            found.setdefault(name, []).append(evaluate(task, eval_loader(samples, config.data.batch_size)))
    return found


def by_size(evaluated: Mapping[str, Sequence[Evaluation]]) -> Table:
    """Accuracy of each model for each group of object sizes: mean over the seeds."""
    names = list(evaluated)
    values = {name: np.array([accuracy_by_size(one) for one in several]) for name, several in evaluated.items()}
    counts = count_by_size(evaluated[names[0]][0])
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


def beside_recorded(study: Study, before: Recorded) -> list[str]:
    """Sentences on what the runs scored, and on what the recorded seeds say of the same networks."""
    lines = []
    for name, arm in SMALL_PAIR.items():
        interval = mean_interval(before.scores()[arm])
        own = ", ".join(f"{score:.2f}" for score in study.scores()[name])
        lines.append(
            f"{name}: {own} % here; recorded with {len(before.seeds)} seeds: {interval.mean:.2f} % (standard deviation "
            f"{interval.std:.2f})."
        )
    ours = before.differences()[SMALL_PAIR["Res2Net"]]
    lines.append(
        f"One seed cannot tell them apart; over {len(before.seeds)} seeds Res2Net minus ResNet is {ours.mean:+.2f} "
        f"points [{ours.low:+.2f}, {ours.high:+.2f}], p = {ours.p:.2g}."
    )
    return lines


def same_setting(study: Study) -> bool:
    """Whether the runs have the data and the epochs of the recorded study."""
    recorded_configs = configs()
    return all(
        (config.source, config.optim) == (recorded_configs[name].source, recorded_configs[name].optim)
        for name, config in study.arms.items()
    )


def write_report(study: Study, source: DataSource, evaluated: Mapping[str, Sequence[Evaluation]], folder: Path) -> Path:
    """Write the page: own runs beside the recorded ones, accuracy by object size, and activation maps."""
    before = recorded("shapes")
    config = study.arms["ResNet"]
    report = Report(
        "ResNet and Res2Net of the same cost",
        f"{config.source}, {config.optim.epochs} epochs, {time.strftime('%Y-%m-%d')}",
    )
    if same_setting(study):
        for line in beside_recorded(study, before):
            report.add_paragraph(line)
        own = {arm: study.scores()[name] for name, arm in SMALL_PAIR.items()}
        report.add_figure(
            seed_figure(before, own),
            f"Recorded runs: mean, confidence interval, and a dot for each of {len(before.seeds)} seeds. Stars are the "
            "runs of today.",
        )
        report.add_table(before.score_table())
        report.add_paragraph(f"Recorded by: {before.command}")
    else:
        report.add_table(study.score_table())
        report.add_paragraph("The recorded runs have other data or epochs, so they are not shown.")
    report.add_section("Accuracy by the size of the object")
    report.add_paragraph(
        "A class is a coarse silhouette filled with a fine texture, so both have to be seen at once. "
        "The smallest things are a few pixels large, and nobody can name them."
    )
    report.add_figure(size_figure(evaluated), "Top-1 accuracy on the validation images by the size of the object.")
    report.add_table(by_size(evaluated))
    report.add_section("Training")
    report.add_figure(epoch_figure(study), "Validation accuracy by epoch.")
    report.add_table(study.cost_table())
    report.add_section("What the networks look at")
    tasks = {name: restore_task(runs[0].folder.last)[0] for name, runs in study.runs.items()}
    report.add_figure(cam_figure(tasks, source), "Class activation maps (Grad-CAM) of the true class, last stage.")
    path = folder / "report.html"
    report.write(path)
    return path


def cam_figure(tasks: Mapping[str, Task], source: DataSource) -> Figure:
    """An image of each group of sizes beside what each model sees of its true class."""
    task = next(iter(tasks.values()))
    val = source.val
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
