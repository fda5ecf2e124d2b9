"""Large images piece by piece, and the mean over sizes and mirror images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

from torch import Tensor

from res2net.task.maps import resized

__all__ = ["averaged", "sliding_window"]

Function = Callable[[Tensor], Tensor]
"""From images `(N, C, H, W)` to values `(N, K, H, W)`."""


def sliding_window(function: Function, images: Tensor, window: int, overlap: float = 1 / 3) -> Tensor:
    """What a function tells of images when it sees no more than a square at a time; where squares overlap, the mean.

    Args:
        function: of images; it is given one square of all of them after the other.
        images: `(N, C, H, W)`; a side that is shorter than the window is seen as it is.
        window: side of the square, pixels.
        overlap: least share of a square that the next one sees again, 0 to below 1.
    """
    height, width = images.shape[-2:]
    rows, columns = (_starts(side, window, overlap) for side in (height, width))
    if len(rows) == len(columns) == 1:
        return function(images)
    total: Tensor | None = None
    seen = images.new_zeros(height, width)
    for top, left in product(rows, columns):
        here = (slice(top, top + window), slice(left, left + window))
        values = function(images[..., here[0], here[1]])
        if total is None:
            total = values.new_zeros(*values.shape[:2], height, width)
        total[..., here[0], here[1]] += values
        seen[here] += 1
    assert total is not None
    return total.div_(seen)  # in place: of a photo with many classes it is the largest thing in memory


def averaged(function: Function, images: Tensor, scales: Sequence[float] = (1.0,), flip: bool = False) -> Tensor:
    """The mean of what a function tells of images in several sizes, and of their mirror images.

    Args:
        function: of images.
        images: `(N, C, H, W)`.
        scales: of the sizes.
        flip: also look at the mirror images.
    """
    size = (images.shape[-2], images.shape[-1])
    total: Tensor | None = None
    for scale in scales:
        seen = resized(images, (max(1, round(size[0] * scale)), max(1, round(size[1] * scale))))
        part = function(seen)
        if flip:
            part = (part + function(seen.flip(-1)).flip(-1)) / 2
        part = resized(part, size)
        total = part if total is None else total + part
    assert total is not None
    return total if len(scales) == 1 else total / len(scales)


def _starts(side: int, window: int, overlap: float) -> list[int]:
    """Where windows begin, evenly, so that the first and the last end with the side."""
    if side <= window:
        return [0]
    step = max(1.0, window * (1 - overlap))
    count = 1 + -int(-(side - window) // step)
    return [round(place * (side - window) / (count - 1)) for place in range(count)]
