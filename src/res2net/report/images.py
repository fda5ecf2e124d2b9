"""Images of any kind as Pillow images, and overlays of heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from res2net.errors import InputError
from res2net.images.decode import over_white

ImageLike: TypeAlias = Tensor | Image.Image
"""A uint8 tensor `(3, H, W)` or `(1, H, W)`, or a Pillow image."""

SIDE = 640
"""Images on which something is drawn are enlarged up to this side in pixels, so that it is legible."""
HEAT = "plasma"
STRENGTH = 0.75
"""Maximum opacity of the colours of heat."""


def as_array(values: Any, dtype: Any = None) -> NDArray[Any]:
    """Convert a tensor, on any device, or other numbers to an array."""
    return np.asarray(values.detach().cpu().numpy() if isinstance(values, Tensor) else values, dtype=dtype)


def as_image(image: ImageLike) -> Image.Image:
    """Convert an image to an RGB image of Pillow.

    Raises:
        InputError: the shape or type is not that of an image, or it has no pixels.
    """
    if isinstance(image, Image.Image):
        converted = over_white(image) if image.has_transparency_data else image.convert("RGB")
    elif image.dtype == torch.uint8 and image.ndim == 3 and image.shape[0] in (1, 3):
        pixels = image.detach().cpu().expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
        converted = Image.fromarray(pixels)
    else:
        raise InputError(
            f"A tensor {tuple(image.shape)} of {image.dtype} is not an image: give uint8 of shape (3, H, W), as "
            "`denormalise` returns."
        )
    if not converted.width or not converted.height:
        raise InputError(
            f"An image of {converted.width} x {converted.height} pixels cannot be drawn: give one with pixels."
        )
    return converted


def fit(image: Image.Image, side: int) -> Image.Image:
    """Resize an image to fit a square of `side` pixels.

    Small images are enlarged by a whole number with visible pixels; large ones are shrunk smoothly.
    """
    longest = max(image.size)
    if longest <= side:
        factor = side // longest
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    size = (max(1, image.width * side // longest), max(1, image.height * side // longest))
    return image.resize(size, Image.Resampling.LANCZOS)


def enlarged(image: Image.Image) -> tuple[Image.Image, int]:
    """A copy of the image, enlarged by a whole number, at most to a side of `SIDE`, and that number."""
    factor = max(1, SIDE // max(image.size))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST), factor


def image_table(
    rows: Sequence[Sequence[Image.Image]], gap: int = 0, background: str | tuple[int, int, int] = "white"
) -> Image.Image:
    """Paste rows of as many images into one, each centred in a cell as wide as its column and as high as its row.

    There are `gap` pixels between cells.
    """
    widths = [max(image.width for image in column) for column in zip(*rows, strict=True)]
    heights = [max(image.height for image in row) for row in rows]
    paper = Image.new("RGB", (sum(widths) + gap * (len(widths) - 1), sum(heights) + gap * (len(rows) - 1)), background)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for image, width in zip(row, widths, strict=True):
            paper.paste(image, (left + (width - image.width) // 2, top + (height - image.height) // 2))
            left += width + gap
        top += height + gap
    return paper


def overlay(image: ImageLike, heat: Tensor) -> Image.Image:
    """Blend a heat map with a grey version of its image; the `heat_legend` of a sheet shows its colours.

    The heat map `(H, W)` has the size of the image and values of 0..1, where NaN counts as 0. The opacity of its
    colours is `STRENGTH * sqrt(heat)`, so that the image stays clear where there is no heat.

    Raises:
        InputError: the sizes differ.
    """
    from matplotlib import colormaps  # it takes time to import

    image = as_image(image)
    if tuple(heat.shape) != (image.height, image.width):
        raise InputError(
            f"A heat map {tuple(heat.shape)} does not fit an image of {image.height} x {image.width} pixels: "
            "give one value for each pixel."
        )
    # Greys without the darkest and the brightest, on which the colours would be hard to see.
    grey = 70 + 0.6 * np.asarray(image.convert("L"), dtype=np.float64)[..., None]
    warmth = heat.detach().cpu().double().nan_to_num(0).clamp(0, 1).numpy()
    share = STRENGTH * np.sqrt(warmth)[..., None]
    mixed = grey * (1 - share) + colormaps[HEAT](warmth)[..., :3] * 255 * share
    return Image.fromarray(mixed.round().astype(np.uint8))
