"""Reports as self-contained HTML files, without scripts or external resources."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure
from PIL import Image

from res2net._version import __version__
from res2net.errors import InputError, visible
from res2net.report.images import ImageLike, as_image, fit
from res2net.report.style import DPI, render
from res2net.report.tables import Table
from res2net.weights import atomic_write

SMALL = 256
"""Images up to this side in pixels are stored as PNG, larger ones as JPEG."""
CELL_SHARE = 0.55
"""Minimum width of images side by side, as a share of the widest image; they grow on a wide page."""
CELLS = (120, 350)
"""Limits of that minimum width, in pixels."""


class Report:
    """A page of sections, paragraphs, tables and images, in the order in which they are added.

    All text is escaped: it cannot add markup, scripts, references or invisible characters to the page.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._blocks: list[dict[str, Any]] = []

    def add_section(self, heading: str) -> None:
        """Begin a section. A page with more than two sections has a table of contents."""
        self._blocks.append({"kind": "section", "text": heading, "anchor": f"section-{len(self._blocks)}"})

    def add_paragraph(self, text: str) -> None:
        """Add a paragraph."""
        self._blocks.append({"kind": "paragraph", "text": text})

    def add_table(self, table: Table) -> None:
        """Add a table."""
        self._blocks.append({"kind": "table", "table": table.to_html()})

    def add_figure(self, figure: Figure | ImageLike, caption: str) -> None:
        """Add a figure of matplotlib, or an image, with a caption; small images are enlarged by a whole number.

        Raises:
            InputError: a tensor is not an image.
        """
        if isinstance(figure, Figure):
            width, height = figure.get_size_inches() * DPI
            embedded = _embedded(render(figure), "png", (round(width), round(height)))
        else:
            image = as_image(figure)
            embedded = _image(fit(image, SMALL) if max(image.size) < SMALL else image)
        self._blocks.append({"kind": "figure", "image": embedded, "caption": caption})

    def add_images(
        self, images: Sequence[ImageLike], captions: Sequence[str], caption: str, in_row: int | None = None
    ) -> None:
        """Add images side by side, each with a caption of one or more lines, and a caption for all of them.

        Small images are enlarged with visible pixels. By default there are as many in a row as fit on the screen.

        Raises:
            InputError: the numbers of captions and images differ, or a tensor is not an image.
        """
        if len(captions) != len(images):
            raise InputError(f"There are {len(captions)} captions for {len(images)} images: give one for each.")
        converted = [as_image(image) for image in images]
        shown = [
            _image(image) | {"caption": text, "small": max(image.size) <= SMALL // 2}
            for image, text in zip(converted, captions, strict=True)
        ]
        # Large images contain small details, so they are shown larger.
        widest = max((image.width for image in converted), default=0)
        cell = min(max(round(CELL_SHARE * widest), CELLS[0]), CELLS[1])
        each = "0" if in_row else f"min(100%, {cell}px)"
        columns = f"repeat({in_row or 'auto-fill'}, minmax({each}, 1fr))"
        self._blocks.append({"kind": "images", "images": shown, "caption": caption, "columns": columns})

    def html(self) -> str:
        """Render the page."""
        source = resources.files(__package__).joinpath("report.html.jinja").read_text("utf-8")
        environment = jinja2.Environment(
            autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        page = environment.from_string(source).render(
            title=self.title, subtitle=self.subtitle, blocks=self._blocks, version=__version__
        )
        return visible(page, keep="\n\t")

    def write(self, path: str | Path) -> None:
        """Write the page to a file, whole or not at all.

        Raises:
            InputError: the file cannot be written: full disk, no permission.
        """
        atomic_write(path, self.html().encode())


def _image(image: Image.Image) -> dict[str, Any]:
    buffer = io.BytesIO()
    kind = "png" if max(image.size) <= SMALL else "jpeg"
    image.save(buffer, kind, **({} if kind == "png" else {"quality": 90}))
    return _embedded(buffer.getvalue(), kind, image.size)


def _embedded(content: bytes, kind: str, size: tuple[int, int]) -> dict[str, Any]:
    """An image as a data URL, with its size on the page in pixels."""
    address = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return {"address": address, "width": size[0], "height": size[1]}
