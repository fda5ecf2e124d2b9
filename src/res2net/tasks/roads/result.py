"""The roads of an image as a graph, with their map."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from res2net.report import Column
from res2net.report.images import ImageLike, as_image
from res2net.report.tables import Cell
from res2net.task.result import Result, write_png
from res2net.tasks.roads.folder import geojson, nodes_and_edges
from res2net.tasks.roads.graph import RoadGraph
from res2net.weights import atomic_write

SIDE = 640
"""Smaller images are enlarged by a whole number to at most so many pixels."""
ROAD = (255, 120, 0)
JUNCTION = (255, 235, 60)
DARK = (16, 16, 16)
"""The outline of junctions, which makes them visible on any background."""


@dataclass(eq=False)
class RoadResult(Result):
    """The roads of an image as a graph, with their map."""

    graph: RoadGraph
    """In pixels of the image."""
    road_map: NDArray[np.float32]
    """The probability that a pixel is a road, `(H, W)`."""

    columns = (Column("roads"), Column("junctions"), Column("length", "pixels", digits=0))
    files = "graphs and road maps"

    def to_dict(self) -> dict[str, Any]:
        """`roads`: the graph as nodes and edges."""
        return {"roads": nodes_and_edges(self.graph)}

    def rows(self) -> Sequence[Sequence[Cell]]:
        """One row: the number of roads and of junctions, and the length of all roads."""
        graph = self.graph
        return [(len(graph.chains), len(graph.junctions), float(graph.lengths.sum()))]

    def draw(self, image: Any = None) -> Image.Image:
        """The image with the graph on it."""
        return draw_roads(self.image if image is None else image, self.graph)

    def save(self, stem: str | Path) -> list[Path]:
        """Write the graph as JSON and GeoJSON, both in pixels, and the road map as PNG, white for certain roads."""
        stem = Path(stem)
        paths = []
        for ending, content in ((".json", nodes_and_edges(self.graph)), (".geojson", geojson(self.graph))):
            paths.append(stem.with_name(stem.name + ending))
            _write(paths[-1], json.dumps(content).encode())
        shades = Image.fromarray((255 * self.road_map).round().astype(np.uint8))
        return [*paths, write_png(stem.with_name(f"{stem.name}.png"), shades)]


def _write(path: Path, content: bytes) -> None:
    atomic_write(path, lambda file: file.write(content))


def draw_roads(image: ImageLike, graph: RoadGraph) -> Image.Image:
    """Draw the lines of roads on an image, and a disc on each junction; small images are enlarged up to `SIDE`."""
    canvas = as_image(image)
    scale = max(1, SIDE // max(canvas.size))
    drawn = canvas.resize((canvas.width * scale, canvas.height * scale), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(drawn)
    width = max(2, round(max(drawn.size) / 250))
    points = graph.points * scale - 0.5
    for chain in graph.chains:
        draw.line(points[chain].ravel().tolist(), fill=ROAD, width=width, joint="curve")
    for junction in points[graph.degrees >= 3].tolist():
        draw.circle(junction, 2 * width, fill=JUNCTION, outline=DARK)
    return drawn
