"""Distances as colours. Only drawing imports matplotlib, which takes time."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from res2net.errors import InputError
from res2net.report.images import ImageLike, as_image

__all__ = ["depth_colours", "draw_depth"]

MAP = "viridis_r"
"""Perceptually uniform; what is near is light."""
UNKNOWN = (0.5, 0.5, 0.5, 1.0)
TALLEST = 7.0
"""Inches that a drawing is high at most, and 1.5 at least."""


def depth_colours(depth: NDArray[Any], least: float, most: float) -> Image.Image:
    """Distances as an image of the same size: near ones light, far ones dark, unknown ones grey.

    Args:
        depth: metres, `(H, W)`, 0 where they are unknown.
        least: metres of the lightest colour.
        most: metres of the darkest colour.
    """
    from matplotlib import colormaps

    share = (depth - least) / max(most - least, 1e-9)
    colours = colormaps[MAP](np.clip(share, 0, 1))
    colours[~_known(depth)] = UNKNOWN
    return Image.fromarray((colours[..., :3] * 255).round().astype(np.uint8))


def draw_depth(
    image: ImageLike, depth: NDArray[Any], least: float | None = None, most: float | None = None
) -> Image.Image:
    """An image, its distances as colours, and beside them what these mean in metres.

    Args:
        image: the image.
        depth: metres, `(H, W)` of the image, 0 where they are unknown.
        least: metres of the lightest colour; by default the smallest there is.
        most: metres of the darkest colour; by default the largest there is.

    Raises:
        InputError: the sizes differ.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    from res2net.report.style import DPI, INK, WIDTH, render

    canvas = as_image(image)
    if depth.shape != (canvas.height, canvas.width):
        raise InputError(
            f"A map {depth.shape} does not fit an image of {canvas.height} x {canvas.width} pixels: give one "
            "value for each pixel."
        )
    known = depth[_known(depth)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    low, high = low if least is None else least, high if most is None else most
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
