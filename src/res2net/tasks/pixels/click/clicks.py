"""Clicks on the pixels of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from res2net.errors import InputError

__all__ = ["GOALS", "WATCHED", "Clicked", "check_click", "clicks_tensor", "parse_click"]

GOALS = (85, 90)
"""Intersections over union, in percent, until which clicks are counted."""
WATCHED = (1, 3, 5)
"""Numbers of clicks after which the IoU is reported."""


class Clicked(NamedTuple):
    """A click on the centre of a pixel."""

    x: float
    """Column, pixels; 0 for the first."""
    y: float
    """Row, pixels; 0 for the first."""
    positive: bool
    """Whether the pixel belongs to the object, or does not."""


def parse_click(text: str) -> Clicked:
    """Parse a click such as "120,80,+" (on the object) or "10,20,-" (beside it).

    Raises:
        InputError: it has another form.
    """
    words = text.split(",")
    try:
        x, y = (float(word) for word in words[:2])
        positive = {"+": True, "-": False}[words[2].strip()]
        if len(words) != 3 or not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError(text)
    except (ValueError, IndexError, KeyError):
        raise InputError(
            f"{text!r} is no click: give the column, the row and + or -, such as 120,80,+ for a pixel of the object."
        ) from None
    return Clicked(x, y, positive)


def check_click(click: Clicked, height: int, width: int) -> None:
    """Raise `InputError` for a click outside of an image."""
    if not (0 <= click.x <= width - 1 and 0 <= click.y <= height - 1):
        raise InputError(
            f"The click {click.x:g},{click.y:g} lies outside of an image of {width} x {height} pixels: give 0 to "
            f"{width - 1} and 0 to {height - 1}."
        )


def clicks_tensor(clicks: Sequence[Clicked], count: int) -> Tensor:
    """Clicks as `(count, 3)` float32: x, y, and 1 for positive, 0 for negative, -1 for no click."""
    rows = torch.full((count, 3), -1.0)
    if clicks:
        rows[: len(clicks)] = torch.tensor([(one.x, one.y, float(one.positive)) for one in clicks])
    return rows
