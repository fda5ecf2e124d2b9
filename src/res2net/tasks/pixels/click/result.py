"""The object that a user clicked on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from res2net.images.run_lengths import run_lengths
from res2net.report import Column
from res2net.report.objects import draw_segments
from res2net.report.tables import Cell
from res2net.task.result import Result, write_png
from res2net.tasks.pixels.click.clicks import Clicked

POSITIVE, NEGATIVE, RIM = "#009e73", "#d55e00", "white"
"""Green and red that people with any colour vision can tell apart, as they can the signs in the discs."""


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
        """Draw the mask and the clicks, a plus on the object and a minus beside it; small images are enlarged."""
        original = self._canvas(image)
        canvas = draw_segments(original, [(torch.from_numpy(self.mask), 0)], ["object"])
        factor = canvas.width / original.width
        radius = max(4, max(canvas.size) // 60)
        draw = ImageDraw.Draw(canvas)
        for click in self.clicks:
            x, y = ((side + 0.5) * factor for side in (click.x, click.y))
            draw.circle((x, y), radius, fill=POSITIVE if click.positive else NEGATIVE, outline=RIM, width=2)
            arm, width = 0.5 * radius, max(2, radius // 4)
            draw.line((x - arm, y, x + arm, y), fill=RIM, width=width)
            if click.positive:
                draw.line((x, y - arm, x, y + arm), fill=RIM, width=width)
        return canvas

    def save(self, stem: str | Path) -> list[Path]:
        """Write the mask as `STEM-mask.png`, white on black."""
        stem = Path(stem)
        return [write_png(stem.with_name(f"{stem.name}-mask.png"), Image.fromarray(self.mask))]
