"""Graphs of roads with many points, as independent programs see them."""

from itertools import pairwise

import numpy as np

from res2net.tasks.roads.graph import RoadGraph


def densified(graph, longest):
    """The graph with points added, so that no piece is longer than `longest` pixels."""
    points, edges = list(graph.points), []
    for (a, b), length in zip(graph.edges.tolist(), graph.lengths.tolist(), strict=True):
        parts = max(1, int(np.ceil(length / longest - 1e-9)))
        shares = np.arange(1, parts)[:, None] / parts
        new = list(range(len(points), len(points) + parts - 1))
        points += list(graph.points[a] + shares * (graph.points[b] - graph.points[a]))
        edges += list(pairwise([a, *new, b]))
    return RoadGraph.of(np.array(points), edges)
