"""Latency against size or accuracy, as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from res2net.bench.cases import PRECISIONS, RUNTIMES
from res2net.bench.results import Result
from res2net.bench.subjects import TIMM
from res2net.errors import InputError
from res2net.report.style import COLOURS, INK, MARKERS, QUIET, clean, finish, legend, new_figure
from res2net.report.text import drawable, shorten

__all__ = ["latency_figure"]

LOOKS = {name: COLOURS[index] for index, name in enumerate(RUNTIMES)}
SHAPES = {name: MARKERS[index] for index, name in enumerate(PRECISIONS)}
LINE = 0.17
"""Inches from one label to the next, at least."""
STEPS = np.array([1, 1.5, 2, 3, 5, 7])


def latency_figure(results: Sequence[Result], accuracy: Mapping[str, float] | None = None) -> Figure:
    """Each model in a row of its own height: how long it takes in each runtime and precision.

    Colour is the runtime, shape the precision; filled are our models, hollow those of timm. A point is the median, and
    its bar goes from one quartile to the other.

    Args:
        results: of one group.
        accuracy: of each model, percent; without it, or where one is missing, the height is the number of parameters.

    Raises:
        InputError: there are no results.
    """
    if not results:
        raise InputError("There are no results to draw: measure an inference or a step of training.")
    case = results[0].case
    names = list(dict.fromkeys(result.case.model for result in results))
    known = accuracy is not None and all(name in accuracy for name in names)
    heights = {
        result.case.model: accuracy[result.case.model] if accuracy and known else result.counts.parameters / 1e6
        for result in results
    }
    plain = list(dict.fromkeys(name.removeprefix(TIMM) for name in names))
    figure = new_figure(3.4 + max(0.0, LINE * (len(plain) - 12)))
    axes = figure.subplots()
    what = "training step" if case.training else "latency"
    of = f"{case.batch} picture{'s' if case.batch > 1 else ''} of {case.size} px"
    clean(axes, f"{what} of {of}, ms", "top-1 accuracy, %" if known else "parameters, million")
    axes.set_xscale("log")
    for name in names:
        own = [result for result in results if result.case.model == name]
        medians = [1e3 * result.time.median for result in own]
        axes.plot([min(medians), max(medians)], [heights[name]] * 2, color="#dddddd", linewidth=1, zorder=1)
        for result in own:
            point(axes, result, heights[name])
    limits(axes, results, heights)
    label(axes, figure, results, heights)
    legend(figure, handles(results), notes(names))
    return finish(figure)


def point(axes: Axes, result: Result, height: float) -> None:
    """The median with its quartiles."""
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


def limits(axes: Axes, results: Sequence[Result], heights: Mapping[str, float]) -> None:
    """Room around the points, and round numbers of milliseconds below them."""
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
    least, most = min(heights.values()), max(heights.values())
    room = (most - least) * 0.12 or max(1.0, 0.1 * most)
    axes.set_ylim(least - room, most + room)


def label(axes: Axes, figure: Figure, results: Sequence[Result], heights: Mapping[str, float]) -> None:
    """The names of the models beside the axes, each joined with its row; a model of both libraries has one."""
    rows = {name.removeprefix(TIMM): height for name, height in heights.items()}
    ends: dict[str, float] = {}
    for result in results:
        name = result.case.model.removeprefix(TIMM)
        ends[name] = max(ends.get(name, 0.0), 1e3 * result.time.median)
    low, high = axes.get_ylim()
    least = LINE / (figure.get_figheight() - 1.0)
    names = sorted(rows, key=lambda name: rows[name])
    places = apart(np.array([(rows[name] - low) / (high - low) for name in names]), least)
    for name, place in zip(names, places, strict=True):
        axes.annotate(
            drawable(shorten(name, 22)),
            xy=(ends[name], rows[name]),
            xytext=(1.03, place),
            textcoords="axes fraction",
            fontsize=9,
            color=INK,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "#bbbbbb", "linewidth": 0.7, "shrinkA": 1, "shrinkB": 5},
        )


def apart(places: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """Rising places, moved as little as needed to be so far from each other: groups that touch are spread as one."""
    groups: list[tuple[float, int]] = []  # middle, and how many
    for place in places:
        middle, many = float(place), 1
        while groups:
            before, others = groups[-1]
            if middle - before >= least * (many + others) / 2:
                break
            groups.pop()
            middle, many = (middle * many + before * others) / (many + others), many + others
        groups.append((middle, many))
    return np.concatenate([middle + least * (np.arange(many) - (many - 1) / 2) for middle, many in groups])


def handles(results: Sequence[Result]) -> dict[str, Any]:
    """What colours and shapes mean, of those that are there."""
    runtimes = [name for name in RUNTIMES if any(result.case.runtime == name for result in results)]
    precisions = [name for name in PRECISIONS if any(result.case.precision == name for result in results)]
    found: dict[str, Any] = {
        name: Line2D([], [], color=LOOKS[name], marker="o", linestyle="", markersize=6.5) for name in runtimes
    }
    return found | {
        name: Line2D([], [], color=QUIET, marker=SHAPES[name], linestyle="", markersize=6.5) for name in precisions
    }


def notes(names: Sequence[str]) -> str:
    """What the looks mean beside colour and shape."""
    text = "medians, with bars from quartile to quartile"
    timm = [name.startswith(TIMM) for name in names]
    if all(timm):
        return f"{text}; models of timm"
    return f"{text}; hollow: timm" if any(timm) else text
