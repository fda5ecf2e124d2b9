"""Plots of curves, means with errors, and confusion matrices, legible at 700 pixels width."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray
from torch import Tensor

from res2net.errors import InputError
from res2net.report.images import as_array
from res2net.report.style import INK, QUIET, WIDTH, clean, colour_bar, finish, legend, line_styles, new_figure, nothing
from res2net.report.text import drawable, shorten, text_width

Values: TypeAlias = Tensor | NDArray[Any] | Sequence[Any]
Series: TypeAlias = Mapping[str, tuple[Values, Values]]
"""Curves: names to x and y of equal length."""
Numbers: TypeAlias = NDArray[np.float64]
_floats = partial(as_array, dtype=np.float64)

MARKED = 20
"""Maximum number of points of a curve that are drawn with markers."""
SHARES = ("#ffffff", "#9ecae9", "#0072b2", "#08264a")
"""Colours of a map of shares, from 0 to 100 %."""
LABELLED = 40
"""Maximum number of classes of which all are named."""
NUMBERED = 12
"""Maximum number of classes, or bins, that are annotated with numbers."""
POOLED = 200
"""Maximum number of classes with a cell each; more classes share cells, which would be too small to see."""


@dataclass(frozen=True)
class Panel:
    """Axes with curves."""

    series: Series
    y_label: str
    """The label of the y axis, with its unit."""


def curves(series: Series, x_label: str, y_label: str) -> Figure:
    """Plot curves over a common axis, such as the loss by epoch, as `curve_panels` does."""
    return curve_panels([Panel(series, y_label)], x_label)


def curve_panels(panels: Sequence[Panel], x_label: str) -> Figure:
    """Plot several axes with curves, two in a row, with one legend and the same colours in all of them; NaN is a gap.

    Raises:
        InputError: there is no panel, or x and y of a curve differ in length.
    """
    if not panels:
        raise InputError("There are no panels to plot: give at least one.")
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(0.2 + (3.4 if columns == 1 else 2.9) * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    looks = line_styles(name for panel in panels for name in panel.series)
    handles: dict[str, Any] = {}
    for axes, panel in zip(grid, panels, strict=False):
        clean(axes, x_label, panel.y_label)
        drawn: list[Numbers] = []
        for name, (x, y) in panel.series.items():
            xs, ys = _floats(x).ravel(), _floats(y).ravel()
            if len(xs) != len(ys):
                raise InputError(f"The curve {name!r} has {len(xs)} x and {len(ys)} y values: give equal numbers.")
            seen = np.isfinite(xs) & np.isfinite(ys)
            # Few points get markers: a single point would be invisible without one.
            look = looks[name] if seen.sum() <= MARKED else {**looks[name], "marker": ""}
            (handles[name],) = axes.plot(xs, ys, linewidth=1.8, markersize=4.5, **look)
            drawn.append(xs[seen])
        xs = np.concatenate([*drawn, np.empty(0)])
        if not len(xs):
            nothing(axes, "no values")
        if np.array_equal(xs, xs.round()):
            axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=(1, 2, 5, 10)))
            if len(xs) and xs.min() == xs.max():
                axes.set_xlim(xs[0] - 1, xs[0] + 1)
    for axes in grid[len(panels) :]:
        axes.remove()
    legend(figure, handles if len(handles) > 1 or any(handles) else {})
    return finish(figure)


def lines_with_errors(
    series: Mapping[str, Values], edges: Values, x_label: str, y_label: str, counts: Values
) -> Figure:
    """Plot means over seeds by bins of x, such as the accuracy of several models by object size.

    Lines join the means, error bars show the standard deviation of a sample (n - 1) of seeds, and faint dots the
    individual seeds; the legend says so. NaN, as in a bin without images, is left out. The x axis is logarithmic.

    Args:
        series: values `(seeds, bins)` by name, or `(bins,)` for one seed.
        edges: the ascending edges of the bins, one more than bins.
        x_label: the label of the x axis, with its unit.
        y_label: the label of the y axis, with its unit.
        counts: the number of images in each bin, for a bar chart below.

    Raises:
        InputError: the numbers of bins differ, or the edges are not positive and ascending.
    """
    borders = _floats(edges).ravel()
    bins = len(borders) - 1
    if bins < 1 or not np.isfinite(borders).all() or (np.diff(borders, prepend=0) <= 0).any():
        raise InputError(
            f"Edges {borders.tolist()} are not edges of bins: give two or more above 0 in ascending order."
        )
    values = {name: _checked(name, np.atleast_2d(_floats(value)), bins) for name, value in series.items()}
    figure = new_figure(4.6)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    clean(axes, "", y_label)
    place = np.log(borders)
    centre, width = (place[:-1] + place[1:]) / 2, np.diff(place)
    handles: dict[str, Any] = {}
    # Side by side within the bin, so that equal values do not hide each other.
    step = 0.4 / max(1, len(values))
    for index, (name, look) in enumerate(line_styles(values).items()):
        seeds = values[name]
        middle = centre + width * step * (index + 0.5 - len(values) / 2)
        several = len(seeds) > 1
        with warnings.catch_warnings():
            # Bins without values have a mean of NaN, and those with one value a deviation of NaN.
            warnings.simplefilter("ignore", RuntimeWarning)
            mean, deviation = np.nanmean(seeds, 0), np.nanstd(seeds, 0, ddof=1) if several else None
        if several:
            x = np.broadcast_to(np.exp(middle + width * step * 0.3), seeds.shape)
            axes.plot(x.T, seeds.T, look["marker"], color=look["color"], alpha=0.35, markersize=4, mew=0)
        handles[f"{name} ({len(seeds)} seeds)" if several else name] = axes.errorbar(
            np.exp(middle), mean, deviation, linewidth=1.6, elinewidth=1.3, markersize=5, capsize=3, **look
        )
    if not any(np.isfinite(seeds).any() for seeds in values.values()):
        nothing(axes, "no values")
    axes.set_xscale("log")
    axes.set_xlim(borders[0], borders[-1])
    axes.xaxis.set_major_locator(FixedLocator(borders[:: -(-len(borders) // 12)].tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    _count_bars(below, borders, np.nan_to_num(_checked("counts", np.atleast_2d(_floats(counts)), bins)[0]))
    clean(below, x_label, "images")
    below.set_yticks([])
    axes.spines["bottom"].set_visible(False)
    many = any(len(seeds) > 1 for seeds in values.values())
    legend(figure, handles, "line: mean of the seeds; bars: ± 1 standard deviation; dots: single seeds" if many else "")
    return finish(figure)


def confusion_matrix(matrix: Values, class_names: Sequence[str]) -> Figure:
    """Plot a confusion matrix in percent of the true class (rows), by predicted class (columns).

    The colour scale is a square root, so that rare confusions are visible. Of many classes only some are named, and
    above `POOLED` classes a cell shows the maximum over several neighbouring classes.

    Args:
        matrix: counts or shares `(classes, classes)`; rows are true classes, columns predicted ones. Rows without
            images are grey.
        class_names: the name of each class.

    Raises:
        InputError: the matrix is not square, contains negative or infinite values, or does not match the names.
    """
    counts = _floats(matrix)
    classes = len(class_names)
    if not classes or counts.shape != (classes, classes) or ((counts < 0) | np.isinf(counts)).any():
        raise InputError(
            f"A confusion matrix of shape {counts.shape} does not fit {classes} class names: give counts, 0 or more, "
            "with a row and a column per name, and at least one name."
        )
    total = counts.sum(1, keepdims=True)
    percent = 100 * np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    block = -(-classes // POOLED)
    shown = _block_maxima(percent, block)

    colours = LinearSegmentedColormap.from_list("share", SHARES).with_extremes(bad="#e9e9e9")
    every = -(-classes // LABELLED)
    ticks = range(0, classes, every)
    size = 9 if classes <= 20 else 7.5
    names = [drawable(shorten(class_names[tick], 13)) for tick in ticks]
    widest = max(text_width(name) for name in names) * size / 72  # inches
    side = min(WIDTH - 1.5 - widest, max(2.4, max(1.2, widest + 0.2) * classes))
    upright = widest > side / len(names) - 0.1
    figure = new_figure(side + 0.5 + (widest if upright else 0.2))
    figure.set_figwidth(side + 1.5 + widest)
    axes = figure.subplots()
    extent = (-0.5, classes - 0.5, classes - 0.5, -0.5)
    cells = axes.imshow(shown, cmap=colours, norm=PowerNorm(0.5, 0, 100), interpolation="nearest", extent=extent)
    clean(axes, "predicted class", "true class")
    axes.grid(False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(QUIET)
    axes.set_xticks(ticks, names, rotation=90 if upright else 0, fontsize=size)
    axes.set_yticks(ticks, names, fontsize=size)
    if every > 1:
        axes.tick_params(length=3)
    if classes <= NUMBERED:
        for row, column in np.argwhere(percent > 0):
            number = percent[row, column]
            text = f"{number:.0f}" if number >= 0.5 else "<1"
            colour = "white" if number > 30 else INK
            axes.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)
    unit = f"; maximum of {block} x {block} classes" if block > 1 else ""
    percents = [0, 1, 5, 20, 50, 100]
    colour_bar(figure, cells, f"share of the true class (%){unit}", 9, ax=axes, shrink=0.7, ticks=percents)
    return finish(figure)


def _checked(name: str, values: Numbers, bins: int) -> Numbers:
    if values.ndim != 2 or values.shape[1] != bins or not len(values):
        raise InputError(f"{name!r} has values of shape {values.shape} for {bins} bins: give (seeds, bins).")
    return values


def _count_bars(axes: Axes, borders: Numbers, counts: Numbers) -> None:
    """Draw the counts of the bins as bars of the width of the bin, with numbers above them."""
    axes.bar(borders[:-1], counts, np.diff(borders), align="edge", color="#c9c9c9", edgecolor="white")
    if len(counts) <= NUMBERED:
        for x, count in zip(np.sqrt(borders[:-1] * borders[1:]), counts, strict=True):
            axes.annotate(
                f"{count:,.0f}", (x, count), (0, 2), textcoords="offset points", ha="center", fontsize=8.5, color=QUIET
            )
    axes.set_ylim(0, max(1.0, counts.max()) * 1.35)


def _block_maxima(values: Numbers, block: int) -> Numbers:
    """The maximum of each block of cells, `(n, n)` to `(ceil(n / block), ...)`; NaN for blocks without values."""
    if block == 1:
        return values
    padded = np.pad(values, (0, -len(values) % block), constant_values=np.nan)
    side = len(padded) // block
    greatest = np.fmax.reduce(np.fmax.reduce(padded.reshape(side, block, side, block), 3), 1)
    return np.asarray(greatest, dtype=np.float64)
