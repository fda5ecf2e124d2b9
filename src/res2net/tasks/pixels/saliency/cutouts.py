"""Objects cut out of their images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from res2net.errors import InputError
from res2net.report.images import ImageLike, as_image

__all__ = ["cut_out", "in_a_row", "on_checkerboard"]

GREYS = (255, 204)
"""Of the squares of a checkerboard."""
SQUARES = 24
"""About so many of them lie along the longer side."""
GAP = 4
"""White pixels between images."""


def cut_out(image: ImageLike, opacity: NDArray[np.uint8]) -> Image.Image:
    """An image as RGBA whose pixels are as opaque as a map tells.

    Args:
        image: the image.
        opacity: `(H, W)` of the image, 0 to 255.

    Raises:
        InputError: the sizes differ.
    """
    canvas = as_image(image)
    if opacity.shape != (canvas.height, canvas.width):
        raise InputError(
            f"A map {opacity.shape} does not fit an image of {canvas.height} x {canvas.width} pixels: give one "
            "value for each pixel."
        )
    clear = canvas.convert("RGBA")
    clear.putalpha(Image.fromarray(opacity))
    return clear


def on_checkerboard(image: Image.Image) -> Image.Image:
    """An image with transparency before a checkerboard, which shows through it."""
    side = max(1, round(max(image.size) / SQUARES))
    rows, columns = np.ogrid[: image.height, : image.width]
    dark = (rows // side + columns // side) % 2
    board = Image.fromarray(np.choose(dark, GREYS).astype(np.uint8)).convert("RGBA")
    return Image.alpha_composite(board, image.convert("RGBA")).convert("RGB")


def in_a_row(images: Sequence[Image.Image]) -> Image.Image:
    """Images beside one another, on white."""
    width = sum(image.width for image in images) + GAP * (len(images) - 1)
    paper = Image.new("RGB", (width, max(image.height for image in images)), "white")
    left = 0
    for image in images:
        paper.paste(image, (left, 0))
        left += image.width + GAP
    return paper
