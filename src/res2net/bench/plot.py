"""A figure of latency against the number of parameters or the accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from res2net.bench.cases import PRECISIONS, RUNTIMES, TIMM
from res2net.bench.results import Result
from res2net.errors import InputError
from res2net.report.style import COLOURS, INK, MARKERS, QUIET, clean, finish, legend, new_figure
from res2net.report.text import drawable, shorten

LOOKS = {name: COLOURS[index] for index, name in enumerate(RUNTIMES)}
SHAPES = {name: MARKERS[index] for index, name in enumerate(PRECISIONS)}
ROW = 0.45
"""Least distance of two rows, in inches."""
LANES = 0.26
"""Height of the runtimes within a row, in inches."""
STEPS = np.array([1, 1.5, 2, 3, 5, 7])


def latency_figure(results: Sequence[Result], accuracy: Mapping[str, float] | None = None) -> Figure:
    """Plot the latency of each model, one per row, in each runtime and precision, from the results of one group.

    The height of a row is the model's accuracy in percent or else its number of parameters, which its tick shows; rows
    that would overlap are moved apart. The colour is the runtime and the marker the precision; our models are filled,
    timm's hollow. A point is the median, its bar the interquartile range.
    """
    if not results:
        raise InputError("There are no results to plot: measure inference or training.")
    case = results[0].case
    names = list(dict.fromkeys(result.case.model for result in results))
    known = accuracy is not None and all(name in accuracy for name in names)
    values = {
        row_name(name := result.case.model): accuracy[name] if accuracy and known else result.counts.parameters / 1e6
        for result in results
    }
    ascending = sorted(values, key=lambda name: values[name])
    numbers = np.array([values[name] for name in ascending])
    span = numbers[-1] - numbers[0]
    # Rows are 1.5 times the least distance apart on average, unless they need more.
    positions = (numbers - numbers[0]) / span * (1.5 * ROW) * (len(ascending) - 1) if span else np.zeros(len(ascending))
    rows = dict(zip(ascending, apart(positions, ROW).tolist(), strict=True))
    figure = new_figure(1.4 + max(rows.values()) - min(rows.values()))
    axes = figure.subplots()
    what = "training step" if case.training else "latency"
    of = f"{case.batch} image{'s' if case.batch > 1 else ''} of {case.size} px"
    clean(axes, f"{what} of {of}, ms", "top-1 accuracy, %" if known else "parameters, million")
    axes.set_xscale("log")
    runtimes = [name for name in RUNTIMES if any(result.case.runtime == name for result in results)]
    lanes = np.linspace(LANES / 2, -LANES / 2, len(runtimes)) if len(runtimes) > 1 else [0.0]
    lane = dict(zip(runtimes, lanes, strict=True))
    for result in results:
        point(axes, result, rows[row_name(result.case.model)] + lane[result.case.runtime])
    time_axis(axes, results)
    axes.set_yticks(list(rows.values()), [f"{values[name]:.1f}" for name in rows])
    axes.set_ylim(min(rows.values()) - ROW / 2, max(rows.values()) + ROW / 2)
    for name, height in rows.items():
        axes.annotate(
            drawable(shorten(name, 22)),
            (1.02, height),
            xycoords=("axes fraction", "data"),
            fontsize=9,
            color=INK,
            va="center",
            annotation_clip=False,
        )
    legend(figure, handles(results), notes(names))
    return finish(figure)


def row_name(model: str) -> str:
    """The row of a model: a model of timm shares the row of ours."""
    return model.removeprefix(TIMM)


def point(axes: Axes, result: Result, height: float) -> None:
    """Draw the median with its quartiles."""
    time, case = result.time, result.case
    colour = LOOKS[case.runtime]
    axes.errorbar(
        [1e3 * time.median],
        [height],
        xerr=[[1e3 * (time.median - time.low)], [1e3 * (time.high - time.median)]],
        color=colour,
        marker=SHAPES[case.precision],
        markersize=6.5,
        markerfacecolor="white" if case.model.startswith(TIMM) else colour,
        markeredgewidth=1.4,
        elinewidth=1.2,
        capsize=2.5,
        zorder=3,
    )


def time_axis(axes: Axes, results: Sequence[Result]) -> None:
    """Set the limits of the time axis, and ticks at round numbers of milliseconds."""
    low = 1e3 * min(result.time.low for result in results)
    high = 1e3 * max(result.time.high for result in results)
    margin = max(1.06, (high / low) ** 0.05)
    axes.set_xlim(low / margin, high * margin)
    decades = 10.0 ** np.arange(np.floor(np.log10(low / margin)) - 1, np.ceil(np.log10(high * margin)) + 1)
    ticks = (decades[:, None] * STEPS).ravel()
    inside = [tick for tick in ticks if low / margin <= tick <= high * margin]
    if len(inside) < 3:
        inside = list(np.linspace(low, high, 4))
    axes.xaxis.set_major_locator(FixedLocator(inside))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def apart(positions: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """Move ascending positions apart, as little as needed for a least distance: touching groups are spread as one."""
    groups: list[tuple[float, int]] = []  # centre and size
    for position in positions:
        middle, many = float(position), 1
        while groups:
            before, others = groups[-1]
            if middle - before >= least * (many + others) / 2:
                break
            groups.pop()
            middle, many = (middle * many + before * others) / (many + others), many + others
        groups.append((middle, many))
    return np.concatenate([middle + least * (np.arange(many) - (many - 1) / 2) for middle, many in groups])


def handles(results: Sequence[Result]) -> dict[str, Any]:
    """The entries of the legend: the runtimes and precisions in the results."""
    runtimes = [name for name in RUNTIMES if any(result.case.runtime == name for result in results)]
    precisions = [name for name in PRECISIONS if any(result.case.precision == name for result in results)]
    found: dict[str, Any] = {
        name: Line2D([], [], color=LOOKS[name], marker="o", linestyle="", markersize=6.5) for name in runtimes
    }
    return found | {
        name: Line2D([], [], color=QUIET, marker=SHAPES[name], linestyle="", markersize=6.5) for name in precisions
    }


def notes(names: Sequence[str]) -> str:
    """The title of the legend: the meaning of bars and hollow markers."""
    text = "medians; bars: interquartile range"
    timm = [name.startswith(TIMM) for name in names]
    if all(timm):
        return f"{text}; models of timm"
    return f"{text}; hollow: timm" if any(timm) else text
