"""Random parts and sizes of images, drawn from torch's numbers."""

from __future__ import annotations

import torch

__all__ = ["below", "random_cut", "random_part", "uniform"]


def random_part(side: int, scale: float, most: int) -> tuple[int, int, int]:
    """Start and length of what is seen of a side, and its length after resizing.

    What would not fit after resizing is cut off before: the same but for rounding, and less work.
    """
    if side * scale <= most:
        return 0, side, max(1, round(side * scale))
    return *random_cut(side, round(most / scale)), most


def random_cut(side: int, length: int) -> tuple[int, int]:
    """A random start, and the length, of a part of a side; 1 at least."""
    length = min(max(1, length), side)
    return below(side - length + 1), length


def uniform(low: float, high: float) -> float:
    """A random number between two."""
    return low + (high - low) * float(torch.rand(()))


def below(bound: int) -> int:
    """A random whole number from 0 to `bound` - 1."""
    return int(torch.randint(bound, ()))
