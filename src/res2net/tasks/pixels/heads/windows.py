"""Inference with sliding windows, and test-time averaging over scales and mirror images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

from torch import Tensor

from res2net.task.maps import resized

__all__ = ["averaged", "sliding_window"]

Function = Callable[[Tensor], Tensor]
"""A function from images `(N, C, H, W)` to values `(N, K, H, W)`."""


def sliding_window(function: Function, images: Tensor, window: int, overlap: float = 1 / 3) -> Tensor:
    """Apply a function to images window by window, averaging its values where windows overlap.

    Args:
        function: the function; it is called with the same window of all images at a time.
        images: images `(N, C, H, W)`; a side shorter than the window is not padded.
        window: side of the window in pixels.
        overlap: minimum share of a window that overlaps with the next, at least 0 and below 1.
    """
    height, width = images.shape[-2:]
    rows, columns = (_starts(side, window, overlap) for side in (height, width))
    if len(rows) == len(columns) == 1:
        return function(images)
    total: Tensor | None = None
    counts = images.new_zeros(height, width)
    for top, left in product(rows, columns):
        area = (slice(top, top + window), slice(left, left + window))
        values = function(images[..., area[0], area[1]])
        if total is None:
            total = values.new_zeros(*values.shape[:2], height, width)
        total[..., area[0], area[1]] += values
        counts[area] += 1
    assert total is not None
    return total.div_(counts)  # in place, since this tensor is large for a photo and many classes


def averaged(function: Function, images: Tensor, scales: Sequence[float] = (1.0,), flip: bool = False) -> Tensor:
    """Average the values of a function over several scales of the images, and optionally their mirror images.

    Args:
        function: the function.
        images: images `(N, C, H, W)`.
        scales: factors by which the images are resized.
        flip: also average over the mirror images.
    """
    size = (images.shape[-2], images.shape[-1])
    total: Tensor | None = None
    for scale in scales:
        scaled = resized(images, (max(1, round(size[0] * scale)), max(1, round(size[1] * scale))))
        values = function(scaled)
        if flip:
            values = (values + function(scaled.flip(-1)).flip(-1)) / 2
        values = resized(values, size)
        total = values if total is None else total + values
    assert total is not None
    return total if len(scales) == 1 else total / len(scales)


def _starts(side: int, window: int, overlap: float) -> list[int]:
    """Evenly spaced starts of windows that cover a side exactly."""
    if side <= window:
        return [0]
    step = max(1.0, window * (1 - overlap))
    count = 1 + -int(-(side - window) // step)
    return [round(index * (side - window) / (count - 1)) for index in range(count)]
