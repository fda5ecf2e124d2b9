"""Where graphs lie on their images: in pixels within them, or elsewhere by a mistake of units or axes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from res2net.errors import InputError
from res2net.images.faults import AnnotationReport
from res2net.tasks.pixels.formats.codings import Turning
from res2net.tasks.roads.graph import RoadGraph

TINY = 1.5
"""Height and width of all roads of a graph, pixels, up to which its coordinates are in another unit."""
MISTAKEN = 0.5
"""Least share of the length of all roads that lies on their images."""
AGREEMENT = 0.3
"""How much more of the length must lie on the masks for another placement to be the right one."""
SAMPLE = 2.0
"""Distance of the points at which graphs are compared with masks, pixels."""

Placement = Callable[[NDArray[np.float64], int, int], NDArray[np.float64]]
"""Maps points `(n, 2)` in an image of that width and height."""

PLACEMENTS: dict[str, Placement] = {
    "": lambda points, width, height: points,
    "x and y seem to be swapped": lambda points, width, height: points[:, ::-1],
    "y seems to be negative": lambda points, width, height: points * (1, -1),
    "y seems to point up": lambda points, width, height: points * (1, -1) + (0, height),
}
"""Mistakes by what they seem to be, and the right points."""


@dataclass
class Placed:
    """How the graphs of a data set lie on their images, counted graph by graph."""

    report: AnnotationReport
    turning: Turning
    """How graphs of images that EXIF turns are turned."""
    graphs: int = 0
    """Number of graphs that have a road."""
    tiny: list[str] = field(default_factory=list)
    """Graphs that are at most `TINY` large."""
    outside: list[str] = field(default_factory=list)
    """Other graphs of which no road is on the image."""
    length: float = 0.0
    """The length of all roads, pixels."""
    inside: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """The length on the images, for each of `PLACEMENTS`."""
    on_mask: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """The length on the masks, for each of `PLACEMENTS`, of those graphs that were compared with one."""
    compared: float = 0.0
    """The length of all roads of these graphs."""

    def add(
        self, path: Path, graph: RoadGraph, size: tuple[int, int], orientation: int, mask: NDArray[np.bool_] | None
    ) -> None:
        """Count the graph of an upright image of a height and width, and compare it with a mask `(H, W)`."""
        if not len(graph.edges):
            return
        self.graphs += 1
        length = float(graph.lengths.sum())
        if np.ptp(graph.points, axis=0).max() <= TINY < max(size):
            self.tiny.append(str(path))
        count_turn(self.turning, graph, orientation, size)
        graph = turned_graph(self.turning, graph, orientation, size)
        self.length += length
        width, height = size[1], size[0]
        for name, place in PLACEMENTS.items():
            placed = RoadGraph(place(graph.points, width, height), graph.edges)
            self.inside[name] += length_inside(placed, size)
            if mask is not None:
                self.on_mask[name] += length * share_on(mask, placed)
        self.compared += length if mask is not None else 0.0
        if not length_inside(graph, size):
            self.outside.append(str(path))

    def conclude(self) -> None:
        """Report what lies outside; `InputError` if most roads do, or if they are in another unit or order."""
        if not self.graphs:
            return
        unit = "give coordinates in pixels of the image, x to the right and y down from its upper left corner"
        share = self.inside[""] / self.length if self.length else 0.0
        if 2 * len(self.tiny) >= self.graphs:
            raise InputError(
                f"The roads of {len(self.tiny)} of {self.graphs} graphs, such as {self.tiny[0]}, are less than "
                f"{TINY:g} pixels large, as they are in degrees or in shares of the image: {unit}."
            )
        swapped = "x and y seem to be swapped"
        likely = max(self.inside, key=lambda name: (self.inside[name], not name))
        if share < MISTAKEN or (likely == swapped and share < 0.9 and self.inside[swapped] > 0.99 * self.length):
            guess = f" ({likely})" if likely and self.inside[likely] > 0.9 * self.length else ""
            some = self.outside[0] if self.outside else "the first graph"
            raise InputError(
                f"{'No road lies' if not share else f'Only {share:.0%} of the length of roads lies'} on its image in "
                f"{self.report.path}{guess}, see {some}: {unit}."
            )
        if self.compared:
            best = max(self.on_mask, key=lambda name: (self.on_mask[name], not name))
            if self.on_mask[best] > self.on_mask[""] + AGREEMENT * self.compared:
                raise InputError(
                    f"Only {self.on_mask[''] / self.compared:.0%} of the length of roads of the graphs in "
                    f"{self.report.path} lies on the roads of the masks ({best}): {unit}."
                )
        if share < 0.999:
            none = f"; {len(self.outside)} graphs have no road on it, such as {self.outside[0]}" if self.outside else ""
            self.report.remark(f"{1 - share:.1%} of the length of roads lies off its image and is not used{none}.")
        if self.tiny:
            self.report.remark(
                f"The roads of {len(self.tiny)} graphs are within {TINY:g} pixels, as of {self.tiny[0]}."
            )
        self.report.remark(self.turning.note("their graphs"))


def length_inside(graph: RoadGraph, size: tuple[int, int]) -> float:
    """The length of the roads on an image of a height and width, pixels."""
    return float(graph.clipped(size[1], size[0]).lengths.sum())


def share_on(mask: NDArray[np.bool_], graph: RoadGraph) -> float:
    """The share of the length of roads that is on a mask `(H, W)`."""
    start, end = graph.points[graph.edges[:, 0]], graph.points[graph.edges[:, 1]]
    counts = np.maximum(1, graph.lengths / SAMPLE).astype(int)
    shares = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])[:, None]
    points = np.floor(start.repeat(counts, 0) * (1 - shares) + end.repeat(counts, 0) * shares).astype(np.int64)
    height, width = mask.shape
    inside = ((points >= 0) & (points < (width, height))).all(1)
    found = np.zeros(len(points), dtype=bool)
    found[inside] = mask[points[inside, 1], points[inside, 0]]
    return float(np.average(found, weights=(graph.lengths / counts).repeat(counts) + 1e-12))


def stored_to_upright(orientation: int, size: tuple[int, int]) -> NDArray[np.float64]:
    """The matrix `(2, 3)` from points of the stored image to those of the upright one of a height and width."""
    height, width = size
    return {
        2: np.array([[-1.0, 0, width], [0, 1, 0]]),
        3: np.array([[-1.0, 0, width], [0, -1, height]]),
        4: np.array([[1.0, 0, 0], [0, -1, height]]),
        5: np.array([[0.0, 1, 0], [1, 0, 0]]),
        6: np.array([[0.0, -1, width], [1, 0, 0]]),
        7: np.array([[0.0, -1, width], [-1, 0, height]]),
        8: np.array([[0.0, 1, 0], [-1, 0, height]]),
    }.get(orientation, np.eye(2, 3))


def _inside_both(graph: RoadGraph, orientation: int, size: tuple[int, int]) -> tuple[float, float]:
    """The length on the image if the graph is that of the upright image, and if it is that of the stored one."""
    return length_inside(graph, size), length_inside(graph.moved(stored_to_upright(orientation, size)), size)


def count_turn(turning: Turning, graph: RoadGraph, orientation: int, size: tuple[int, int]) -> None:
    """Count whether a graph has to be turned with its upright image of a height and width."""
    if orientation != 1:
        upright, stored = _inside_both(graph, orientation, size)
        turning.upright += upright > 1.01 * stored
        turning.stored += stored > 1.01 * upright
        turning.unclear += max(upright, stored) <= 1.01 * min(upright, stored)


def turned_graph(turning: Turning, graph: RoadGraph, orientation: int, size: tuple[int, int]) -> RoadGraph:
    """The graph in pixels of its upright image of a height and width; see `Turning`."""
    if orientation == 1 or not len(graph.edges):
        return graph
    upright, stored = _inside_both(graph, orientation, size)
    if upright > 1.01 * stored or (stored <= 1.01 * upright and turning.in_doubt_upright):
        return graph
    return graph.moved(stored_to_upright(orientation, size))
