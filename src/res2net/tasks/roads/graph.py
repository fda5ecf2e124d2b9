"""A graph of roads, points in an image joined by straight pieces; its maps, and the graph of a map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from res2net.optional import needs

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RoadGraph:
    """Points `(n, 2)`, x to the right and y down in pixels, and the pairs of points that a road joins, `(m, 2)`.

    Coordinates are those of edges: the first pixel reaches from 0 to 1. Roads have no direction.
    """

    points: Points
    edges: NDArray[np.int64]

    @classmethod
    def of(cls, points: Sequence[Sequence[float]] | Points, edges: Iterable[Sequence[int]]) -> RoadGraph:
        """Make a graph of lists; pieces that join a point with itself, and repeated pieces, are left out."""
        pairs = {(min(a, b), max(a, b)) for a, b in edges if a != b}
        return cls(
            np.asarray(points, dtype=np.float64).reshape(-1, 2), np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
        )

    @classmethod
    def of_lines(cls, lines: Iterable[Iterable[Sequence[float]]]) -> RoadGraph:
        """Make a graph of lines of points (x, y), which meet at the points that they have in common."""
        number: dict[tuple[float, float], int] = {}
        edges: list[tuple[int, int]] = []
        for line in lines:
            edges += pairwise([number.setdefault((x, y), len(number)) for x, y in line])
        return cls.of(list(number), edges)

    @property
    def lengths(self) -> NDArray[np.float64]:
        """The lengths of the pieces, `(m,)` pixels."""
        return np.asarray(np.linalg.norm(self.points[self.edges[:, 0]] - self.points[self.edges[:, 1]], axis=1))

    @property
    def degrees(self) -> NDArray[np.int64]:
        """The number of pieces that meet at each point, `(n,)`."""
        return np.bincount(self.edges.ravel(), minlength=len(self.points))

    @property
    def junctions(self) -> Points:
        """Points at which three or more pieces meet, `(k, 2)`."""
        return self.points[self.degrees >= 3]

    @cached_property
    def neighbours(self) -> list[list[int]]:
        """For each point the points that it is joined with."""
        found: list[list[int]] = [[] for _ in self.points]
        for a, b in self.edges.tolist():
            found[a].append(b)
            found[b].append(a)
        return found

    @cached_property
    def chains(self) -> list[list[int]]:
        """The roads: the points from each junction or end to the next; a ring begins and ends at one of its points."""
        ends = np.flatnonzero(self.degrees != 2).tolist()
        seen: set[tuple[int, int]] = set()
        chains = []
        for start in [*ends, *range(len(self.points))]:
            for following in self.neighbours[start]:
                if (start, following) in seen:
                    continue
                chain = [start, following]
                while len(self.neighbours[chain[-1]]) == 2 and chain[-1] != start:
                    a, b = self.neighbours[chain[-1]]
                    chain.append(b if a == chain[-2] else a)
                for a, b in pairwise(chain):
                    seen |= {(a, b), (b, a)}
                chains.append(chain)
        return chains

    def length(self, chain: Sequence[int]) -> float:
        """Pixels along a chain of points."""
        return float(np.linalg.norm(np.diff(self.points[list(chain)], axis=0), axis=1).sum())

    def moved(self, matrix: NDArray[np.float64]) -> RoadGraph:
        """The graph in other coordinates, by an affine matrix `(2, 3)`."""
        return RoadGraph(self.points @ matrix[:, :2].T + matrix[:, 2], self.edges)

    def clipped(self, width: float, height: float) -> RoadGraph:
        """The part that lies within an image; roads end at its border."""
        start = self.points[self.edges[:, 0]]
        way = self.points[self.edges[:, 1]] - start
        low, high = np.zeros(len(way)), np.ones(len(way))
        outside = np.zeros(len(way), dtype=bool)
        for axis, limit in enumerate((width, height)):
            still = np.abs(way[:, axis]) < 1e-12
            outside |= still & ((start[:, axis] < 0) | (start[:, axis] > limit))
            step = np.where(still, 1.0, way[:, axis])
            enters, leaves = -start[:, axis] / step, (limit - start[:, axis]) / step
            low = np.where(still, low, np.maximum(low, np.minimum(enters, leaves)))
            high = np.where(still, high, np.minimum(high, np.maximum(enters, leaves)))
        kept = ~outside & (high - low > 1e-9)
        points, edges = list(self.points), []
        for number in np.flatnonzero(kept).tolist():
            pair = self.edges[number].tolist()
            for side, share in ((0, low[number]), (1, high[number])):
                if share not in (0.0, 1.0):
                    pair[side] = len(points)
                    points.append((start[number] + share * way[number]).clip(0, (width, height)))
            edges.append(pair)
        return RoadGraph.of(np.array(points), edges).used()

    def used(self) -> RoadGraph:
        """The graph without points at which nothing is joined."""
        kept = np.unique(self.edges)
        new = np.full(len(self.points), -1, dtype=np.int64)
        new[kept] = np.arange(len(kept))
        return RoadGraph(self.points[kept], new[self.edges].reshape(-1, 2))

    def simplified(self, tolerance: float) -> RoadGraph:
        """The graph with fewer points along its roads, none farther than `tolerance` from them (Douglas-Peucker)."""
        with needs("Simplifying roads", "skimage", extra="roads"):
            from skimage.measure import approximate_polygon
        lines = []
        for chain in self.chains:
            line = approximate_polygon(self.points[chain], tolerance)
            if len(line) < 4 and chain[0] == chain[-1]:
                line = self.points[chain]  # a ring that would be a line
            lines.append(line.tolist())
        return RoadGraph.of_lines(lines)

    def nearest(self, points: Points) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """The points of roads nearest to `points` `(k, 2)`; the graph must have a piece.

        Of each: the number of its piece, its position along it as a share of the length, and its distance in pixels.
        """
        start = self.points[self.edges[:, 0]]
        way = self.points[self.edges[:, 1]] - start
        squares = np.maximum((way**2).sum(1), 1e-12)
        shares = (((points[:, None] - start) * way).sum(-1) / squares).clip(0, 1)
        distances = np.linalg.norm(start + shares[..., None] * way - points[:, None], axis=-1)
        best = distances.argmin(1)
        rows = np.arange(len(points))
        return best, shares[rows, best], distances[rows, best]


class Polyline:
    """A line of points `(k, 2)` by the distance from its beginning, pixels; `chain` are their numbers in a graph."""

    def __init__(self, points: Points, chain: Sequence[int] = ()) -> None:
        self.points, self.chain = points, chain
        self.reached = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        self.length = float(self.reached[-1])

    def at(self, distance: float | NDArray[np.float64]) -> Points:
        """The point at a distance, `(2,)`, or at several."""
        return np.stack([np.interp(distance, self.reached, self.points[:, axis]) for axis in range(2)], -1)

    def part(self, start: float, end: float) -> Points:
        """The points from one distance to another."""
        inner = self.points[(self.reached > start) & (self.reached < end)]
        return np.concatenate([self.at(start)[None], inner, self.at(end)[None]])

    def reversed(self) -> Polyline:
        """The same line from its end."""
        return Polyline(self.points[::-1], self.chain[::-1])


def road_map(graph: RoadGraph, size: tuple[int, int], width: int) -> NDArray[np.bool_]:
    """The pixels of an image `(height, width)` on lines of that width, pixels."""
    canvas = Image.new("L", (size[1], size[0]))
    draw = ImageDraw.Draw(canvas)
    # The centre of the first pixel is at 0.5, and Pillow's is at 0.
    for chain in graph.chains:
        line = (graph.points[chain] - 0.5).ravel().tolist()
        draw.line(line, fill=1, width=width, joint="curve" if width > 2 else None)
    return np.asarray(canvas) > 0


def junction_map(graph: RoadGraph, size: tuple[int, int], radius: float) -> NDArray[np.bool_]:
    """The pixels of an image `(height, width)` whose centres are within `radius` of a junction."""
    rows, columns = np.arange(size[0])[:, None] + 0.5, np.arange(size[1])[None] + 0.5
    found = np.zeros(size, dtype=bool)
    for x, y in graph.junctions.tolist():
        found |= (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return found


def graph_of_mask(
    mask: NDArray[np.bool_], *, spur: float = 10.0, merge: float = 8.0, tolerance: float = 1.0
) -> RoadGraph:
    """The centre lines of roads `(H, W)` as a graph: the baseline that thins the map to lines of one pixel.

    After thinning (Zhang and Suen, 1984), dead ends at junctions that are shorter than `spur` are removed, junctions
    nearer than `merge` become one, and lines are simplified to `tolerance` (Douglas-Peucker), all in pixels.
    """
    import networkx as nx

    with needs("Tracing roads", "skimage", extra="roads"):
        from skimage.graph import pixel_graph
        from skimage.morphology import skeletonize
    # Compared, since Pillow gives truth as 255, with which scikit-image reads memory that is not its own.
    thin = skeletonize(np.asarray(mask, dtype=bool).view(np.uint8) > 0)
    if thin.sum() < 2:
        return RoadGraph.of([], [])
    adjacency, pixels = pixel_graph(thin, connectivity=2)
    graph = nx.from_scipy_sparse_array(adjacency)
    points = np.stack(np.unravel_index(pixels, thin.shape)[::-1], 1) + 0.5
    # Where lines meet, pixels form triangles: a diagonal is a shortcut if its ends are also joined around a corner.
    for a, b in list(graph.edges):
        if (points[a] != points[b]).all() and any(True for _ in nx.common_neighbors(graph, a, b)):
            graph.remove_edge(a, b)
    roads = without_spurs(RoadGraph.of(points, graph.edges).used(), spur)
    return _with_merged(roads, merge).simplified(tolerance)


def without_spurs(roads: RoadGraph, shortest: float) -> RoadGraph:
    """Remove short dead ends at junctions, the shortest of each first, since the rest may then be a line."""
    while True:
        degrees = roads.degrees
        spurs: dict[int, tuple[float, list[int]]] = {}
        for chain in roads.chains:
            ends = sorted((chain[0], chain[-1]), key=lambda end: degrees[end])
            if degrees[ends[0]] == 1 and degrees[ends[1]] >= 3 and (length := roads.length(chain)) < shortest:
                spurs[ends[1]] = min(spurs.get(ends[1], (length, chain)), (length, chain))
        if not spurs:
            return roads
        gone = {tuple(sorted(pair)) for _, chain in spurs.values() for pair in pairwise(chain)}
        roads = RoadGraph.of(roads.points, [pair for pair in roads.edges.tolist() if tuple(pair) not in gone]).used()


def _with_merged(roads: RoadGraph, nearest: float) -> RoadGraph:
    """Merge junctions that a short road joins into one in their middle: thinning makes two of a crossing."""
    import networkx as nx

    degrees = roads.degrees
    groups = nx.Graph()
    for chain in roads.chains:
        if degrees[chain[0]] > 2 and degrees[chain[-1]] > 2 and roads.length(chain) < nearest:
            nx.add_path(groups, chain)
    points = roads.points.copy()
    target = np.arange(len(points))
    for group in nx.connected_components(groups):
        members = sorted(group)
        middles = [one for one in members if degrees[one] > 2]
        points[members[0]] = roads.points[middles].mean(0)
        target[members] = members[0]
    return RoadGraph.of(points, target[roads.edges].tolist()).used()
