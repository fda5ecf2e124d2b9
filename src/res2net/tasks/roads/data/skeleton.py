"""From a map of roads to their graph: the baseline that thins the map to lines of one pixel."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from res2net.optional import needs
from res2net.tasks.roads.data.graph import RoadGraph

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["graph_of_mask", "without_spurs"]


def graph_of_mask(
    mask: NDArray[np.bool_], *, spur: float = 10.0, merge: float = 8.0, tolerance: float = 1.0
) -> RoadGraph:
    """The centre lines of roads `(H, W)` as a graph.

    scikit-image thins the map (Zhang and Suen, 1984) and gives the graph of its pixels. Of that, dead ends that leave a
    junction and are shorter than `spur` are cut, junctions nearer than `merge` become one, and lines are simplified to
    `tolerance` (Douglas-Peucker), all in pixels.

    Raises:
        InputError: scikit-image is not installed.
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
    rows, columns = np.unravel_index(pixels, thin.shape)
    for node, row, column in zip(range(len(pixels)), rows.tolist(), columns.tolist(), strict=True):
        graph.nodes[node]["point"] = (column + 0.5, row + 0.5)
    _without_shortcuts(graph)
    roads = RoadGraph.of_networkx(graph).used()
    roads = without_spurs(roads, spur)
    roads = _with_merged(roads, merge)
    return roads.simplified(tolerance)


def _without_shortcuts(graph: nx.Graph) -> None:
    """Remove the diagonal between two pixels that are joined around a corner: where lines meet they are triangles."""
    import networkx as nx

    for a, b in list(graph.edges):
        (ax, ay), (bx, by) = graph.nodes[a]["point"], graph.nodes[b]["point"]
        if ax != bx and ay != by and any(True for _ in nx.common_neighbors(graph, a, b)):
            graph.remove_edge(a, b)


def without_spurs(roads: RoadGraph, shortest: float) -> RoadGraph:
    """Without short dead ends at junctions, the shortest of each first, since what is left may be a line then."""
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
    """With junctions that a short road joins as one, in their middle: thinning makes two of a crossing."""
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
