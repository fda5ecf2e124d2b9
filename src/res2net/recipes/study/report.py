"""The figures and the page of a study."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from res2net.recipes.study.paired import mean_interval
from res2net.recipes.study.result import Result, Study
from res2net.report import Report
from res2net.report.style import clean, finish, legend, line_styles, new_figure

COSTS = (("parameters", "parameters, M", 1e6), ("macs", "MACs, M", 1e6), ("milliseconds", "time per input, ms", 1.0))


def cost_figure(study: Study, lines: Mapping[str, Sequence[str]] | None = None, metric: str | None = None) -> Figure:
    """Plot the score against each cost: means with confidence intervals, and every seed as a faint dot.

    Args:
        study: the study.
        lines: names of arms that a line joins, by the name in the legend, such as those of one option that is varied;
            by default each arm has a marker of its own.
        metric: the score; by default that of the study.
    """
    metric = metric or study.metric
    scores, costs = study.scores(metric), study.costs
    lines = lines or {name: [name] for name in study.arms}
    kinds = [kind for kind in COSTS if all(getattr(cost, kind[0]) is not None for cost in costs.values())]
    figure = new_figure(3.6)
    handles: dict[str, Any] = {}
    all_axes = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axes, (kind, label, unit) in zip(all_axes, kinds, strict=True):
        clean(axes, label, f"{metric}, {study.scoring.unit(metric)}" if not handles else "")
        for name, look in line_styles(lines).items():
            arms = lines[name]
            x = [getattr(costs[arm], kind) / unit for arm in arms]
            intervals = [mean_interval(scores[arm]) for arm in arms]
            dots = {"color": look["color"], "alpha": 0.3, "markersize": 4, "mew": 0}
            for value, arm in zip(x, arms, strict=True):
                axes.plot([value] * len(scores[arm]), scores[arm], look["marker"], **dots)
            means = [one.mean for one in intervals]
            errors = [0.0 if math.isnan(one.high) else one.high - one.mean for one in intervals]
            style = {"linewidth": 1.6, "elinewidth": 1.3, "markersize": 5, "capsize": 3}
            handles[name] = axes.errorbar(x, means, errors, **style, **look)
            for value, mean, arm in zip(x, means, arms, strict=True):
                if len(arms) > 1:
                    axes.annotate(arm.partition("=")[2], (value, mean), (4, 4), textcoords="offset points", fontsize=8)
    legend(figure, handles)
    return finish(figure)


def seed_figure(study: Result, own: Mapping[str, Sequence[float]] | None = None) -> Figure:
    """Plot the score of each arm in a row: mean, confidence interval, and a dot for each seed.

    Args:
        study: the study.
        own: scores of other runs by arm, drawn as stars.
    """
    scores = study.scores()
    figure = new_figure(0.9 + 0.45 * len(scores))
    axes = figure.subplots()
    clean(axes, f"{study.metric}, {study.scoring.unit(study.metric)}", "")
    colours = [look["color"] for look in line_styles(scores).values()]
    draw_rows(axes, scores, colours)
    for row, (name, colour) in enumerate(zip(scores, colours, strict=True)):
        stars = (own or {}).get(name, [])
        axes.plot(stars, [row] * len(stars), "*", color=colour, markersize=13, mec="white")
    return finish(figure)


def draw_rows(axes: Axes, values: Mapping[str, Sequence[float]], colours: Sequence[str]) -> None:
    """Draw values by name in rows: each as a dot, and their mean with its confidence interval."""
    for row, (several, colour) in enumerate(zip(values.values(), colours, strict=True)):
        axes.plot(several, [row] * len(several), "o", color=colour, alpha=0.35, markersize=5, mew=0)
        interval = mean_interval(several)
        error = None if math.isnan(interval.high) else interval.high - interval.mean
        axes.errorbar(interval.mean, row, xerr=error, fmt="s", color=colour, markersize=5, capsize=3)
    axes.set_yticks(range(len(values)), list(values))
    axes.set_ylim(len(values) - 0.5, -0.5)


def epoch_figure(study: Study, metric: str | None = None) -> Figure:
    """Plot the validation score by epoch: the mean over the seeds, and a band of one standard deviation."""
    metric = metric or study.metric
    figure = new_figure(3.6)
    axes = figure.subplots()
    clean(axes, "epoch", f"{metric}, {study.scoring.unit(metric)}")
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    handles: dict[str, Any] = {}
    for name, look in line_styles(study.arms).items():
        column = f"val_{metric}"
        curves = [{row["epoch"]: row[column] for row in run.rows if column in row} for run in study.runs[name]]
        epochs = sorted(set.intersection(*(set(curve) for curve in curves)))
        values = np.array([[curve[epoch] for epoch in epochs] for curve in curves])
        mean = values.mean(0)
        look = {**look, "marker": look["marker"] if len(epochs) <= 20 else ""}
        (handles[name],) = axes.plot(epochs, mean, linewidth=1.6, markersize=4, **look)
        if len(curves) > 1:
            std = values.std(0, ddof=1)
            axes.fill_between(epochs, mean - std, mean + std, color=look["color"], alpha=0.15, linewidth=0)
    legend(figure, handles)
    return finish(figure)


def add_study(report: Report, study: Study, lines: Mapping[str, Sequence[str]] | None = None) -> None:
    """Add the verdicts, the table and the figures of a study to a page."""
    for sentence in study.verdicts():
        report.add_paragraph(sentence)
    report.add_table(study.score_table())
    report.add_table(study.cost_table())
    report.add_figure(
        cost_figure(study, lines),
        f"The score of the {study.epoch} epoch against the cost: mean, confidence interval, and a dot for each seed.",
    )
    report.add_figure(epoch_figure(study), "The validation score by epoch: mean and standard deviation over the seeds.")


def write_study(
    study: Study, folder: str | Path, title: str, command: str = "", lines: Mapping[str, Sequence[str]] | None = None
) -> Path:
    """Write the page and `study.json` into a folder; returns the path of the page."""
    folder = Path(folder)
    report = Report(title, f"{len(study.seeds)} seeds, {time.strftime('%Y-%m-%d')}")
    if command:
        report.add_paragraph(f"Command: {command}")
    add_study(report, study, lines)
    path = folder / "report.html"
    report.write(path)
    study.write(folder / "study.json", command)
    return path
