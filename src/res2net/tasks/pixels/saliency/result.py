"""How much each pixel of an image belongs to what stands out, and objects cut out of their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from res2net.errors import InputError
from res2net.images.run_lengths import run_lengths
from res2net.report import Column
from res2net.report.images import image_table
from res2net.report.tables import Cell
from res2net.task.result import Result, write_png

LEVELS = 256
"""Grey levels of a saliency map; each of them is a threshold of its measures once."""
GREYS = (255, 204)
"""Of the squares of a checkerboard."""
SQUARES = 24
"""About so many of them lie along the longer side."""
GAP = 4
"""White pixels between images."""


@dataclass(eq=False)
class Matte(Result):
    """How much each pixel of an image belongs to salient objects, which is also how opaque it is in a cut-out."""

    levels: NDArray[np.uint8]
    """`(H, W)` of the image, from 0 to 255."""
    threshold: float = 0.5
    """The share of the greatest level from which a pixel counts as salient, where yes or no is asked."""

    columns = (Column("salient", "%", digits=1), *(Column(corner, "px") for corner in ("x1", "y1", "x2", "y2")))
    files = "masks and cut-outs"

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The salient pixels, those whose level is at least `threshold`, `(H, W)`."""
        return self.levels >= self.threshold * (LEVELS - 1)

    @property
    def share(self) -> float:
        """The share of salient pixels, 0..1."""
        return float(self.mask.mean())

    @property
    def box(self) -> list[int] | None:
        """Left, top, right and bottom edge of the smallest box around the salient pixels; None without any."""
        box = Image.fromarray(self.mask).getbbox()
        return None if box is None else list(box)

    def to_dict(self) -> dict[str, Any]:
        """`salient`: the `share` of salient pixels, the `box` around them, and their `segmentation` in run lengths."""
        return {"salient": {"share": self.share, "box": self.box, "segmentation": run_lengths(self.mask)}}

    def rows(self) -> Sequence[Sequence[Cell]]:
        """The share of salient pixels and the box around them."""
        corners: Sequence[Cell] = self.box or (None,) * 4
        return [(100 * self.share, *corners)]

    def draw(self, image: Any = None) -> Image.Image:
        """The image, the levels, and the cut-out before a checkerboard, side by side."""
        canvas = self._canvas(image)
        cut = on_checkerboard(self.cut_out(canvas))
        return image_table([[canvas, Image.fromarray(self.levels).convert("RGB"), cut]], GAP)

    def panel(self, image: Any, truth: Result | None = None) -> Image.Image:
        """The levels alone."""
        return Image.fromarray(self.levels)

    def cut_out(self, image: Any = None) -> Image.Image:
        """The image, by default the input, transparent where nothing is salient; RGBA."""
        clear = self._canvas(image, self.levels.shape).convert("RGBA")
        clear.putalpha(Image.fromarray(self.levels))
        return clear

    def save(self, stem: str | Path) -> list[Path]:
        """Write the levels as a grey PNG of 8 bits, `STEM-mask.png`, and of a known input `STEM-cutout.png`."""
        stem = Path(stem)
        written = [write_png(stem.with_name(f"{stem.name}-mask.png"), Image.fromarray(self.levels))]
        if self._read is not None:
            written.append(write_png(stem.with_name(f"{stem.name}-cutout.png"), self.cut_out()))
        return written


def levels_of(saliency: Tensor) -> Tensor:
    """A saliency map from 0 to 1, else `InputError`, as the grey levels 0 to 255 that a file holds, uint8."""
    if saliency.dtype == torch.uint8:
        return saliency
    if not saliency.is_floating_point():
        raise InputError(f"A saliency map is {saliency.dtype}: give numbers from 0 to 1, or uint8.")
    least, most = (float(value) for value in saliency.aminmax()) if saliency.numel() else (0.0, 0.0)
    if not 0 <= least <= most <= 1:
        raise InputError(f"A saliency map goes from {least:g} to {most:g}: give numbers from 0 to 1, or uint8.")
    return (saliency.float() * (LEVELS - 1)).round().to(torch.uint8)


def on_checkerboard(image: Image.Image) -> Image.Image:
    """An image with transparency before a checkerboard, which shows through it."""
    side = max(1, round(max(image.size) / SQUARES))
    rows, columns = np.ogrid[: image.height, : image.width]
    dark = (rows // side + columns // side) % 2
    board = Image.fromarray(np.choose(dark, GREYS).astype(np.uint8)).convert("RGBA")
    return Image.alpha_composite(board, image.convert("RGBA")).convert("RGB")
