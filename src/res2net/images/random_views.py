"""Random crops and numbers from torch's global generator."""

from __future__ import annotations

import torch

__all__ = ["below", "random_cut", "random_part", "uniform"]


def random_part(side: int, scale: float, most: int) -> tuple[int, int, int]:
    """Choose the part of a side that a scaled view shows: its start, its length, and its length after resizing.

    If the scaled side exceeds `most`, it is cropped before resizing, which is equivalent up to rounding and cheaper.
    """
    if side * scale <= most:
        return 0, side, max(1, round(side * scale))
    return *random_cut(side, round(most / scale)), most


def random_cut(side: int, length: int) -> tuple[int, int]:
    """A random start for a part of a side, and its length, clipped to the side and to at least 1."""
    length = min(max(1, length), side)
    return below(side - length + 1), length


def uniform(low: float, high: float) -> float:
    """A random number, uniform between `low` and `high`."""
    return low + (high - low) * float(torch.rand(()))


def below(bound: int) -> int:
    """A random integer from 0 to `bound` - 1."""
    return int(torch.randint(bound, ()))
