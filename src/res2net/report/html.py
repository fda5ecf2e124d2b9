"""A report as one HTML file that holds everything it shows, and loads and runs nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure
from PIL import Image

from res2net._version import __version__
from res2net.errors import InputError
from res2net.report.images import ImageLike, as_image, fit
from res2net.report.style import DPI, render
from res2net.report.tables import Table
from res2net.weights import atomic_write

__all__ = ["Report"]

SMALL = 256
"""Images of at most so many pixels a side are stored without loss; larger ones as JPEG."""
CELL_SHARE = 0.55
"""Of the width of the widest image, which images side by side have at least; wider on a page with room."""
CELLS = (120, 350)
"""Least and most of that width, pixels."""


@dataclass(frozen=True)
class Embedded:
    """An image within the file: its data address, and its size on the page in pixels."""

    address: str
    width: int
    height: int


class Report:
    """A page of sections, paragraphs, tables and images, in the order in which they are added.

    Every text is shown as it is: it cannot bring markup, scripts or references into the page.

    Args:
        title: the heading of the page.
        subtitle: what stands below it, such as the model, the data and the date.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._blocks: list[dict[str, Any]] = []

    def add_section(self, heading: str) -> None:
        """Begin a section. A page of more than two has a table of contents."""
        self._blocks.append({"kind": "section", "text": heading, "anchor": f"section-{len(self._blocks)}"})

    def add_paragraph(self, text: str) -> None:
        """Add a paragraph."""
        self._blocks.append({"kind": "paragraph", "text": text})

    def add_table(self, table: Table) -> None:
        """Add a table."""
        self._blocks.append({"kind": "table", "table": table.to_html()})

    def add_figure(self, figure: Figure | ImageLike, caption: str, *, alt: str = "", kind: str = "png") -> None:
        """Add a figure or an image; a small one is enlarged with its pixels visible.

        Args:
            figure: a matplotlib figure, a Pillow image or a uint8 tensor `(3, H, W)`.
            caption: what it shows; stands below it.
            alt: what it shows, for those who cannot see it; by default the caption.
            kind: of a matplotlib figure: "png", at twice its size, or "svg", sharp at any.

        Raises:
            InputError: the kind is not known, or a tensor is no image.
        """
        if isinstance(figure, Figure):
            embedded = _figure(figure, kind)
        else:
            image = as_image(figure)
            embedded = _image(fit(image, SMALL) if max(image.size) < SMALL else image)
        self._blocks.append({"kind": "figure", "image": embedded, "caption": caption, "alt": alt or caption})

    def add_images(
        self, images: Sequence[ImageLike], captions: Sequence[str], caption: str, in_row: int | None = None
    ) -> None:
        """Add images side by side.

        Args:
            images: any number; small ones are enlarged with their pixels visible.
            captions: one for each; a line break starts a new line.
            caption: what all of them show.
            in_row: so many belong together in a row; by default as many as the screen has room for.

        Raises:
            InputError: there are not as many captions as images, or a tensor is no image.
        """
        if len(captions) != len(images):
            raise InputError(f"{len(images)} images have {len(captions)} captions: give one for each.")
        converted = [as_image(image) for image in images]
        shown = [
            {**vars(_image(image)), "caption": text, "small": max(image.size) <= SMALL // 2}
            for image, text in zip(converted, captions, strict=True)
        ]
        # Large images are scenes, in which small things are to be seen.
        widest = max((image.width for image in converted), default=0)
        cell = min(max(round(CELL_SHARE * widest), CELLS[0]), CELLS[1])
        each = "0" if in_row else f"min(100%, {cell}px)"
        columns = f"repeat({in_row or 'auto-fill'}, minmax({each}, 1fr))"
        self._blocks.append({"kind": "images", "images": shown, "caption": caption, "columns": columns})

    def html(self) -> str:
        """The page."""
        source = resources.files(__package__).joinpath("report.html.jinja").read_text("utf-8")
        environment = jinja2.Environment(
            autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        return environment.from_string(source).render(
            title=self.title, subtitle=self.subtitle, blocks=self._blocks, version=__version__
        )

    def write(self, path: str | Path) -> None:
        """Write the page to one file, whole or not at all.

        Raises:
            InputError: the file cannot be written: full disk, no permission.
        """
        # A name of a file that is no valid text cannot be encoded: its odd characters become question marks.
        content = self.html().encode("utf-8", errors="replace")
        atomic_write(path, lambda file: file.write(content))


def _figure(figure: Figure, kind: str) -> Embedded:
    content = render(figure, kind)
    media = "image/svg+xml" if kind == "svg" else "image/png"
    width, height = figure.get_size_inches() * DPI
    return _embed(content, media, round(width), round(height))


def _image(image: Image.Image) -> Embedded:
    buffer = io.BytesIO()
    if max(image.size) <= SMALL:
        image.save(buffer, "PNG")
        return _embed(buffer.getvalue(), "image/png", *image.size)
    image.save(buffer, "JPEG", quality=90)
    return _embed(buffer.getvalue(), "image/jpeg", *image.size)


def _embed(content: bytes, media: str, width: int, height: int) -> Embedded:
    return Embedded(f"data:{media};base64,{base64.b64encode(content).decode()}", width, height)
