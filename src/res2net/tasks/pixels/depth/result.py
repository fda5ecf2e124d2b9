"""The distance of each pixel of an image, and its drawing."""

from __future__ import annotations

import io
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

MILLIMETRES = 1000
"""Of a metre."""
FARTHEST = 65535
"""The largest value in a PNG of 16 bits: 65.535 m."""
MAP = "viridis_r"
"""Perceptually uniform; what is near is light."""
UNKNOWN = (0.5, 0.5, 0.5, 1.0)
TALLEST = 7.0
"""Maximum height of a drawing, inches; the minimum is 1.5."""


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
        return draw_depth(self._canvas(image, self.metres.shape), self.metres)

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


def depth_colours(depth: NDArray[Any], low: float, high: float) -> Image.Image:
    """Distances `(H, W)` as an image of the same size: light for `low`, dark for `high`, grey for unknown ones."""
    from matplotlib import colormaps

    share = (depth - low) / max(high - low, 1e-9)
    colours = colormaps[MAP](np.clip(share, 0, 1))
    colours[~_known(depth)] = UNKNOWN
    return Image.fromarray((colours[..., :3] * 255).round().astype(np.uint8))


def draw_depth(canvas: Image.Image, depth: NDArray[Any]) -> Image.Image:
    """Draw an image, its distances `(H, W)` as colours from the smallest to the largest, and a scale in metres."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    from res2net.report.style import DPI, INK, WIDTH, render

    known = depth[_known(depth)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    high = max(high, low + 1e-3)
    height = min(TALLEST, max(1.5, 0.45 * WIDTH * canvas.height / canvas.width))
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")
    plain, coloured = figure.subplots(1, 2)
    plain.imshow(canvas)
    coloured.imshow(depth_colours(depth, low, high))
    for axes in (plain, coloured):
        axes.set_axis_off()
    scale = ScalarMappable(Normalize(low, high), MAP)
    bar = figure.colorbar(scale, ax=(plain, coloured), shrink=0.95, pad=0.02)
    bar.set_label("metres", color=INK)
    bar.ax.invert_yaxis()  # near below would be far away in most images
    return Image.open(io.BytesIO(render(figure))).convert("RGB")


def _known(depth: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(depth) & (depth > 0))
