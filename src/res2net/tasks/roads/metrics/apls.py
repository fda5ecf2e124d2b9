"""Average path length similarity of two graphs of roads (Van Etten et al., SpaceNet, 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from res2net.tasks.roads.data.graph import RoadGraph

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["APLS", "apls", "control_points", "one_way_similarity", "with_points_on_roads"]


@dataclass(frozen=True)
class APLS:
    """The similarity of two graphs, 0 to 1: the harmonic mean of two directed ones."""

    value: float
    truth_in_found: float
    """The similarity of the paths of the true graph in the one that was found."""
    found_in_truth: float
    """The similarity of the paths of the graph that was found in the true one."""


def apls(
    truth: RoadGraph,
    found: RoadGraph,
    *,
    snap: float = 4.0,
    spacing: float = 50.0,
    shortest: float = 10.0,
    most_points: int = 500,
) -> APLS:
    """How similar the shortest paths in two graphs are: those between all pairs of control points.

    A path of length L that has length L' in the other graph counts `1 - min(1, |L - L'| / L)`, and 0 where it is not
    there or an end of it is farther than `snap` from any road. The mean is taken over the paths of each graph, and of
    both the harmonic mean. Lengths are in pixels; SpaceNet's values are in metres.

    Two graphs without roads are equal (1); where one has roads and the other none it is 0.

    Args:
        truth: the true graph.
        found: the other one.
        snap: how far a control point may be from the other graph.
        spacing: most between control points along a road.
        shortest: shorter paths do not count.
        most_points: of more control points so many are taken, spread evenly over their list.
    """
    truth, found = truth.used(), found.used()
    if not len(truth.edges) or not len(found.edges):
        same = float(len(truth.edges) == len(found.edges))
        return APLS(same, same, same)
    options = {"snap": snap, "spacing": spacing, "shortest": shortest, "most_points": most_points}
    there = one_way_similarity(truth, found, **options)  # type: ignore[arg-type]
    back = one_way_similarity(found, truth, **options)  # type: ignore[arg-type]
    value = 2 * there * back / (there + back) if there and back else 0.0
    return APLS(value, there, back)


def one_way_similarity(
    first: RoadGraph,
    second: RoadGraph,
    *,
    snap: float = 4.0,
    spacing: float = 50.0,
    shortest: float = 10.0,
    most_points: int = 500,
) -> float:
    """The mean over the paths of the first graph of how similar their lengths are in the second; 0 without paths."""
    points = control_points(first, spacing)
    if len(points) > most_points:
        points = points[np.linspace(0, len(points) - 1, most_points).round().astype(int)]
    lengths = path_lengths(*with_points_on_roads(first, points, np.inf))
    others = path_lengths(*with_points_on_roads(second, points, snap))
    counts = np.isfinite(lengths) & (lengths >= max(shortest, 1e-9))
    if not counts.any():
        return 0.0
    wanted, given = lengths[counts], others[counts]
    with np.errstate(invalid="ignore"):
        differences = np.where(np.isfinite(given), np.abs(wanted - given) / wanted, 1.0)
    return float(1 - np.minimum(differences, 1.0).mean())


def control_points(graph: RoadGraph, spacing: float) -> NDArray[np.float64]:
    """Ends and junctions, and points along each road that divide it in equal parts of at most `spacing`, `(k, 2)`."""
    used = graph.used()
    points = list(used.points[used.degrees != 2])
    for chain in used.chains:
        line = used.points[chain]
        reached = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        parts = max(1, int(np.ceil(reached[-1] / spacing - 1e-9)))
        if used.degrees[chain[0]] == 2:  # a ring
            points.append(line[0])
        positions = reached[-1] * np.arange(1, parts) / parts
        points += list(np.stack([np.interp(positions, reached, line[:, axis]) for axis in range(2)], -1))
    return np.array(points).reshape(-1, 2)


def with_points_on_roads(
    graph: RoadGraph, points: NDArray[np.float64], snap: float
) -> tuple[nx.Graph, list[int | None]]:
    """A graph with a node at the point of a road that is nearest to each of some points.

    Returns:
        The graph of these nodes, of junctions and of ends, its edges with their `length` along the roads; and for each
        point its node, None where no road is within `snap`.
    """
    import networkx as nx

    pieces, shares, away = graph.nearest(points)
    on_piece: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for index in np.flatnonzero(away <= snap).tolist():
        a, b = graph.edges[pieces[index]].tolist()
        on_piece.setdefault((a, b), []).append((float(shares[index]), len(graph.points) + index))
        on_piece.setdefault((b, a), []).append((float(1 - shares[index]), len(graph.points) + index))
    net = nx.Graph()

    def join(a: int, b: int, length: float) -> None:
        # Two roads may lead from one node to another: paths take the shorter.
        net.add_edge(a, b, length=min(length, net.get_edge_data(a, b, {"length": np.inf})["length"]))

    for chain in graph.chains:
        lengths = np.linalg.norm(np.diff(graph.points[chain], axis=0), axis=1).tolist()
        last, since = chain[0], 0.0
        for (a, b), length in zip(pairwise(chain), lengths, strict=True):
            gone = 0.0
            for share, node in sorted(on_piece.get((a, b), [])):
                join(last, node, since + (share - gone) * length)
                last, since, gone = node, 0.0, share
            since += (1 - gone) * length
        join(last, chain[-1], since)
    return net, [len(graph.points) + index if away[index] <= snap else None for index in range(len(points))]


def path_lengths(net: nx.Graph, nodes: list[int | None]) -> NDArray[np.float64]:
    """Lengths of the shortest paths between all pairs of nodes, one for each pair; infinite where there is none."""
    import networkx as nx

    found = []
    for index, node in enumerate(nodes):
        reached = {} if node is None else nx.single_source_dijkstra_path_length(net, node, weight="length")
        found += [reached.get(other, np.inf) for other in nodes[index + 1 :]]
    return np.array(found, dtype=np.float64)
