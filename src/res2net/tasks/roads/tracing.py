"""Graphs of roads by walking: from point to next point, as the network proposes them (VecRoad, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from res2net.tasks.roads.graph import RoadGraph, without_spurs
from res2net.tasks.roads.network import RoadNetwork
from res2net.tasks.roads.options import RoadsOptions
from res2net.tasks.roads.samples import MIN_DISTANCE, WALKED_WIDTH, window_origin

Points = NDArray[np.float64]
Map = NDArray[np.float32]

SAME_WAY = float(np.cos(np.radians(20)))
"""Cosine of the angle below which two directions are the same road."""
PASSABLE = 0.2
"""Least mean of the road map along a step (the published code)."""


@torch.no_grad()
def trace_roads(
    network: RoadNetwork,
    features: Tensor,
    maps: Tensor,
    sizes: Sequence[tuple[int, int]],
    options: RoadsOptions,
) -> list[RoadGraph]:
    """Walk through several images at once, a step in each at a time, and return their graphs in pixels.

    `features` are those of `RoadNetwork.explored`, `maps` `(N, 2, H, W)` the probabilities of roads and junctions, and
    `sizes` the height and width of each image without its padding.
    """
    walks = []
    for one, (height, width) in zip(maps, sizes, strict=True):
        road, junction = one[:, :height, :width].cpu().numpy()
        peaks = map_peaks(junction, options.junction_threshold, options.snap)
        walks.append(Walk(road, peaks, network.window, network.stride, options))
    going = {number: walk for number, walk in enumerate(walks) if walk.go_on()}
    padded, side = network.padded(features), network.window // network.stride
    while going:
        origins = np.stack([walk.origin for walk in going.values()])
        currents = np.stack([walk.current for walk in going.values()]) - origins
        walked = np.stack([walk.walked() for walk in going.values()])
        corners = network.corners(torch.from_numpy(origins)).tolist()
        windows = [padded[one, :, y : y + side, x : x + side] for one, (x, y) in zip(going, corners, strict=True)]
        logits = network.step(
            torch.stack(windows),
            torch.from_numpy(currents).float().to(features.device),
            torch.from_numpy(walked).to(features.device),
        )
        for number, proposed in zip(list(going), logits.float().sigmoid().cpu().numpy(), strict=True):
            going[number].walk(map_peaks(proposed, options.next_threshold, options.snap / 2))
            if not going[number].go_on():
                del going[number]
    return [walk.graph() for walk in walks]


def map_peaks(values: Map, threshold: float, radius: float) -> Points:
    """The peaks `(k, 2)` of a map, x and y in pixels, that are the largest within a radius, the largest first.

    A peak is the centre of mass of its 3x3 pixels.
    """
    reach = max(1, round(radius))
    tensor = torch.from_numpy(np.ascontiguousarray(values))[None, None]
    largest = F.max_pool2d(tensor, 2 * reach + 1, stride=1, padding=reach)[0, 0].numpy()
    rows, columns = np.nonzero((values == largest) & (values >= threshold))
    order = np.argsort(-values[rows, columns], kind="stable")
    found: list[tuple[float, float]] = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        top, left = max(row - 1, 0), max(column - 1, 0)
        near = values[top : row + 2, left : column + 2].astype(np.float64)
        x = left + 0.5 + (near.sum(0) * np.arange(near.shape[1])).sum() / near.sum()
        y = top + 0.5 + (near.sum(1) * np.arange(near.shape[0])).sum() / near.sum()
        if all((x - a) ** 2 + (y - b) ** 2 > radius**2 for a, b in found):  # equal values side by side
            found.append((x, y))
    return np.array(found).reshape(-1, 2)


class Walk:
    """One walk through an image: the known points, the roads between them, and the points where it continues.

    `road` is the probability of roads, `(H, W)`; walks start at the `junctions` `(k, 2)`. The corners of the `window`
    of a step are multiples of `grid`, both in pixels.
    """

    def __init__(self, road: Map, junctions: Points, window: int, grid: int, options: RoadsOptions) -> None:
        self.road, self.junctions = road, junctions
        self.window, self.grid, self.options = window, grid, options
        self.points = Rows(np.float64)
        self.edges = Rows(np.int64)
        self.waiting: list[int] = []
        self.starts = list(junctions)
        height, width = road.shape
        self.canvas = Image.new("L", (width + 2 * window, height + 2 * window))
        self.draw = ImageDraw.Draw(self.canvas)
        self.unseen = Image.fromarray(((road >= options.road_threshold) * 255).astype(np.uint8))
        self.unseen_draw = ImageDraw.Draw(self.unseen)
        self.here = -1
        # Only a safeguard against endless walks.
        self.left = 100 + int(8 * height * width / options.step**2)

    @property
    def current(self) -> Points:
        """The point at which the walk is."""
        return self.points.all[self.here]

    @property
    def origin(self) -> NDArray[np.int64]:
        """The corner of its window, x and y."""
        return np.asarray(window_origin(self.current[None], self.window, self.grid)[0])

    def walked(self) -> Map:
        """The lines in the window, `(window, window)`."""
        x, y = (self.origin + self.window).tolist()
        part = self.canvas.crop((x, y, x + self.window, y + self.window))
        return np.asarray(np.asarray(part, dtype=np.float32) / np.float32(255))

    def go_on(self) -> bool:
        """Move to the next waiting point, or to a new start; False if everything is walked."""
        while self.left > 0:
            self.left -= 1
            if self.waiting:
                self.here = self.waiting.pop()
                return True
            start = self.starts.pop(0) if self.starts else self._start_on_road()
            if start is None:
                return False
            number, fresh = self._known(start)
            if fresh:
                self.waiting.append(number)
        return False

    def walk(self, proposed: Points) -> None:
        """Step to the next points, given within the window, the most probable first."""
        height, width = self.road.shape
        for point in (proposed + self.origin).clip(0, (width, height)):
            if np.linalg.norm(point - self.current) < MIN_DISTANCE or not self._passable(point):
                continue
            if self._walked_already(point):
                continue
            number, fresh = self._known(point, self.here)
            self._join(self.here, number)
            if fresh:
                self.waiting.append(number)

    def graph(self) -> RoadGraph:
        """The graph of the roads that were walked."""
        roads = RoadGraph.of(self.points.all.copy(), self.edges.all.tolist())
        return without_spurs(roads.used(), self.options.spur)

    def _known(self, point: Points, here: int | None = None) -> tuple[int, bool]:
        """The number of a point, and whether the ways on from there are not known yet.

        It is a known point nearby, or lies on a road nearby, or is the junction nearby, or is new. The current point
        `here` and its roads do not count, so that a road is walked to its end.
        """
        snap = self.options.snap
        if len(self.junctions):
            apart = np.linalg.norm(self.junctions - point, axis=1)
            junction = self.junctions[apart.argmin()]
            if apart.min() <= snap and (
                here is None or np.linalg.norm(junction - self.points.all[here]) >= MIN_DISTANCE
            ):
                point = junction
        if self.points.count:
            apart = np.linalg.norm(self.points.all - point, axis=1)
            if here is not None:
                apart[here] = np.inf
            if apart.min() <= snap:
                return int(apart.argmin()), False
        number = self.points.add(point)
        others = np.flatnonzero((self.edges.all != here).all(1)) if here is not None else np.arange(self.edges.count)
        if len(others):
            (piece,), _, (away,) = RoadGraph(self.points.all, self.edges.all[others]).nearest(point[None])
            if away <= snap:
                a, b = self.edges.all[others[piece]].tolist()
                self.edges.all[others[piece]] = a, number
                self._draw(a, number)
                self._join(number, b)
        return number, True

    def _join(self, a: int, b: int) -> None:
        self.edges.add((a, b))
        self._draw(a, b)

    def _draw(self, a: int, b: int) -> None:
        line = (self.points.all[[a, b]] - 0.5).ravel()
        self.draw.line((line + self.window).tolist(), fill=255, width=WALKED_WIDTH)
        self.unseen_draw.line(line.tolist(), fill=0, width=round(2 * self.options.step))

    def _walked_already(self, point: Points) -> bool:
        """Whether a road from the current point already leads in nearly the same direction."""
        pairs = self.edges.all
        others = np.concatenate([pairs[pairs[:, 0] == self.here, 1], pairs[pairs[:, 1] == self.here, 0]])
        ways, way = self.points.all[others] - self.current, point - self.current
        lengths = np.linalg.norm(ways, axis=1) * np.linalg.norm(way)
        return bool((ways @ way > SAME_WAY * lengths).any())

    def _passable(self, point: Points) -> bool:
        """Whether the road map has a road from the current point to another."""
        height, width = self.road.shape
        count = max(2, int(np.linalg.norm(point - self.current)))
        samples = np.linspace(self.current, point, count).astype(int).clip(0, (width - 1, height - 1))
        return bool(self.road[samples[:, 1], samples[:, 0]].mean() >= PASSABLE)

    def _start_on_road(self) -> Points | None:
        """The most probable road pixel that no walk came near; None where there is none."""
        values = np.where(np.asarray(self.unseen) > 0, self.road, 0)
        row, column = np.unravel_index(values.argmax(), values.shape)
        if values[row, column] <= 0:
            return None
        self.unseen_draw.circle((float(column), float(row)), self.options.step, fill=0)
        return np.array([column + 0.5, row + 0.5])


class Rows:
    """A growing array of pairs of numbers; `all` is a view of them, `(count, 2)`."""

    def __init__(self, kind: type[Any]) -> None:
        self.count = 0
        self._room = np.empty((256, 2), dtype=kind)

    @property
    def all(self) -> NDArray[Any]:
        """The pairs; they can be changed in place."""
        return self._room[: self.count]

    def add(self, pair: Points | tuple[int, int]) -> int:
        """Add a pair and return its index."""
        if self.count == len(self._room):
            self._room = np.concatenate([self._room, np.empty_like(self._room)])
        self._room[self.count] = pair
        self.count += 1
        return self.count - 1
