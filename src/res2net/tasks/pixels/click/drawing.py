"""Drawing of clicks on an image and of the mask that they lead to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from res2net.report.images import ImageLike, as_image
from res2net.report.objects import draw_segments
from res2net.tasks.pixels.click.clicks import Clicked

__all__ = ["draw_clicks"]

POSITIVE, NEGATIVE, RIM = "#009e73", "#d55e00", "white"
"""Green and red that are distinct to people with any colour vision; the signs in the discs tell them apart too."""


def draw_clicks(image: ImageLike, mask: NDArray[np.bool_], clicks: Sequence[Clicked]) -> Image.Image:
    """An image with a mask and clicks: a plus on the object, a minus beside it. Small images are enlarged.

    Args:
        image: the image.
        mask: `(H, W)` of the image.
        clicks: in the order in which they were made.

    Raises:
        InputError: the sizes differ.
    """
    original = as_image(image)
    canvas = draw_segments(original, [(torch.from_numpy(mask), 0)], ["object"])
    factor = canvas.width / original.width
    radius = max(4, max(canvas.size) // 60)
    draw = ImageDraw.Draw(canvas)
    for click in clicks:
        x, y = ((side + 0.5) * factor for side in (click.x, click.y))
        colour = POSITIVE if click.positive else NEGATIVE
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=RIM, width=2)
        arm, width = 0.5 * radius, max(2, radius // 4)
        draw.line((x - arm, y, x + arm, y), fill=RIM, width=width)
        if click.positive:
            draw.line((x, y - arm, x, y + arm), fill=RIM, width=width)
    return canvas
