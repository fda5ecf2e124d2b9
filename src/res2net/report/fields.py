"""A figure of the receptive fields of several networks: of all paths, and effective ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from res2net.errors import InputError
from res2net.measure import EffectiveField, PathCounts
from res2net.report.images import as_array
from res2net.report.plots import SHARES
from res2net.report.style import INK, QUIET, WIDTH, clean, colour_bar, finish, legend, line_styles, new_figure
from res2net.report.text import drawable, shorten

BARS = 48
"""Maximum number of bins along the axis, as far as `WIDTHS` allows."""
WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Possible widths of the bins, in pixels."""
MAPS = 3
"""Maximum number of maps in a row."""


@dataclass(frozen=True)
class Fields:
    """The receptive fields of one network."""

    paths: PathCounts
    """The number of paths by size of their receptive field in pixels."""
    effective: EffectiveField
    """The effective receptive field for images."""


def fields_figure(networks: Mapping[str, Fields]) -> Figure:
    """Plot the distribution of paths, the share of the gradient around the centre, and a map of the gradient.

    Raises:
        InputError: there is no network, or one without paths or without an effective field for images.
    """
    if not networks:
        raise InputError("There are no networks to plot: give at least one.")
    for name, fields in networks.items():
        if not fields.paths or fields.effective.gradient.ndim != 2:
            raise InputError(f"The receptive fields of {name} cannot be plotted: give its paths and a field of images.")
    columns = min(MAPS, max(2, len(networks)))
    rows = -(-len(networks) // columns)
    side = min(2.6, (WIDTH - 1.2) / columns)
    figure = new_figure(3.1 + rows * (side + 0.5))
    parts = figure.add_gridspec(2, 1, height_ratios=(2.9, rows * (side + 0.5)))
    upper = parts[0].subgridspec(1, 2)
    left, right = (figure.add_subplot(upper[0, column]) for column in range(2))
    handles = _paths(left, networks)
    _shares(right, networks)
    grid = parts[1].subgridspec(rows, columns)
    maps = [figure.add_subplot(grid[index // columns, index % columns]) for index in range(len(networks))]
    for index, (axes, (name, fields)) in enumerate(zip(maps, networks.items(), strict=True)):
        image = _map(axes, name, fields.effective, first=index % columns == 0)
    ticks = [0, 10, 25, 50, 100]
    colour_bar(figure, image, "gradient, % of its maximum", 8, ax=maps, aspect=14 * rows, pad=0.02, ticks=ticks)
    legend(figure, handles, "dotted: mean of the paths, and square with half of the gradient")
    return finish(figure)


def most_end_at(paths: PathCounts, share: float = 0.999) -> int:
    """The receptive field that a share of the paths does not exceed; the few longest paths are outliers."""
    sizes, total = sorted(paths), sum(paths.values())
    seen = accumulate(paths[size] for size in sizes)
    return next((size for size, count in zip(sizes, seen, strict=True) if count / total >= share), sizes[-1])


def _paths(axes: Axes, networks: Mapping[str, Fields]) -> dict[str, Any]:
    """Plot a histogram of the paths by receptive field, for each network."""
    largest = max(most_end_at(fields.paths) for fields in networks.values())
    width = next((width for width in WIDTHS if largest / width <= BARS), WIDTHS[-1])
    clean(axes, "receptive field of a path, px", f"paths, % in each {width} px" if width > 1 else "paths, %")
    edges = np.arange(0, largest + 2 * width, width) - 0.5
    handles: dict[str, Any] = {}
    for name, look in line_styles(networks).items():
        paths = networks[name].paths
        total = sum(paths.values())
        # Integer division: a network can have more paths than a float can represent.
        shares = np.array([100 * count / total for count in paths.values()])
        heights, _ = np.histogram(list(paths), edges, weights=shares)  # without the outliers
        axes.stairs(heights, edges, fill=True, color=look["color"], alpha=0.12)
        axes.stairs(heights, edges, color=look["color"], linestyle=look["linestyle"], linewidth=1.6)
        axes.axvline(float(np.dot(list(paths), shares)) / 100, color=look["color"], linestyle=":", linewidth=1.3)
        (handles[name],) = axes.plot([], [], color=look["color"], linestyle=look["linestyle"], linewidth=1.8)
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10)))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=(1, 2, 5, 10)))
    return handles


def _shares(axes: Axes, networks: Mapping[str, Fields]) -> None:
    """Plot the share of the gradient within a square around the centre, for each network."""
    clean(axes, "side of a square around the centre, px", "gradient within, %")
    for name, look in line_styles(networks).items():
        effective = networks[name].effective
        within = as_array(effective.cumulative(), np.float64)
        sides = np.arange(1, len(within) + 1)
        axes.plot(sides, 100 * within, linewidth=1.8, color=look["color"], linestyle=look["linestyle"])
        half = effective.side(0.5)
        axes.plot([half, half], [0, 50], color=look["color"], linestyle=":", linewidth=1.3)
    axes.axhline(50, color=QUIET, linestyle=":", linewidth=0.8)
    axes.set_xlim(left=0)
    axes.set_ylim(0, 102)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=(1, 2, 5, 10)))


def _map(axes: Axes, name: str, effective: EffectiveField, *, first: bool) -> Any:
    """Plot a map of the gradient at each pixel, relative to the centre."""
    clean(axes, "px from the centre", "px from the centre" if first else "")
    axes.grid(False)
    axes.set_title(drawable(shorten(name, 20)), fontsize=9.5, color=INK)
    gradient = as_array(effective.gradient, np.float64)
    (top, left), (height, width) = effective.centre, gradient.shape
    image = axes.imshow(
        100 * gradient / gradient.max(),
        cmap=LinearSegmentedColormap.from_list("share", SHARES),
        # The square root makes small values visible.
        norm=PowerNorm(0.5, 0, 100),
        extent=(-0.5 - left, width - 0.5 - left, height - 0.5 - top, -0.5 - top),
        interpolation="antialiased",
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, integer=True, steps=(1, 2, 5, 10)))
    return image
