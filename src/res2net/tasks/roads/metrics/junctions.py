"""Junctions that were found, and how well the roads that meet there agree (Bastani et al., RoadTracer, CVPR 2018)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from res2net.tasks.roads.data.graph import RoadGraph

__all__ = ["junction_scores"]

SAME_ARM = np.pi / 2
"""Roads that leave two junctions agree where their directions differ by less (the published code)."""
REACH = 20.0
"""Pixels along a road at which its direction is taken."""


def junction_scores(truth: RoadGraph, found: RoadGraph, radius: float = 10.0) -> NDArray[np.float64]:
    """The counts of precision and recall of junctions, to be summed over images, `(4,)`.

    Each true junction takes the nearest junction within `radius` pixels that no other took, the nearest pairs first. Of
    a pair, `correct` is the share of the true roads there that have one in the other junction in about their direction,
    and `extra` is the share of the roads found there that have none in the true one.

    Returns:
        The sum of correct shares, the number of true junctions, the sum of `1 - extra` over pairs, and the number of
        junctions found. Recall is the first by the second, precision the third by the fourth.
    """
    ours, theirs = arms(truth), arms(found)
    points, others = (np.array([point for point, _ in one]).reshape(-1, 2) for one in (ours, theirs))
    apart = np.linalg.norm(points[:, None] - others, axis=-1)
    correct = right = 0.0
    taken: tuple[set[int], set[int]] = (set(), set())
    for index in np.argsort(apart, axis=None, kind="stable").tolist():
        one, other = divmod(index, len(others))
        if apart[one, other] > radius:
            break
        if one in taken[0] or other in taken[1]:
            continue
        taken[0].add(one)
        taken[1].add(other)
        differences = np.abs(ours[one][1][:, None] - theirs[other][1])
        same = np.minimum(differences, 2 * np.pi - differences) < SAME_ARM
        correct += float(same.any(1).mean())
        right += float(same.any(0).mean())
    return np.array([correct, len(points), right, len(others)])


def arms(graph: RoadGraph) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Each junction `(2,)` with the directions `(k,)` of its roads, radians from 0 to 2 pi."""
    degrees = graph.degrees
    found: dict[int, list[float]] = {node: [] for node in np.flatnonzero(degrees >= 3).tolist()}
    for chain in graph.chains:
        for way in (chain, chain[::-1]):
            if way[0] in found:
                line = graph.points[way]
                reached = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
                x, y = (np.interp(min(REACH, reached[-1] / 2), reached, line[:, axis]) for axis in range(2))
                found[way[0]].append(float(np.arctan2(y - line[0, 1], x - line[0, 0])) % (2 * np.pi))
    return [(graph.points[node], np.array(angles)) for node, angles in found.items()]
