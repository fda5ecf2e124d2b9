"""A split into training and validation that is the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from res2net.errors import InputError

__all__ = ["check_fraction", "hashed_split"]


def check_fraction(val_fraction: float) -> None:
    """Raise `InputError` unless the share of the validation samples is between 0 and 1, exclusively."""
    if not 0 < val_fraction < 1:
        raise InputError(f"The validation fraction {val_fraction!r} is out of range: give a number between 0 and 1.")


def hashed_split(keys: Sequence[str], val_fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Split samples by a hash of their keys into sorted training and validation indices.

    With two keys or more, both parts have at least one sample.

    Args:
        keys: a unique key of each sample, such as its path.
        val_fraction: share of the validation samples, above 0 and below 1.
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
