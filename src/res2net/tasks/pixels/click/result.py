"""The object that a user clicked on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from res2net.images.run_lengths import run_lengths
from res2net.report import Column
from res2net.report.tables import Cell
from res2net.task.result import Result, write_png
from res2net.tasks.pixels.click.clicks import Clicked
from res2net.tasks.pixels.click.drawing import draw_clicks

__all__ = ["ObjectMask"]


@dataclass(eq=False)
class ObjectMask(Result):
    """The mask of an object, and the clicks from which it was found."""

    mask: NDArray[np.bool_]
    """`(H, W)` of the image."""
    clicks: Sequence[Clicked]
    """In pixels of the image, in order; none for a ground truth."""

    columns = (Column("share of the image", "%", digits=1), Column("clicks"))
    files = "masks"

    @property
    def share(self) -> float:
        """The share of the image that the object covers, 0..1."""
        return float(self.mask.mean())

    def to_dict(self) -> dict[str, Any]:
        """`object`: the `clicks`, the `share` of the image, and the `segmentation` in COCO's run lengths."""
        return {
            "object": {
                "clicks": [one._asdict() for one in self.clicks],
                "share": self.share,
                "segmentation": run_lengths(self.mask),
            }
        }

    def rows(self) -> Sequence[Sequence[Cell]]:
        """The share of the image, and the number of clicks."""
        return [(100 * self.share, len(self.clicks))]

    def draw(self, image: Any = None) -> Image.Image:
        """The image with the mask and the clicks."""
        return draw_clicks(self._canvas(image), self.mask, self.clicks)

    def save(self, stem: str | Path) -> list[Path]:
        """Write the mask as `STEM-mask.png`, white on black."""
        stem = Path(stem)
        return [write_png(stem.with_name(f"{stem.name}-mask.png"), Image.fromarray(self.mask))]
