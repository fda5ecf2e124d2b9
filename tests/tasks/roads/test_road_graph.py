"""Graphs of roads: chains, clipping, simplifying, files, and thinned maps."""

import json
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from dense_graphs import densified
from PIL import Image

from res2net.errors import InputError
from res2net.tasks.roads.folder import geojson, nodes_and_edges, read_graph
from res2net.tasks.roads.graph import RoadGraph, graph_of_mask, junction_map, road_map, without_spurs
from res2net.tasks.roads.synthetic import draw_town

EMPTY = RoadGraph.of([], [])
TEE = RoadGraph.of([(10, 10), (30, 10), (50, 10), (30, 40)], [(0, 1), (1, 2), (1, 3)])


def town(seed):
    return draw_town(np.random.default_rng(seed), 128).graph


def test_chains_hold_each_piece_once():
    for graph in (town(0), town(1), TEE):
        pieces = [tuple(sorted(pair)) for chain in graph.chains for pair in pairwise(chain)]
        assert sorted(pieces) == sorted(map(tuple, graph.edges.tolist()))
        inner = {node for chain in graph.chains for node in chain[1:-1]}
        assert all(graph.degrees[node] == 2 for node in inner)


def test_a_ring_is_a_chain_and_so_is_a_loop_at_a_junction():
    ring = RoadGraph.of([(0, 0), (9, 0), (9, 9)], [(0, 1), (1, 2), (2, 0)])
    assert [sorted(chain) for chain in ring.chains] == [[0, 0, 1, 2]]
    loop = RoadGraph.of([*ring.points, (-9, 0)], [*ring.edges, (0, 3)])
    assert sorted(len(chain) for chain in loop.chains) == [2, 4]


def test_junctions_are_those_of_networkx():
    graph = town(2)
    net = nx.Graph(graph.edges.tolist())
    assert [net.degree[node] for node in range(len(graph.points))] == graph.degrees.tolist()
    lengths = [np.linalg.norm(graph.points[a] - graph.points[b]) for a, b in net.edges]
    assert sum(lengths) == pytest.approx(graph.lengths.sum())


def test_clipping_keeps_what_is_inside():
    across = RoadGraph.of([(-10, 5), (30, 5), (5, -10), (5, 3), (50, 50), (60, 60)], [(0, 1), (2, 3), (4, 5)])
    clipped = across.clipped(20, 10)
    assert sorted(map(tuple, clipped.points.tolist())) == [(0, 5), (5, 0), (5, 3), (20, 5)]
    assert clipped.lengths.sum() == 23
    assert len(EMPTY.clipped(5, 5).points) == 0


@pytest.mark.parametrize("seed", range(3))
def test_clipping_is_what_many_small_pieces_tell(seed):
    graph = RoadGraph.of(np.random.default_rng(seed).uniform(-20, 84, (12, 2)), [(a, a + 1) for a in range(11)])
    fine = densified(graph, 0.05)
    middles = fine.points[fine.edges].mean(1)
    inside = ((middles > 0) & (middles < 64)).all(1)
    assert graph.clipped(64, 64).lengths.sum() == pytest.approx(fine.lengths[inside].sum(), abs=0.5)


def test_simplifying_drops_points_on_lines():
    dense = densified(TEE, 3)
    assert len(dense.points) > 20
    simple = dense.simplified(0.1)
    assert sorted(map(tuple, simple.points.tolist())) == sorted(map(tuple, TEE.points.tolist()))
    assert len(simple.edges) == 3


def test_the_nearest_place():
    pieces, shares, away = TEE.nearest(np.array([(15.0, 13.0), (30.0, 50.0)]))
    assert TEE.edges[pieces].tolist() == [[0, 1], [1, 3]]
    assert shares.tolist() == [0.25, 1]
    assert away.tolist() == [3, 10]


