"""A split into training and validation that is the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from res2net.errors import InputError

__all__ = ["check_fraction", "hashed_split"]


def check_fraction(val_fraction: float) -> None:
    """Raise `InputError` unless a share of the validation is above 0 and below 1."""
    if not 0 < val_fraction < 1:
        raise InputError(f"The validation fraction {val_fraction!r} is out of range: give a number between 0 and 1.")


def hashed_split(keys: Sequence[str], val_fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """The indices of the training and of the validation, each in order; at least one each of two keys or more.

    Args:
        keys: of the samples; the seed and its key decide where a sample goes.
        val_fraction: share of the validation, above 0 and below 1.
        seed: another seed gives another split.

    Raises:
        InputError: the share is out of range.
    """
    check_fraction(val_fraction)

    def rank(index: int) -> bytes:
        return hashlib.sha256(f"{seed} {keys[index]}".encode()).digest()

    count = min(max(round(val_fraction * len(keys)), 1), len(keys) - 1)
    val = set(sorted(range(len(keys)), key=rank)[:count])
    return [index for index in range(len(keys)) if index not in val], sorted(val)
