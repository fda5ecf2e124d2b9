"""Silhouettes: upright polygons with named points, which differ in their overall shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

KEYPOINTS = ("centre", "top", "right", "bottom", "left")
"""The named points of every silhouette, in its own upright frame."""


def _star() -> Points:
    angle = np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.45)
    return np.stack([radius * np.sin(angle), -radius * np.cos(angle)], 1)


def _cross() -> Points:
    arm = np.array([(-1, -3), (1, -3), (1, -1)]) / 3
    turns = [np.array([(np.cos(a), np.sin(a)), (-np.sin(a), np.cos(a))]) for a in np.arange(4) * np.pi / 2]
    return np.concatenate([arm @ turn for turn in turns])


OUTLINES: dict[str, Points] = {
    "square": np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], dtype=np.float64),
    "triangle": np.array([(0, -1), (1, 1), (-1, 1)], dtype=np.float64),
    "cross": _cross(),
    "star": _star(),
}
"""The corners of each silhouette, `(n, 2)` as x (to the right), y (down) in its frame of -1 ... 1.

None maps to itself under rotations of less than 72 degrees.
"""
SILHOUETTES = tuple(OUTLINES)

ANCHORS: dict[str, Points] = {
    "square": np.array([(0, 0), (0, -1), (1, 0), (0, 1), (-1, 0)], dtype=np.float64),
    "triangle": np.array([(0, 1 / 3), (0, -1), (1, 1), (0, 1), (-1, 1)], dtype=np.float64),
    "cross": np.array([(0, 0), (0, -1), (1, 0), (0, 1), (-1, 0)], dtype=np.float64),
    "star": np.concatenate([np.zeros((1, 2)), _star()[[0, 2, 5, 8]]]),
}
"""The points of each that `KEYPOINTS` names, `(5, 2)`: the middle of a side, a tip, or the end of an arm."""