def test_maps():
    roads = road_map(TEE, (50, 60), 1)
    assert roads[9:11, 10:50].any(0).all()
    assert roads.sum() < 75
    junctions = junction_map(TEE, (50, 60), 3)
    rows, columns = np.nonzero(junctions)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == (30, 10)
    assert not road_map(EMPTY, (5, 5), 3).any()


def test_a_thinned_map_has_the_roads_it_was_drawn_from():
    found = graph_of_mask(road_map(TEE, (60, 60), 7))
    assert len(found.junctions) == 1
    assert np.linalg.norm(found.junctions[0] - (30, 10)) < 3
    assert len(found.chains) == 3
    assert found.lengths.sum() == pytest.approx(TEE.lengths.sum(), abs=16)  # ends are worn away


def test_truth_in_any_byte_is_thinned():
    """Pillow's is 255."""
    mask = np.asarray(Image.fromarray(road_map(TEE, (60, 60), 7)))
    assert len(graph_of_mask(mask).chains) == 3


def test_a_crossing_stays_one_junction():
    cross = RoadGraph.of([(30, 2), (30, 58), (2, 22), (58, 38), (30, 30)], [(0, 4), (4, 1), (2, 4), (4, 3)])
    assert len(graph_of_mask(road_map(cross, (60, 60), 7)).junctions) == 1


@pytest.mark.parametrize("mask", [np.zeros((9, 9), bool), np.eye(9, dtype=bool)[:1], np.ones((1, 1), bool)])
def test_maps_without_roads_give_no_graph(mask):
    assert len(graph_of_mask(mask).edges) == 0


def test_a_ring_is_thinned_to_a_ring():
    ring = np.zeros((40, 40), bool)
    ring[8:32, 8:32] = True
    ring[14:26, 14:26] = False
    found = graph_of_mask(ring)
    assert (found.degrees == 2).all()
    assert len(found.chains) == 1


def test_short_dead_ends_are_cut_and_long_ones_stay():
    spur = RoadGraph.of([*TEE.points, (40, 15), (40, 10)], [(0, 1), (1, 5), (5, 2), (1, 3), (4, 5)])
    assert len(without_spurs(spur, 8).chains) == 3
    assert len(without_spurs(spur, 4).chains) == 5


def test_files_of_all_formats(tmp_path):
    graph = town(3)
    (tmp_path / "a.json").write_text(json.dumps(nodes_and_edges(graph)))
    (tmp_path / "a.geojson").write_text(json.dumps(geojson(graph)))
    lines = [f"{x} {y}" for x, y in graph.points] + [""] + [f"{a} {b}\n{b} {a}" for a, b in graph.edges]
    (tmp_path / "a.graph").write_text("\n".join(lines))
    for name in ("a.json", "a.geojson", "a.graph"):
        read = read_graph(tmp_path / name)
        assert len(read.edges) == len(graph.edges)
        assert read.lengths.sum() == pytest.approx(graph.lengths.sum(), rel=1e-3)
        assert len(read.junctions) == len(graph.junctions)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", "{", "Expecting property name"),
        ("a.json", "[]", "it has no nodes"),
        ("a.json", '{"nodes": [[0, 0]]}', "'edges' is missing"),
        ("a.json", '{"nodes": [[0, 0]], "edges": [[0, 1]]}', "does not join two of the 1 nodes"),
        ("a.json", '{"nodes": [[0, NaN]], "edges": []}', "not two numbers up to 10,000,000"),
        ("a.json", '{"nodes": [[0, 0, 0]], "edges": []}', "reshape"),
        ("a.geojson", '{"features": [{"geometry": {"type": "Point"}}]}', "a Point is no line"),
        ("a.graph", "1 2\n3", "inhomogeneous"),
        ("a.graph", "1 x", "could not convert"),
    ],
)
def test_bad_files_are_told_in_a_sentence(tmp_path, name, text, reason):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=reason) as error:
        read_graph(tmp_path / name)
    assert "is no graph of roads" in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"is no graph of roads \(no such file"):
        read_graph(tmp_path / "a.json")
