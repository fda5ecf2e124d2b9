"""Training steps along roads: the current point, the lines that were walked before, and the next points.

VecRoad makes them while it explores the graph (Tan et al., CVPR 2020, section 3.4); here they are sampled at random, so
that each image gives steps of every kind: at junctions, along roads, at their ends, and where roads close a ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from res2net.tasks.roads.data.graph import RoadGraph

__all__ = ["WALKED_WIDTH", "StepSampler", "window_origin"]

WALKED_WIDTH = 2
"""Width of the lines that were walked, pixels."""
AT_JUNCTION = 0.4
"""Share of the steps that start at a junction or an end."""
FRESH = 0.1
"""Share of those along a road that begin there, with nothing walked behind."""
MEETING = 0.15
"""How often a road ahead was walked already from its other end."""
STRAYING = 0.7
"""Standard deviation of walked points, pixels: a network's walk is never exact."""
LEAST = 3.0
"""Least distance of a next point, pixels; a nearer one is the current point itself."""

Points = NDArray[np.float64]


def window_origin(points: Points, window: int, grid: int) -> NDArray[np.int64]:
    """The upper left corner (x, y) of the window around each of points `(k, 2)`, a multiple of `grid`."""
    return np.floor(points / grid).astype(np.int64) * grid - window // 2


@dataclass(frozen=True)
class StepSampler:
    """Samples steps in a graph.

    Args:
        count: of steps in each image.
        window: side of the window around the current point, pixels, a multiple of twice the grid.
        step: pixels to the next point; less to where the road ends or meets others.
        grid: corners of windows are multiples of it.
        sigma: standard deviation of a next point in its map, pixels.
    """

    count: int
    window: int
    step: float
    grid: int
    sigma: float = 2.0

    def __call__(self, graph: RoadGraph, size: tuple[int, int], rng: np.random.Generator) -> dict[str, Tensor]:
        """Of a graph in an image of that height and width, with `k` the count and `w` the window.

        Returns:
            `origins` `(k, 2)` of the windows, x and y; `currents` `(k, 2)`, the points one stands at, within their
            windows; `walked` and `wanted` `(k, w, w)`, the lines that were walked and the next points, in 0 ... 1.
        """
        roads = [_Road(chain, graph.points[chain]) for chain in graph.chains]
        origins = np.zeros((self.count, 2), dtype=np.int64)
        currents = np.zeros((self.count, 2))
        walked = np.zeros((self.count, self.window, self.window), dtype=np.float32)
        wanted = np.zeros((self.count, self.window, self.window), dtype=np.float32)
        for number in range(self.count):
            if not roads:  # nothing to walk, from nowhere
                currents[number] = self.window / 2
                continue
            current, lines, following = self._step(roads, size, rng)
            origins[number] = window_origin(current[None], self.window, self.grid)[0]
            currents[number] = current - origins[number]
            walked[number] = self._line_map(lines, origins[number])
            wanted[number] = self._point_map([point - origins[number] for point in following])
        return {
            "origins": torch.from_numpy(origins),
            "currents": torch.from_numpy(currents).float(),
            "walked": torch.from_numpy(walked),
            "wanted": torch.from_numpy(wanted),
        }

    def _step(
        self, roads: Sequence[_Road], size: tuple[int, int], rng: np.random.Generator
    ) -> tuple[Points, list[Points], list[Points]]:
        """Where one stands, the walked lines, and the next points."""
        known = rng.random(len(roads)) < rng.random()
        lengths = np.array([road.length for road in roads])
        chosen = int(rng.choice(len(roads), p=lengths / lengths.sum()))
        at_junction = rng.random() < AT_JUNCTION
        start = float(rng.choice((0.0, roads[chosen].length))) if at_junction else rng.uniform(0, roads[chosen].length)
        exact = roads[chosen].at(start)
        current = (exact + rng.normal(0, STRAYING, 2)).clip(0, (size[1], size[0]))
        lines, following = [], []

        def ahead(road: _Road) -> None:
            """A road that leads on from here, as far as nobody came along it."""
            free = road.length
            if rng.random() < MEETING:
                free = rng.uniform(0, road.length)
                lines.append(road.part(free, road.length))
            if free > LEAST:
                following.append(road.at(min(self.step, free)))

        if at_junction:
            here = roads[chosen].chain[0 if start == 0 else -1]
            arms = [(one, road) for one, road in enumerate(roads) if here in (road.chain[0], road.chain[-1])]
            came = arms[rng.integers(len(arms))][0] if rng.random() > FRESH else -1
            for one, road in arms:
                if known[one] or one == came:
                    lines.append(road.part(0, road.length))
                else:
                    for end in {0, -1}:
                        if road.chain[end] == here:
                            ahead(road if end == 0 else road.reversed())
            others = set(range(len(roads))) - {one for one, _ in arms}
        else:
            there = roads[chosen] if rng.random() < 0.5 else roads[chosen].reversed()
            done = start if there is roads[chosen] else there.length - start
            behind = _Road([], there.part(0, done)[::-1])
            ahead(_Road([], there.part(done, there.length)))
            if rng.random() < FRESH:
                ahead(behind)
            else:
                lines.append(behind.part(0, behind.length))
            others = set(range(len(roads))) - {chosen}
        lines += [roads[one].part(0, roads[one].length) for one in others if known[one]]
        return current, [self._strayed(line, exact, current, rng) for line in lines], following

    def _strayed(self, line: Points, exact: Points, current: Points, rng: np.random.Generator) -> Points:
        """A line as it is walked: in steps, not exactly, but to where one stands now."""
        road = _Road([], line)
        steps = np.linspace(0, road.length, max(2, round(road.length / self.step) + 1))
        points = road.at(steps)
        strayed = points + rng.normal(0, STRAYING, points.shape)
        strayed[np.linalg.norm(points - exact, axis=1) < 1e-6] = current
        return strayed

    def _line_map(self, lines: Sequence[Points], origin: NDArray[np.int64]) -> NDArray[np.float32]:
        canvas = Image.new("L", (self.window, self.window))
        draw = ImageDraw.Draw(canvas)
        for line in lines:
            draw.line([(x, y) for x, y in (line - origin - 0.5).tolist()], fill=255, width=WALKED_WIDTH)
        return np.asarray(np.asarray(canvas, dtype=np.float32) / np.float32(255))

    def _point_map(self, points: Sequence[Points]) -> NDArray[np.float32]:
        centres = np.arange(self.window) + 0.5
        marks = np.zeros((self.window, self.window))
        for x, y in points:
            squares = (centres[None] - x) ** 2 + (centres[:, None] - y) ** 2
            marks = np.maximum(marks, np.exp(-squares / (2 * self.sigma**2)))
        return marks.astype(np.float32)


class _Road:
    """A line of points `(k, 2)`, by pixels from its beginning; `chain` names the points in their graph."""

    def __init__(self, chain: Sequence[int], points: Points) -> None:
        self.chain = list(chain)
        self.points = points
        self.reached = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        self.length = float(self.reached[-1])

    def at(self, distance: float | Points) -> Points:
        return np.stack([np.interp(distance, self.reached, self.points[:, axis]) for axis in range(2)], -1)

    def part(self, start: float, end: float) -> Points:
        inner = self.points[(self.reached > start) & (self.reached < end)]
        return np.concatenate([self.at(start)[None], inner, self.at(end)[None]])

    def reversed(self) -> _Road:
        return _Road(self.chain[::-1], self.points[::-1])
