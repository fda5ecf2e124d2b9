"""The distance of each pixel of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from res2net.report import Column
from res2net.report.tables import Cell
from res2net.task.result import Result, write_png
from res2net.tasks.pixels.depth.drawing import depth_colours, draw_depth

__all__ = ["DepthMap"]

MILLIMETRES = 1000
"""Of a metre."""
FARTHEST = 65535
"""The largest value in a PNG of 16 bits: 65.535 m."""


@dataclass(eq=False)
class DepthMap(Result):
    """The distance of each pixel of an image."""

    metres: NDArray[np.float32]
    """`(H, W)` of the image; 0 where the distance is unknown, as in a ground truth."""

    columns = (Column("nearest", "m"), Column("median", "m"), Column("farthest", "m"))
    files = "depth maps"

    @property
    def summary(self) -> tuple[float, float, float]:
        """The nearest, the median and the farthest distance, metres."""
        return float(self.metres.min()), float(np.median(self.metres)), float(self.metres.max())

    def to_dict(self) -> dict[str, Any]:
        """`depth`: the `nearest`, the `median` and the `farthest` distance, metres."""
        return {"depth": dict(zip(("nearest", "median", "farthest"), self.summary, strict=True))}

    def rows(self) -> Sequence[Sequence[Cell]]:
        """The nearest, the median and the farthest distance."""
        return [self.summary]

    def draw(self, image: Any = None) -> Image.Image:
        """The image, its distances as colours, and a scale in metres; unknown distances are grey."""
        return draw_depth(self._canvas(image), self.metres)

    def save(self, stem: str | Path) -> list[Path]:
        """Write `STEM-depth.png`, 16 bits in millimetres up to 65.535 m, and `STEM-colours.png`."""
        stem = Path(stem)
        depth, colours = (stem.with_name(f"{stem.name}-{kind}.png") for kind in ("depth", "colours"))
        numbers = (self.metres * MILLIMETRES).round().clip(1, FARTHEST).astype(np.uint16)
        nearest, _, farthest = self.summary
        return [
            write_png(depth, Image.fromarray(numbers)),
            write_png(colours, depth_colours(self.metres, nearest, farthest)),
        ]
