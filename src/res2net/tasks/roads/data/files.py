"""Graphs of roads in files: JSON with nodes and edges, GeoJSON with lines, and RoadTracer's text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from res2net.errors import InputError
from res2net.tasks.roads.data.graph import RoadGraph

__all__ = ["ENDINGS", "geojson", "nodes_and_edges", "read_graph"]

ENDINGS = (".json", ".geojson", ".graph")
"""The endings of the files that are read."""
FARTHEST = 10_000_000
"""Largest coordinate of a node, pixels."""


def nodes_and_edges(graph: RoadGraph) -> dict[str, Any]:
    """`{"nodes": [[x, y], ...], "edges": [[a, b], ...]}`, ready for JSON; x and y in pixels, a and b count nodes."""
    return {"nodes": [[round(x, 2), round(y, 2)] for x, y in graph.points.tolist()], "edges": graph.edges.tolist()}


def geojson(graph: RoadGraph) -> dict[str, Any]:
    """A feature collection with a line for each road from a junction or an end to the next, in pixels."""
    lines = [[[round(x, 2), round(y, 2)] for x, y in graph.points[chain].tolist()] for chain in graph.chains]
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"length": round(graph.length(chain), 2)},
                "geometry": {"type": "LineString", "coordinates": line},
            }
            for chain, line in zip(graph.chains, lines, strict=True)
        ],
    }


def read_graph(path: str | Path) -> RoadGraph:
    """The graph in a file of `ENDINGS`, coordinates in pixels.

    JSON is as of `nodes_and_edges`. GeoJSON has lines, which meet where they have a point in common. RoadTracer's text
    has a line `x y` for each node, an empty line, and a line `a b` for each edge, also both ways.

    Raises:
        InputError: the file cannot be read, or is in none of these formats.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"Cannot read the roads in {path} ({reason}): check the file.") from error
    try:
        if path.suffix == ".graph":
            return of_text(text)
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("it has no nodes")
        return of_lines(content) if "features" in content else checked(content["nodes"], content["edges"])
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error).split("\n")[0]
        raise InputError(
            f'{path} is no graph of roads ({reason}): give JSON as {{"nodes": [[x, y]], "edges": [[0, 1]]}}, GeoJSON '
            "with lines, or RoadTracer's text."
        ) from error


def checked(nodes: Any, edges: Any) -> RoadGraph:
    """The graph of two lists; `ValueError` where it is none."""
    points = np.array(nodes, dtype=np.float64).reshape(-1, 2) if nodes else np.zeros((0, 2))
    if len(points) != len(nodes) or not (np.abs(points) <= FARTHEST).all():
        raise ValueError(f"a node is not two numbers up to {FARTHEST:,}")
    for edge in edges:
        if len(edge) != 2 or not all(type(node) is int and 0 <= node < len(points) for node in edge):
            raise ValueError(f"the edge {edge} does not join two of the {len(points)} nodes")
    return RoadGraph.of(points, edges)


def of_text(text: str) -> RoadGraph:
    """From RoadTracer's text."""
    nodes, _, edges = "\n".join(line.strip() for line in text.strip().splitlines()).partition("\n\n")
    return checked(
        [[float(value) for value in line.split()] for line in nodes.splitlines()],
        [[int(value) for value in line.split()] for line in edges.split("\n") if line],
    )


def of_lines(content: Any) -> RoadGraph:
    """From a feature collection of GeoJSON."""
    number: dict[tuple[float, float], int] = {}
    edges = []
    for line in lines_of(content["features"]):
        names = [number.setdefault((float(x), float(y)), len(number)) for x, y, *_ in line]
        edges += [list(pair) for pair in pairwise(names)]
    return checked([list(point) for point in number], edges)


def lines_of(features: Any) -> Iterator[Any]:
    """The coordinates of each line."""
    for feature in features:
        geometry = feature["geometry"]
        if geometry["type"] == "LineString":
            yield geometry["coordinates"]
        elif geometry["type"] == "MultiLineString":
            yield from geometry["coordinates"]
        else:
            raise ValueError(f"a {geometry['type']} is no line")
