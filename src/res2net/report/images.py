"""Images side by side with captions, and heat maps laid over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from res2net.errors import InputError
from res2net.report.style import DPI, INK, QUIET, WIDTH, finish, nothing
from res2net.report.text import drawable, lines_of, quiet_fonts

__all__ = ["ImageLike", "as_image", "captioned", "fit", "image_grid", "image_rows", "overlay"]

ImageLike: TypeAlias = Tensor | Image.Image
"""A uint8 tensor `(3, H, W)` or `(1, H, W)`, or a Pillow image."""

FINE = 2
"""Pixels of a sheet for each pixel at `DPI`, so that it is sharp on fine screens."""
MARGIN = 6
FONT = 9.0
LINE = 15
"""Height of a line of a caption."""
HEAT = "plasma"
TALLEST = 2**15
"""Pixels that a sheet may be high; matplotlib draws none of twice as many."""


def as_image(image: ImageLike) -> Image.Image:
    """An image in colour for Pillow.

    Raises:
        InputError: it is no image: another shape or type, or without pixels.
    """
    if isinstance(image, Image.Image):
        converted = image.convert("RGB")
    elif image.dtype == torch.uint8 and image.ndim == 3 and image.shape[0] in (1, 3):
        pixels = image.detach().cpu().expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
        converted = Image.fromarray(pixels)
    else:
        raise InputError(
            f"A tensor {tuple(image.shape)} of {image.dtype} is no image to draw: give uint8 of shape (3, H, W), "
            "as `denormalise` returns."
        )
    if not converted.width or not converted.height:
        raise InputError(
            f"An image of {converted.width} x {converted.height} pixels cannot be drawn: give one that has some."
        )
    return converted


def fit(image: Image.Image, side: int) -> Image.Image:
    """The image as large as fits a square of `side` pixels.

    Small ones grow by a whole number and keep their pixels visible; large ones shrink smoothly.
    """
    longest = max(image.size)
    if longest <= side:
        factor = side // longest
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    size = (max(1, image.width * side // longest), max(1, image.height * side // longest))
    return image.resize(size, Image.Resampling.LANCZOS)


def overlay(image: ImageLike, heat: Tensor, *, strength: float = 0.75) -> Image.Image:
    """A heat map over a grey version of its image, in the colours that `heat_legend` of a sheet explains.

    Where there is no heat the image stays clear: the colour's share is `strength * sqrt(heat)`.

    Args:
        image: the image.
        heat: `(H, W)` of the image, 0..1; NaN counts as 0.
        strength: share of the colour where the heat is greatest, 0..1.

    Raises:
        InputError: the sizes differ.
    """
    image = as_image(image)
    if tuple(heat.shape) != (image.height, image.width):
        raise InputError(
            f"A heat map {tuple(heat.shape)} does not fit an image of {image.height} x {image.width} pixels: "
            "give one value for each pixel."
        )
    # Not quite black and not quite white, which would hide or outshine the colours.
    grey = 70 + 0.6 * np.asarray(image.convert("L"), dtype=np.float64)[..., None]
    warmth = heat.detach().cpu().double().nan_to_num(0).clamp(0, 1).numpy()
    share = strength * np.sqrt(warmth)[..., None]
    mixed = grey * (1 - share) + mpl.colormaps[HEAT](warmth)[..., :3] * 255 * share
    return Image.fromarray(mixed.round().astype(np.uint8))


def captioned(image: ImageLike, caption: str) -> Image.Image:
    """An image with a caption below it, for many images one by one.

    Matplotlib, which takes most of the time of a sheet, draws nothing but the letters.

    Args:
        image: of any size; `fit` gives it the width of a figure.
        caption: a line break starts a new line, long lines are cut in two.

    Raises:
        InputError: a tensor is no image.
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


def image_grid(
    images: Sequence[ImageLike],
    captions: Sequence[str] = (),
    columns: int = 5,
    *,
    heat_legend: str = "",
) -> Figure:
    """Images row by row with a caption below each.

    Small images are enlarged by a whole number, so that their pixels stay what they are.

    Args:
        images: any number, of any sizes.
        captions: one for each, or none at all; a line break starts a new line, long lines are cut in two.
        columns: images in a row.
        heat_legend: what the colours of `overlay` mean, such as "evidence for the class"; empty for no legend.

    Raises:
        InputError: the numbers of images and captions differ, there is no column, or too many rows.
    """
    if columns < 1 or (captions and len(captions) != len(images)):
        raise InputError(
            f"{len(images)} images, {len(captions)} captions and {columns} columns do not fit: give one caption "
            "for each image, or none, and at least one column."
        )
    cells = list(zip(images, captions or [""] * len(images), strict=True))
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    return _sheet(rows, columns, heat_legend=heat_legend)


def image_rows(
    rows: Sequence[Sequence[ImageLike]],
    column_titles: Sequence[str],
    captions: Sequence[Sequence[str]] = (),
    *,
    side: int | None = None,
    heat_legend: str = "",
) -> Figure:
    """Rows of images that belong together, under the titles of their columns: image, ResNet, Res2Net.

    Args:
        rows: as many images in each as there are titles.
        column_titles: above the columns.
        captions: for each row as many as it has images, or none at all.
        side: of the square of an image, pixels at `DPI`; by default the columns share the width of a page.
        heat_legend: as in `image_grid`.

    Raises:
        InputError: the numbers do not fit, or there are too many rows.
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
    """All images pasted into one, and texts at their places. Lengths are pixels at `DPI`."""
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
        bar = _heat_bar(200 * FINE, 10 * FINE)
        placed.append((bar, width / 2 - 100, y))
        texts += [(width / 2 - 106, y + 5, "none", {"ha": "right", "va": "center", "color": QUIET})]
        texts += [(width / 2 + 106, y + 5, "most", {"ha": "left", "va": "center", "color": QUIET})]
        texts += [(width / 2, y + 14, heat_legend, {"va": "top", "color": QUIET})]
        y += 34
    height = int(y) + 1
    if height * FINE > TALLEST:
        raise InputError(f"{len(rows)} rows of images are more than a sheet can hold: give fewer, or more columns.")

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
    """The lines of a caption that is at most `width` pixels wide at `DPI`."""
    ems = 0.95 * width * 72 / DPI / FONT  # letters are rounded to whole pixels, most of them up
    return [part for line in text.split("\n") for part in lines_of(line, ems)]


def _heat_bar(width: int, height: int) -> Image.Image:
    """The colours from 0 to 1, as `overlay` shows them over middle grey."""
    return overlay(Image.new("L", (width, height), 128), torch.linspace(0, 1, width).expand(height, -1))
