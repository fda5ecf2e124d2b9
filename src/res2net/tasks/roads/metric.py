"""APLS, junctions and pixels of graphs of roads, as one metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from res2net.images.samples import evenly_spaced
from res2net.tasks.roads.graph import Polyline, RoadGraph, road_map

if TYPE_CHECKING:
    import networkx as nx

SAME_ARM = np.pi / 2
"""Roads that leave two junctions agree where their directions differ by less (the published code)."""
REACH = 20.0
"""Pixels along a road at which its direction is taken."""


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
    max_points: int = 500,
) -> APLS:
    """The similarity of the shortest paths between control points in two graphs (Van Etten et al., SpaceNet, 2018).

    A path of length L that has length L' in the other graph counts `1 - min(1, |L - L'| / L)`, and 0 if it does not
    exist there or one of its ends is farther than `snap` from any road. The result is the harmonic mean of the means
    over the paths of each graph: 1 for two graphs without roads, and 0 if only one has roads. Lengths are in pixels;
    SpaceNet's values are in metres.

    Args:
        truth: the true graph.
        found: the other one.
        snap: maximum distance of a control point from the other graph.
        spacing: maximum distance between control points along a road.
        shortest: shorter paths do not count.
        max_points: maximum number of control points; of more, evenly spaced ones of their list are used.
    """
    truth, found = truth.used(), found.used()
    if not len(truth.edges) or not len(found.edges):
        same = float(len(truth.edges) == len(found.edges))
        return APLS(same, same, same)
    similarity = partial(one_way_similarity, snap=snap, spacing=spacing, shortest=shortest, max_points=max_points)
    there, back = similarity(truth, found), similarity(found, truth)
    value = 2 * there * back / (there + back) if there and back else 0.0
    return APLS(value, there, back)


def one_way_similarity(
    first: RoadGraph,
    second: RoadGraph,
    *,
    snap: float = 4.0,
    spacing: float = 50.0,
    shortest: float = 10.0,
    max_points: int = 500,
) -> float:
    """The mean over the paths of the first graph of how similar their lengths are in the second; 0 without paths."""
    points = control_points(first, spacing)
    points = points[evenly_spaced(len(points), max_points)]
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
    """Ends, junctions, and points that divide each road in equal parts of at most `spacing`, `(k, 2)`."""
    used = graph.used()
    points = list(used.points[used.degrees != 2])
    for chain in used.chains:
        line = Polyline(used.points[chain])
        parts = max(1, int(np.ceil(line.length / spacing - 1e-9)))
        if used.degrees[chain[0]] == 2:  # a ring
            points.append(line.points[0])
        points += list(line.at(line.length * np.arange(1, parts) / parts))
    return np.array(points).reshape(-1, 2)


def with_points_on_roads(
    graph: RoadGraph, points: NDArray[np.float64], snap: float
) -> tuple[nx.Graph, list[int | None]]:
    """The graph of junctions, ends and the points of roads nearest to some points, with the `length` of each edge.

    Also returns the node of each point, None if no road is within `snap`.
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


def junction_scores(truth: RoadGraph, found: RoadGraph, radius: float = 10.0) -> NDArray[np.float64]:
    """The counts of precision and recall of junctions, to be summed over images (Bastani et al., CVPR 2018).

    Junctions within `radius` pixels are paired, the nearest first. Of a pair, `correct` is the share of the true roads
    that have one in about the same direction in the other junction, and `extra` is the share of the roads found there
    that have none in the true one.

    The counts `(4,)` are the sum of correct shares, the number of true junctions, the sum of `1 - extra` over pairs,
    and the number of junctions found. Recall is the first by the second, precision the third by the fourth.
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
                line = Polyline(graph.points[way])
                x, y = line.at(min(REACH, line.length / 2)) - line.points[0]
                found[way[0]].append(float(np.arctan2(y, x)) % (2 * np.pi))
    return [(graph.points[node], np.array(angles)) for node, angles in found.items()]


class RoadMetric(Metric):
    """APLS, the mean over images; F1 of junctions and of pixels on the lines, from sums over all images.

    A control point of APLS is at most `snap` pixels from a road.
    """

    full_state_update = False
    similarity: Tensor
    images: Tensor
    junctions: Tensor
    pixels: Tensor

    def __init__(self, *, snap: float = 4.0) -> None:
        super().__init__()
        self.snap = snap
        for name, size in (("similarity", ()), ("images", ()), ("junctions", (4,)), ("pixels", (4,))):
            self.add_state(name, torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, found: Sequence[RoadGraph], truth: Sequence[RoadGraph], sizes: Sequence[tuple[int, int]]) -> None:
        """Add images by their graphs and their sizes, height and width."""
        for one, true, size in zip(found, truth, sizes, strict=True):
            self.similarity += apls(true, one, snap=self.snap).value
            self.images += 1
            self.junctions += torch.from_numpy(junction_scores(true, one)).to(self.junctions)
            there, here = (road_map(graph, size, 1) for graph in (true, one))
            self.pixels += torch.from_numpy(relaxed_counts(there, here)).to(self.pixels)

    def compute(self) -> dict[str, Tensor]:
        """The scores by name, 0 to 1; F1 is 1 if there is nothing to find and nothing was found."""
        values = {"APLS": self.similarity / self.images.clamp(min=1)}
        for name, (recalled, true, right, found) in (("junction", self.junctions), ("pixel", self.pixels)):
            recall, precision = (
                a / b if b else torch.tensor(1.0 if both else 0.0)
                for a, b, both in ((recalled, true, not found), (right, found, not true))
            )
            values[f"{name}_precision"], values[f"{name}_recall"] = precision, recall
            values[f"{name}_F1"] = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
        return values


def relaxed_counts(truth: NDArray[np.bool_], found: NDArray[np.bool_], tolerance: int = 3) -> NDArray[np.int64]:
    """The counts of precision and recall of lines `(H, W)` with a tolerance (Mnih, 2013), to be summed over images.

    A pixel is right if the other map has one at most `tolerance` rows and columns away. The counts `(4,)` are true
    pixels that were found, all true pixels, pixels found that are right, and all pixels found. Recall is the first by
    the second, precision the third by the fourth.
    """
    near_truth, near_found = (
        F.max_pool2d(torch.from_numpy(one.astype(np.float32))[None], 2 * tolerance + 1, 1, tolerance)[0].numpy() > 0
        for one in (truth, found)
    )
    return np.array([(truth & near_found).sum(), truth.sum(), (found & near_truth).sum(), found.sum()])
