"""APLS against paths worked out by hand and against a slow version written from its definition."""

import itertools

import networkx as nx
import numpy as np
import pytest
from dense_graphs import densified

from res2net.tasks.roads.graph import RoadGraph
from res2net.tasks.roads.metric import apls, control_points, one_way_similarity

EMPTY = RoadGraph.of([], [])
LINE = RoadGraph.of([(0, 0), (100, 0)], [(0, 1)])


def naive_one_way(first, second, snap, spacing, shortest):
    """By the definition: roads as chains of points half a pixel apart, and all paths."""
    points = control_points(first, spacing)

    def fine(graph):
        net, dense = nx.Graph(), densified(graph, 0.5)
        for a, b in dense.edges:
            p, q = dense.points[[a, b]]
            net.add_edge(tuple(p.round(6)), tuple(q.round(6)), weight=float(np.linalg.norm(p - q)))
        return net

    def node(net, point):
        places = np.array(list(net))
        distances = np.linalg.norm(places - point, axis=1)
        return tuple(places[distances.argmin()].tolist()), distances.min()

    ours, theirs = fine(first), fine(second)
    lengths, others = (dict(nx.all_pairs_dijkstra_path_length(net)) for net in (ours, theirs))
    scores = []
    for a, b in itertools.combinations(points, 2):
        length = lengths[node(ours, a)[0]].get(node(ours, b)[0])
        if length is None or length < shortest:
            continue
        (start, near), (end, also) = node(theirs, a), node(theirs, b)
        other = others[start].get(end) if max(near, also) <= snap else None
        scores.append(0.0 if other is None else 1 - min(1.0, abs(length - other) / length))
    return float(np.mean(scores)) if scores else 0.0


def random_graph(seed):
    rng = np.random.default_rng(seed)
    points = np.stack(np.meshgrid(np.arange(4), np.arange(3)), -1).reshape(-1, 2) * 12.0
    points += rng.normal(0, 1, points.shape)
    near = [(a, b) for a, b in itertools.combinations(range(12), 2) if np.linalg.norm(points[a] - points[b]) < 16]
    return RoadGraph.of(points, [pair for pair in near if rng.random() < 0.6]).used()


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_the_definition_says(seed):
    first = random_graph(seed)
    rng = np.random.default_rng(100 + seed)
    second = RoadGraph.of(
        first.points + rng.normal(0, 0.7, first.points.shape), [pair for pair in first.edges if rng.random() < 0.85]
    ).used()
    options = {"snap": 2.0, "spacing": 8.0, "shortest": 3.0}
    assert one_way_similarity(first, second, **options) == pytest.approx(
        naive_one_way(first, second, **options), abs=0.03
    )
    assert one_way_similarity(first, first, **options) == 1.0


def test_a_gap_by_hand():
    """Of a line with control points at 0, 50 and 100 only half is found: of three paths one is there."""
    half = RoadGraph.of([(0, 0), (50, 0)], [(0, 1)])
    found = apls(LINE, half)
    assert found.truth_in_found == pytest.approx(1 / 3)
    assert found.found_in_truth == 1.0
    assert found.value == pytest.approx(0.5)


def test_a_detour_by_hand():
    """A straight road of 100 that is found as one of 140 around a corner, whose ends lie on the true one."""
    around = RoadGraph.of([(0, 0), (0, 20), (100, 20), (100, 0)], [(0, 1), (1, 2), (2, 3)])
    found = apls(LINE, around, spacing=1000)
    assert found.truth_in_found == pytest.approx(1 - 40 / 100)
    assert found.found_in_truth == pytest.approx(1 - 40 / 140)
    assert found.value == pytest.approx(2 / (1 / 0.6 + 140 / 100))


def test_shifted_roads_are_found_as_far_as_they_snap():
    for shift, value in ((3.9, 1.0), (4.1, 0.0)):
        moved = RoadGraph.of(LINE.points + np.array([0, shift]), LINE.edges)
        assert apls(LINE, moved).value == pytest.approx(value)


def test_the_shorter_of_two_roads_between_junctions_counts():
    ring = RoadGraph.of([(0, 0), (60, 0), (0, 30), (60, 30)], [(0, 1), (0, 2), (2, 3), (3, 1)])
    tails = RoadGraph.of([*ring.points, (-30, 0), (90, 0)], [*ring.edges, (0, 4), (1, 5)])
    assert apls(tails, tails).value == 1.0
    straight = RoadGraph.of(tails.points, [pair for pair in tails.edges if 2 not in pair])
    assert one_way_similarity(tails, straight.used(), spacing=1000) == 1.0


def test_a_ring_has_control_points():
    ring = RoadGraph.of([(0, 0), (60, 0), (60, 60), (0, 60)], [(0, 1), (1, 2), (2, 3), (3, 0)])
    assert len(control_points(ring, 50)) == 5
    assert apls(ring, ring).value == 1.0


@pytest.mark.parametrize(
    ("truth", "found", "value"),
    [
        (EMPTY, EMPTY, 1.0),
        (LINE, EMPTY, 0.0),
        (EMPTY, LINE, 0.0),
        (RoadGraph.of([(5, 5)], []), EMPTY, 1.0),
        (LINE, RoadGraph.of([(5, 5)], []), 0.0),
        (LINE, LINE, 1.0),
        # Too short for a path that counts.
        (RoadGraph.of([(0, 0), (5, 0)], [(0, 1)]), LINE, 0.0),
    ],
)
def test_edges_of_the_definition(truth, found, value):
    assert apls(truth, found).value == value


def test_of_many_control_points_some_are_taken():
    first, second = random_graph(0), random_graph(0)
    assert apls(first, second, spacing=1.0, max_points=20).value == 1.0
