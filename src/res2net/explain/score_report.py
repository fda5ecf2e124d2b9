"""Tables, a figure and records of the scores of activation maps."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from res2net.explain.score import METRICS, SIZES, MapScores, Numbers, interval
from res2net.report import Column, Table
from res2net.report.style import clean, finish, legend, line_styles, new_figure

LABELS = {
    "pointing": "pointing game",
    "energy": "energy in object",
    "iou": "IoU",
    "best_iou": "best IoU",
    "covered": "object covered",
}
EVERYWHERE = "a map of 1 everywhere"
"""The baseline that no network needs."""


def summary(values: Numbers, digits: int = 1) -> str:
    """The mean with its 95 % confidence interval, in percent."""
    if not len(values):
        return "–"  # noqa: RUF001 - the usual dash for missing values
    low, high = interval(values)
    limits = f" [{100 * low:.{digits}f}, {100 * high:.{digits}f}]" if np.isfinite(low) else ""
    return f"{100 * values.mean():.{digits}f}{limits}"


def score_table(scores: Mapping[str, MapScores], about: str = "") -> Table:
    """The mean scores of each model in percent, with confidence intervals, beside a map of 1 everywhere."""
    first = next(iter(scores.values()))
    names = {**LABELS, "iou": f"IoU at {first.threshold:g}", "covered": f"covered at {first.threshold:g}"}
    rows: list[tuple[str | None, ...]] = [
        ("correct class", *(f"{100 * one.correct.mean():.1f}" for one in scores.values()), None)
    ]
    everywhere = f"{100 * first.area.mean():.1f}"
    for metric in METRICS:
        baseline = "100.0" if metric == "covered" else everywhere
        rows.append((names[metric], *(summary(one.values(metric)) for one in scores.values()), baseline))
    rows.append((names["best_iou"], *(summary(one.best[1]) for one in scores.values()), everywhere))
    rows.append(("... which is at", *(f"{one.best[0]:g}" for one in scores.values()), None))
    columns = (Column("score (%)"), *(Column(name) for name in scores), Column(EVERYWHERE))
    return Table(f"Activation maps and {len(first)} objects{about}", columns, rows)


def size_table(scores: Mapping[str, MapScores]) -> Table:
    """The mean scores of each model by the size of the object, in percent."""
    rows = []
    for low, high, chosen in next(iter(scores.values())).by_size():
        for index, metric in enumerate(METRICS):
            size, count = (f"{100 * low:g} to {100 * high:g}", str(int(chosen.sum()))) if index == 0 else ("", "")
            cells = (summary(one.values(metric)[chosen], 0) for one in scores.values())
            rows.append((size, count, LABELS[metric], *cells))
    columns = (Column("size"), Column("images"), Column("score (%)"), *(Column(name) for name in scores))
    return Table("By the size of the object (% of the side)", columns, rows)


def difference_table(scores: Mapping[str, MapScores]) -> Table:
    """The differences between models on the same images, with the confidence interval of the paired difference."""
    pairs = list(combinations(scores.items(), 2))
    columns = [Column("score (points)"), *(Column(f"{second} - {first}") for (first, _), (second, _) in pairs)]
    rows = [
        (LABELS[metric], *(summary(other.values(metric) - one.values(metric)) for (_, one), (_, other) in pairs))
        for metric in (*METRICS, "best_iou")
    ]
    return Table("Paired differences; an interval without 0 is a difference beyond the choice of images", columns, rows)


def size_figure(scores: Mapping[str, MapScores]) -> Figure:
    """Plot the mean scores by the size of the object, with 95 % confidence intervals; the x axis is logarithmic."""
    figure = new_figure(5.6)
    grid = figure.subplots(2, 2, sharex=True).ravel()
    first = next(iter(scores.values()))
    groups = first.by_size()
    place = np.log(SIZES)
    centre, width = (place[:-1] + place[1:]) / 2, np.diff(place)
    everywhere: Numbers = np.array(
        [100 * first.area[chosen].mean() if chosen.any() else np.nan for *_, chosen in groups]
    )
    handles: dict[str, Any] = {}
    step = 0.35 / max(1, len(scores))
    for position, (axes, metric) in enumerate(zip(grid, METRICS, strict=True)):
        unit = f" at {first.threshold:g}" if metric in ("iou", "covered") else ""
        clean(axes, "size of the object (% of the side)" if position > 1 else "", f"{LABELS[metric]}{unit} (%)")
        for index, (name, look) in enumerate(line_styles(scores).items()):
            means, bars = np.full(len(groups), np.nan), np.full((2, len(groups)), np.nan)
            for column, (*_, chosen) in enumerate(groups):
                values = scores[name].values(metric)[chosen]
                if len(values):
                    means[column] = 100 * values.mean()
                    low, high = interval(values)
                    bars[:, column] = means[column] - 100 * low, 100 * high - means[column]
            middle = np.exp(centre + width * step * (index + 0.5 - len(scores) / 2))
            shown = np.nan_to_num(bars.clip(min=0))
            handles[name] = axes.errorbar(
                middle, means, shown, linewidth=1.6, elinewidth=1.3, markersize=4.5, capsize=3, **look
            )
        if metric != "covered":
            (handles[EVERYWHERE],) = axes.plot(np.exp(centre), everywhere, ":", color="#888888", linewidth=1.4)
        axes.set_xscale("log")
        axes.set_xlim(SIZES[0], SIZES[-1])
        axes.set_ylim(-3, 103)
        axes.set_xticks(SIZES, [f"{100 * size:g}" for size in SIZES], minor=False)
        axes.minorticks_off()
    counts = ", ".join(f"{int(chosen.sum())}" for *_, chosen in groups)
    legend(figure, handles, f"mean and 95 % confidence interval over images; {counts} images by size")
    return finish(figure)


def to_dict(scores: Mapping[str, MapScores], about: Mapping[str, Any]) -> dict[str, Any]:
    """The scores as JSON values: means with intervals, by size, and of each image; all from 0 to 1."""

    def mean(values: Numbers) -> dict[str, Any]:
        low, high = interval(values)
        return {"mean": float(values.mean()), "low": _number(low), "high": _number(high), "images": len(values)}

    models = {}
    for name, one in scores.items():
        metrics = {metric: mean(one.values(metric)) for metric in (*METRICS, "best_iou")}
        models[name] = {
            "correct": float(one.correct.mean()),
            **metrics,
            "best_threshold": one.best[0],
            "by_size": [
                {"from": low, "to": high, **{metric: mean(one.values(metric)[chosen]) for metric in METRICS}}
                for low, high, chosen in one.by_size()
                if chosen.any()
            ],
        }
    first = next(iter(scores.values()))
    return {**about, "threshold": first.threshold, "everywhere": mean(first.area), "models": models}


def to_csv(scores: Mapping[str, MapScores]) -> str:
    """The scores of each image and model as a table in CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["model", "image", "class", "size", "predicted", "correct", "area", *METRICS, "best_iou"])
    for name, one in scores.items():
        columns = (one.area, *(one.values(metric) for metric in (*METRICS, "best_iou")))
        for row in range(len(one)):
            told = (one.images[row], one.classes[row], f"{one.sizes[row]:.4f}", one.predicted[row])
            numbers = (f"{column[row]:.4f}" for column in columns)
            table.writerow([name, *told, int(one.correct[row]), *numbers])
    return text.getvalue()


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
