"""The layout of a synthetic town, drawn from a seed and not yet rendered; a metre is a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from res2net.images.shapes.scene import Colour, turned
from res2net.tasks.roads.data.graph import RoadGraph

__all__ = ["Street", "Town", "draw_town"]

Points = NDArray[np.float64]

PIECE = 6.0
"""Metres of the straight pieces that a bent street is made of."""
SURFACES: tuple[Colour, ...] = ((0.36, 0.36, 0.38), (0.46, 0.46, 0.46), (0.58, 0.57, 0.55), (0.55, 0.48, 0.40))
"""Asphalt, old asphalt, concrete and gravel."""
SHARES = (0.45, 0.3, 0.15, 0.1)
"""How often each of them is chosen."""

LEAST = 128.0
"""Metres of the side of a town; a smaller square shows a part of it."""


@dataclass(frozen=True)
class Street:
    """A line `(k, 2)` of points from one crossing to the next, its width in metres, and its colour."""

    line: Points
    width: float
    colour: Colour


@dataclass(frozen=True)
class Town:
    """The streets of a square, which reach beyond it, and their graph, which is cut at its border."""

    streets: tuple[Street, ...]
    graph: RoadGraph


def draw_town(rng: np.random.Generator, size: float) -> Town:
    """A bent grid of streets in a square of `size` metres: two wide ones, and others of which some are missing."""
    across, down = _lines(rng, size), _lines(rng, size)
    crossings = np.stack(np.meshgrid(across, down, indexing="ij"), -1)
    crossings += rng.normal(0, 3.0, crossings.shape)
    bend, angle = _Bend(rng), rng.uniform(0, np.pi)
    wide = {(0, int(rng.integers(len(across)))), (1, int(rng.integers(len(down))))}
    widths = {True: rng.uniform(8.0, 12.0), False: rng.uniform(4.5, 7.0)}
    surfaces = {kind: SURFACES[rng.choice(len(SURFACES), p=SHARES)] for kind in widths}
    kept = rng.uniform(0.65, 0.95)
    streets, edges = [], []
    points: list[Points] = []
    number: dict[tuple[int, int], int] = {}
    for first in np.ndindex(len(across), len(down)):
        for axis in range(2):  # of the streets that keep their index along it, such as `across[3]`
            second = (first[0] + axis, first[1] + 1 - axis)
            is_wide = (axis, first[axis]) in wide
            if second[0] == len(across) or second[1] == len(down) or not (is_wide or rng.random() < kept):
                continue
            straight = _pieces(crossings[first], crossings[second])
            line = bend(turned(straight - size / 2, angle)) + size / 2
            new = range(len(points), len(points) + len(line))
            names = [number.setdefault(first, new[0]), *new[1:-1], number.setdefault(second, new[-1])]
            points += list(line)
            edges += list(pairwise(names))
            streets.append(Street(line, widths[is_wide] * rng.uniform(0.92, 1.08), surfaces[is_wide]))
    streets.sort(key=lambda street: street.width)
    return Town(tuple(streets), RoadGraph.of(np.array(points), edges).used().clipped(size, size))


def _lines(rng: np.random.Generator, size: float) -> Points:
    """The positions of parallel streets, beyond the square on both sides, so that it is filled when it is turned."""
    gap = rng.uniform(34, 60)
    reach = max(size, LEAST)
    positions = np.cumsum(gap * rng.uniform(0.75, 1.35, int(4 * reach / gap))) - rng.uniform(0, gap)
    return np.asarray(positions[positions < 1.6 * reach] - 0.3 * reach)


def _pieces(start: Points, end: Points) -> Points:
    parts = max(1, round(float(np.linalg.norm(end - start)) / PIECE))
    return np.asarray(start + np.linspace(0, 1, parts + 1)[:, None] * (end - start))


class _Bend:
    """A smooth displacement of points `(n, 2)`, so that streets are not straight."""

    def __init__(self, rng: np.random.Generator) -> None:
        angles = rng.uniform(0, 2 * np.pi, 3)
        self.waves = np.stack([np.cos(angles), np.sin(angles)]) * 2 * np.pi / rng.uniform(100, 260, 3)
        self.starts = rng.uniform(0, 2 * np.pi, 3)
        self.ways = rng.normal(0, 1, (3, 2)) * rng.uniform(0, 5, (3, 1))

    def __call__(self, points: Points) -> Points:
        return np.asarray(points + np.sin(points @ self.waves + self.starts) @ self.ways)
