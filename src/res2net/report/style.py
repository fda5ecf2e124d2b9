"""The common style of all figures: sizes, colours, axes, and rendering to files."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from res2net.errors import check_choice
from res2net.report.text import FAMILIES, drawable, fallbacks, quiet_fonts, shorten, text_width
from res2net.weights import atomic_write

WIDTH = 7.0
"""Width of a figure in inches; 700 pixels at `DPI`."""
DPI = 100
ImageKind = Literal["png", "svg"]

INK = "#222222"
QUIET = "#666666"
GRID = "#e4e4e4"
# Okabe and Ito (2008), distinguishable with any colour vision; without yellow, which is invisible on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#444444")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", ":", "-.")


def new_figure(height: float) -> Figure:
    """Create a white figure of `WIDTH` and a height in inches, with constrained layout."""
    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")


def line_styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A colour, a dash style and a marker for each name; after the first few names, also the dashes differ."""
    looks = itertools.product(DASHES, zip(COLOURS, MARKERS, strict=True))
    return {
        name: {"color": color, "linestyle": dashes, "marker": marker}
        for name, (dashes, (color, marker)) in zip(dict.fromkeys(names), itertools.cycle(looks), strict=False)
    }


def clean(axes: Axes, x_label: str, y_label: str) -> None:
    """Set labels, a light grid behind the data, and no frame."""
    axes.set_xlabel(drawable(x_label), fontsize=10, color=INK)
    axes.set_ylabel(drawable(y_label), fontsize=10, color=INK)
    axes.set_facecolor("white")
    axes.set_axisbelow(True)
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.tick_params(labelsize=9, colors=INK, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)


def legend(figure: Figure, handles: Mapping[str, Any], title: str = "") -> None:
    """Add a legend above the axes, in as many columns as fit, and enlarge the figure for it."""
    if not handles:
        return
    names = [drawable(shorten(name, 40)) for name in handles]
    widest = max(text_width(name) for name in names) * 9.5 / 72 + 0.6  # inches
    columns = max(1, min(len(names), int((WIDTH - 0.2) // widest)))
    rows = -(-len(names) // columns)
    figure.set_figheight(figure.get_figheight() + 0.2 * (rows + bool(title)))
    box = figure.legend(
        list(handles.values()),
        names,
        loc="outside upper left",
        ncols=-(-len(names) // rows),
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
        title=drawable(title) or None,
        title_fontsize=9,
        alignment="left",
        handlelength=2.4,
    )
    box.get_title().set_color(QUIET)


def colour_bar(figure: Figure, image: Any, label: str, size: float, **options: Any) -> None:
    """Add a bar that explains the colours of an image, with numbers of that font size; see `Figure.colorbar`."""
    bar = figure.colorbar(image, **options)
    bar.set_label(drawable(label), fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=size, colors=INK, length=0)
    bar.outline.set_visible(False)


def nothing(axes: Axes, text: str) -> None:
    """Write a text in the middle of empty axes."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=11, color=QUIET)


def finish(figure: Figure) -> Figure:
    """Set the font of every text, with the fallback fonts of this system that it needs."""
    for text in figure.findobj(Text):
        text.set_fontfamily([FAMILIES[0], *fallbacks(text.get_text())])
    return figure


def render(figure: Figure, kind: ImageKind = "png", *, scale: int = 2) -> bytes:
    """Render a figure as PNG with `scale * DPI` pixels per inch, or as SVG with text as outlines.

    Raises:
        InputError: the kind is unknown.
    """
    check_choice("kind of image", kind, ImageKind)
    buffer = io.BytesIO()
    # Without the date, equal figures give equal files.
    metadata = {"Date": None} if kind == "svg" else {}
    with quiet_fonts():
        figure.savefig(buffer, format=kind, dpi=DPI * scale, metadata=metadata)
    return buffer.getvalue()


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure to a file whose name ends in .png or .svg, whole or not at all."""
    atomic_write(path, render(figure, cast("ImageKind", Path(path).suffix[1:].lower())))
