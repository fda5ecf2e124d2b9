"""Clicks on a picture, and the mask that they lead to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from res2net.report.images import Picture, as_image
from res2net.report.objects import draw_segments

__all__ = ["draw_clicks"]

POSITIVE, NEGATIVE, RIM = "#009e73", "#d55e00", "white"
"""Green and red that people with any colour vision tell apart; the signs in the discs say it too."""


class ClickLike(Protocol):
    """Where a click is, in pixels, and what it says."""

    @property
    def x(self) -> float: ...

    @property
    def y(self) -> float: ...

    @property
    def positive(self) -> bool: ...


def draw_clicks(image: Picture, mask: NDArray[np.bool_], clicks: Sequence[ClickLike]) -> Image.Image:
    """A picture with a mask and clicks: a plus on the object, a minus beside it. Small pictures are enlarged.

    Args:
        image: the picture.
        mask: `(H, W)` of the picture.
        clicks: in the order in which they were made.

    Raises:
        InputError: the sizes differ.
    """
    picture = as_image(image)
    canvas = draw_segments(picture, [(torch.from_numpy(mask), 0)], ["object"])
    factor = canvas.width / picture.width
    radius = max(4, max(canvas.size) // 60)
    draw = ImageDraw.Draw(canvas)
    for click in clicks:
        x, y = ((place + 0.5) * factor for place in (click.x, click.y))
        colour = POSITIVE if click.positive else NEGATIVE
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=RIM, width=2)
        arm, width = 0.5 * radius, max(2, radius // 4)
        draw.line((x - arm, y, x + arm, y), fill=RIM, width=width)
        if click.positive:
            draw.line((x, y - arm, x, y + arm), fill=RIM, width=width)
    return canvas
