"""A graph of roads, points in an image joined by straight pieces, and its maps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from res2net.optional import needs

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["RoadGraph", "junction_map", "road_map"]

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
    def of_networkx(cls, graph: nx.Graph) -> RoadGraph:
        """Make a graph of one of networkx whose nodes have a `point` (x, y)."""
        numbers = {node: number for number, node in enumerate(graph)}
        points = [graph.nodes[node]["point"] for node in graph]
        return cls.of(points, [(numbers[a], numbers[b]) for a, b in graph.edges])

    def networkx(self) -> nx.Graph:
        """The graph of networkx, with a `point` at each node and a `length` at each edge, pixels."""
        import networkx as nx  # a fifth of a second, which only those who need it wait for

        graph = nx.Graph()
        graph.add_nodes_from((number, {"point": tuple(point)}) for number, point in enumerate(self.points.tolist()))
        lengths = self.lengths.tolist()
        graph.add_edges_from((a, b, {"length": one}) for (a, b), one in zip(self.edges.tolist(), lengths, strict=True))
        return graph

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
        """The roads: numbers of points from a junction or an end to the next, each piece in one of them.

        A ring without a junction begins and ends at one of its points.
        """
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
        if not len(self.edges):
            return self.used()
        start, end = self.points[self.edges[:, 0]], self.points[self.edges[:, 1]]
        way = end - start
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
        """The graph with fewer points along its roads, none farther than `tolerance` from the line (Douglas-Peucker).

        Raises:
            InputError: scikit-image is not installed.
        """
        with needs("Simplifying roads", "skimage", extra="roads"):
            from skimage.measure import approximate_polygon
        points: list[NDArray[np.float64]] = []
        number: dict[tuple[float, float], int] = {}
        edges = []
        for chain in self.chains:
            line = approximate_polygon(self.points[chain], tolerance)
            if len(line) < 4 and chain[0] == chain[-1]:
                line = self.points[chain]  # a ring that would be a line
            names = []
            for point in line:
                key = (float(point[0]), float(point[1]))
                if key not in number:
                    number[key] = len(points)
                    points.append(point)
                names.append(number[key])
            edges += list(pairwise(names))
        return RoadGraph.of(np.array(points), edges)

    def densified(self, longest: float) -> RoadGraph:
        """The graph with points added, so that no piece is longer than `longest` pixels."""
        points, edges = list(self.points), []
        for (a, b), length in zip(self.edges.tolist(), self.lengths.tolist(), strict=True):
            parts = max(1, int(np.ceil(length / longest - 1e-9)))
            shares = np.arange(1, parts)[:, None] / parts
            new = list(range(len(points), len(points) + parts - 1))
            points += list(self.points[a] + shares * (self.points[b] - self.points[a]))
            names = [a, *new, b]
            edges += list(pairwise(names))
        return RoadGraph.of(np.array(points), edges)

    def nearest(self, points: Points) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """For each of `points` `(k, 2)` the nearest point of a road.

        Returns:
            The number of the piece `(k,)`, how far along it that point is as a share of its length `(k,)`, and how far
            the point is away `(k,)`, pixels; the graph has a piece at least.
        """
        start = self.points[self.edges[:, 0]]
        way = self.points[self.edges[:, 1]] - start
        squares = np.maximum((way**2).sum(1), 1e-12)
        shares = (((points[:, None] - start) * way).sum(-1) / squares).clip(0, 1)
        distances = np.linalg.norm(start + shares[..., None] * way - points[:, None], axis=-1)
        best = distances.argmin(1)
        rows = np.arange(len(points))
        return best, shares[rows, best], distances[rows, best]


def road_map(graph: RoadGraph, size: tuple[int, int], width: int) -> NDArray[np.bool_]:
    """The pixels of an image `(height, width)` on lines of that width, pixels."""
    canvas = Image.new("L", (size[1], size[0]))
    draw = ImageDraw.Draw(canvas)
    # The centre of the first pixel is at 0.5, and Pillow's is at 0.
    for chain in graph.chains:
        line = [(x, y) for x, y in (graph.points[chain] - 0.5).tolist()]
        draw.line(line, fill=1, width=width, joint="curve" if width > 2 else None)
    return np.asarray(canvas) > 0


def junction_map(graph: RoadGraph, size: tuple[int, int], radius: float) -> NDArray[np.bool_]:
    """The pixels of an image `(height, width)` whose centres are within `radius` of a junction."""
    rows, columns = np.arange(size[0])[:, None] + 0.5, np.arange(size[1])[None] + 0.5
    found = np.zeros(size, dtype=bool)
    for x, y in graph.junctions.tolist():
        found |= (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return found
