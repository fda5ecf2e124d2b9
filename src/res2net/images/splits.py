"""A split into training and validation that is the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

__all__ = ["hashed_split"]


def hashed_split(keys: Sequence[str], val_fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """The places of the training and of the validation, each in order; at least one each of two keys or more.

    Args:
        keys: of the samples; a sample goes where the seed and its key say.
        val_fraction: share of the validation.
        seed: another seed gives another split.
    """

    def rank(index: int) -> bytes:
        return hashlib.sha256(f"{seed} {keys[index]}".encode()).digest()

    count = min(max(round(val_fraction * len(keys)), 1), len(keys) - 1)
    val = set(sorted(range(len(keys)), key=rank)[:count])
    return [index for index in range(len(keys)) if index not in val], sorted(val)
