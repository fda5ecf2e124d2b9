"""The report of a training run: its scores, curves and configuration, and the sections that its task adds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure

from res2net.console import Console
from res2net.engine.config import TrainConfig, read_config, to_yaml
from res2net.engine.evaluate import workers_for
from res2net.engine.folder import RunFolder
from res2net.engine.module import describe_skipped
from res2net.engine.restore import restore_task, with_classes_of
from res2net.engine.train import Trained, evaluate_as_trained, open_data_again, train, with_model
from res2net.errors import InputError
from res2net.images.loader import eval_loader
from res2net.measure import count, format_count
from res2net.report import Column, Panel, Report, Table, curve_panels
from res2net.task.base import Evaluation, backbone_of


def train_with_report(
    config: TrainConfig[Any],
    *,
    resume: RunFolder | None = None,
    accept_changed_data: bool = False,
    console: Console | None = None,
) -> Trained:
    """Train as `res2net.engine.train.train` does, and write the report into the run's folder."""
    config = with_model(config)
    trained = train(config, resume=resume, accept_changed_data=accept_changed_data, console=console)
    write_run_report(trained, config)
    return trained


def report_of_run(folder: RunFolder, source: str | None = None, console: Console | None = None) -> Trained:
    """Evaluate the best weights of a run, which need not be finished, and write its report.

    Args:
        folder: the folder of the run.
        source: where its data are now; by default where they were.
        console: where progress is shown; None shows nothing.

    Raises:
        InputError: the run has no weights yet, or its data or files cannot be read.
    """
    config = read_config(folder.config)
    config = config if source is None else replace(config, source=source)
    rows = folder.read_metrics()
    if not rows or not folder.weights.is_file():
        raise InputError(f"The run in {folder.path} has no weights yet: let it train until its first evaluation.")
    data = open_data_again(config, folder)
    task, _ = restore_task(folder.weights)
    data = with_classes_of(task, data)
    loader = eval_loader(task.datasets(data)[1], config.data.batch_size, workers=workers_for(data))
    with closing(loader):
        evaluation = evaluate_as_trained(task, loader, config, console)
    trained = Trained(folder, rows, evaluation, task, data)
    write_run_report(trained, config)
    return trained


def write_run_report(trained: Trained, config: TrainConfig[Any]) -> None:
    """Write `report.html` into the run's folder; raises `InputError` if it cannot be written."""
    task, rows, source = trained.task, trained.rows, trained.source
    size = task.preprocessing.size
    parameters = sum(parameter.numel() for parameter in task.model.parameters())
    backbone = backbone_of(task)
    counts = count(backbone, (backbone.in_channels, *[size] * backbone.dims))
    sides = " x ".join([str(size)] * backbone.dims)
    unit = "pixels" if backbone.dims == 2 else "voxels"
    owner = "" if backbone is task.model else " of the backbone"
    report = Report(
        f"{config.model.model} on {source.name}",
        f"{task.name}, {time.strftime('%Y-%m-%d')}: {format_count(parameters)} parameters, "
        f"{format_count(counts.macs)} MACs{owner} at {sides} {unit}; {len(source.train):,} "
        f"{task.inputs.name} to train, {len(source.val):,} to validate",
    )
    title = f"The best weights on the validation images {task.scoring.note}".rstrip()
    report.add_table(metrics_table(title, trained.evaluation))
    if trained.evaluation.skipped:
        report.add_paragraph(describe_skipped(trained.evaluation.skipped))
    report.add_section("Training")
    report.add_figure(_curves(rows, trained.evaluation.units), "Losses, scores, and the learning rate by epoch.")
    task.write_report(report, trained.evaluation, source)
    report.add_section("Configuration")
    lines = (line.partition(":") for line in to_yaml(config).splitlines())
    options = [(name, value.strip()) for name, _, value in lines]
    report.add_table(Table("As in config.yaml", (Column("option"), Column("value")), options))
    report.write(trained.folder.report)


def metrics_table(title: str, evaluation: Evaluation) -> Table:
    """Tabulate the metrics of an evaluation, each with its unit."""
    units = {"loss": "", **evaluation.units}
    rows = [(name, value, units.get(name, "%")) for name, value in evaluation.metrics.items()]
    return Table(title, (Column("metric"), Column("value", digits=3), Column("unit")), rows)


def _curves(rows: Sequence[dict[str, float]], units: Mapping[str, str]) -> Figure:
    def column(name: str) -> tuple[list[float], list[float]]:
        having = [row for row in rows if name in row]
        return [row["epoch"] for row in having], [row[name] for row in having]

    scores: dict[str, dict[str, Any]] = {}
    names = dict.fromkeys(name for row in rows for name in row)
    for name in (name.removeprefix("val_") for name in names if name.startswith("val_") and name != "val_loss"):
        scores.setdefault(units.get(name, "%"), {})[name] = column(f"val_{name}")
    losses = {
        label: column(name) for label, name in (("training", "train_loss"), ("validation", "val_loss")) if name in names
    }
    return curve_panels(
        [
            Panel(losses, "loss"),
            *(Panel(curves, f"score, {unit}") for unit, curves in scores.items()),
            Panel({"learning rate": column("lr")}, "learning rate"),
            Panel({"images/s": column("images_per_s")}, "training speed, images/s"),
        ],
        "epoch",
    )
