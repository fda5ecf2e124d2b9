"""Sheets of images with captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from res2net.errors import InputError
from res2net.report.images import ImageLike, as_image, fit, overlay
from res2net.report.style import DPI, INK, QUIET, WIDTH, finish, nothing
from res2net.report.text import drawable, lines_of, quiet_fonts

FINE = 2
"""Pixels of a sheet per pixel at `DPI`, so that it is sharp on high-resolution screens."""
MARGIN = 6
FONT = 9.0
LINE = 15
"""Line height of captions in pixels."""
TALLEST = 2**15
"""Maximum height of a sheet in pixels; matplotlib's limit is twice as high."""


def captioned(image: ImageLike, caption: str) -> Image.Image:
    """Add a caption of one or more lines below an image, which `fit` resizes to the width of a figure.

    It is faster than a sheet, since matplotlib draws only the text. Long lines are wrapped once.
    """
    width = int(WIDTH * DPI)
    image = fit(as_image(image), width - 2 * MARGIN)
    lines = _caption_lines(caption, width - 2 * MARGIN)
    height = LINE * len(lines) + MARGIN
    figure = Figure(figsize=(WIDTH, height / DPI), dpi=DPI, facecolor="white")
    text = "\n".join(map(drawable, lines))
    figure.text(0.5, 1, text, ha="center", va="top", fontsize=FONT, color=INK)
    canvas = FigureCanvasAgg(finish(figure))
    with quiet_fonts():
        canvas.draw()
    paper = Image.new("RGB", (width, image.height + 2 * MARGIN + height), "white")
    paper.paste(image, ((width - image.width) // 2, MARGIN))
    paper.paste(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"), (0, image.height + 2 * MARGIN))
    return paper


def image_grid(images: Sequence[ImageLike], captions: Sequence[str] = (), columns: int = 5) -> Figure:
    """Draw a grid of images with captions; small images are enlarged by a whole number with visible pixels.

    There is a caption for each image, or none at all; long lines are wrapped once.

    Raises:
        InputError: the numbers of images and captions differ, there is no column, or there are too many rows.
    """
    if columns < 1 or (captions and len(captions) != len(images)):
        raise InputError(
            f"{len(images)} images, {len(captions)} captions and {columns} columns do not fit: give one caption "
            "for each image, or none, and at least one column."
        )
    cells = list(zip(images, captions or [""] * len(images), strict=True))
    return _sheet([cells[start : start + columns] for start in range(0, len(cells), columns)], columns)


def image_rows(
    rows: Sequence[Sequence[ImageLike]],
    column_titles: Sequence[str],
    captions: Sequence[Sequence[str]] = (),
    *,
    side: int | None = None,
    heat_legend: str = "",
) -> Figure:
    """Draw rows of related images under the titles of their columns, such as image, ResNet, Res2Net.

    Args:
        rows: rows of one image per column.
        column_titles: one title per column.
        captions: a caption for each image of each row, or none at all.
        side: maximum side of an image in pixels at `DPI`; by default the columns share the width of a page.
        heat_legend: the meaning of the colours of `overlay`; empty for no legend.

    Raises:
        InputError: the numbers of images, captions and titles do not match, or there are too many rows.
    """
    columns = len(column_titles)
    if not columns or any(len(row) != columns for row in (*rows, *captions)) or len(captions) not in (0, len(rows)):
        raise InputError(
            f"Rows of {[len(row) for row in rows]} images and {[len(row) for row in captions]} captions do not fit "
            f"{columns} column titles: give as many in each row."
        )
    texts = captions or [[""] * columns] * len(rows)
    cells = [list(zip(row, text, strict=True)) for row, text in zip(rows, texts, strict=True)]
    return _sheet(cells, columns, titles=column_titles, heat_legend=heat_legend, side=side)


def _sheet(
    rows: Sequence[Sequence[tuple[ImageLike, str]]],
    columns: int,
    *,
    titles: Sequence[str] = (),
    heat_legend: str = "",
    side: int | None = None,
) -> Figure:
    """Compose a sheet: all images pasted into one, with text at its position. Lengths are pixels at `DPI`."""
    width = int(WIDTH * DPI) if side is None else columns * (side + MARGIN)
    step = width / columns
    side = max(1, int(step - MARGIN))
    placed: list[tuple[Image.Image, float, float]] = []
    texts: list[tuple[float, float, str, dict[str, object]]] = []
    y = float(MARGIN)
    if titles:
        heads = [_caption_lines(title, side) for title in titles]
        y += LINE * max(map(len, heads))
        for column, head in enumerate(heads):
            texts.append((column * step + step / 2, y, "\n".join(head), {"va": "bottom", "weight": "bold"}))
        y += 4
    for row in rows:
        images = [fit(as_image(canvas), side * FINE) for canvas, _ in row]
        captions = [_caption_lines(text, side) for _, text in row]
        height = max(image.height for image in images) / FINE
        for column, (image, caption) in enumerate(zip(images, captions, strict=True)):
            middle = column * step + step / 2
            placed.append((image, middle - image.width / FINE / 2, y + (height - image.height / FINE) / 2))
            texts.append((middle, y + height + 3, "\n".join(caption), {"va": "top"}))
        y += height + LINE * max(map(len, captions)) + 10
    if not rows:
        y += 60
    if heat_legend:
        y += 4
        # The colours of `overlay`, from 0 to 1 over a medium grey.
        heat = torch.linspace(0, 1, 200 * FINE).expand(10 * FINE, -1)
        placed.append((overlay(Image.new("L", (200 * FINE, 10 * FINE), 128), heat), width / 2 - 100, y))
        texts += [(width / 2 - 106, y + 5, "none", {"ha": "right", "va": "center", "color": QUIET})]
        texts += [(width / 2 + 106, y + 5, "most", {"ha": "left", "va": "center", "color": QUIET})]
        texts += [(width / 2, y + 14, heat_legend, {"va": "top", "color": QUIET})]
        y += 34
    height = int(y) + 1
    if height * FINE > TALLEST:
        raise InputError(f"{len(rows)} rows of images are too many for a sheet: give fewer images, or more columns.")

    paper = Image.new("RGB", (width * FINE, height * FINE), "white")
    for image, left, top in placed:
        paper.paste(image, (round(left * FINE), round(top * FINE)))
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(np.asarray(paper), interpolation="nearest", extent=(0, width, height, 0), aspect="auto")
    axes.set_axis_off()
    for x, top, text, options in texts:
        shown = "\n".join(drawable(line) for line in text.split("\n"))
        axes.text(x, top, shown, **{"ha": "center", "fontsize": FONT, "color": INK, **options})  # type: ignore[arg-type]
    if not rows:
        nothing(axes, "no images")
    return finish(figure)


def _caption_lines(text: str, width: float) -> list[str]:
    """Wrap a caption to a width in pixels at `DPI`."""
    ems = 0.95 * width * 72 / DPI / FONT  # widths of letters are rounded to whole pixels, mostly up
    return [part for line in text.split("\n") for part in lines_of(line, ems)]
