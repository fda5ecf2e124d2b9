"""The image that was made of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from res2net.report import Column
from res2net.report.images import image_table
from res2net.report.tables import Cell
from res2net.task.result import Result, write_png


@dataclass(eq=False)
class TranslatedImage(Result):
    """The image that was made of an image, in the size of its file."""

    pixels: NDArray[np.uint8]
    """`(height, width, 3)`."""

    columns = (Column("size", "pixels"),)
    files = "images"

    def to_dict(self) -> dict[str, Any]:
        """`translation`: `width` and `height`; `save` writes the image itself."""
        height, width = self.pixels.shape[:2]
        return {"translation": {"width": int(width), "height": int(height)}}

    def rows(self) -> Sequence[Sequence[Cell]]:
        """One row with the size."""
        return [(f"{self.pixels.shape[1]} x {self.pixels.shape[0]}",)]

    def draw(self, image: Any = None) -> Image.Image:
        """The input, and the image that was made of it at its right."""
        return image_table([[self._canvas(image), Image.fromarray(self.pixels)]])

    def panel(self, image: Any, truth: Result | None = None) -> Image.Image:
        """The image that was made, alone."""
        return Image.fromarray(self.pixels)

    def save(self, stem: str | Path) -> list[Path]:
        """Write the image that was made as `STEM-translated.png`."""
        return [write_png(Path(f"{Path(stem)}-translated.png"), Image.fromarray(self.pixels))]
