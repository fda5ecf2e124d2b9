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
from res2net.report.images import enlarged
from res2net.report.objects import DARK
from res2net.report.tables import Cell
from res2net.task.result import Result, write_png
from res2net.tasks.roads.folder import geojson, nodes_and_edges
from res2net.tasks.roads.graph import RoadGraph
from res2net.weights import atomic_write

ROAD = (255, 120, 0)
JUNCTION = (255, 235, 60)


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
        """The image with the lines of roads, and a disc on each junction."""
        drawn, scale = enlarged(self._canvas(image))
        draw = ImageDraw.Draw(drawn)
        width = max(2, round(max(drawn.size) / 250))
        points = self.graph.points * scale - 0.5
        for chain in self.graph.chains:
            draw.line(points[chain].ravel().tolist(), fill=ROAD, width=width, joint="curve")
        for junction in points[self.graph.degrees >= 3].tolist():
            draw.circle(junction, 2 * width, fill=JUNCTION, outline=DARK)
        return drawn

    def save(self, stem: str | Path) -> list[Path]:
        """Write the graph as JSON and GeoJSON, both in pixels, and the road map as PNG, white for certain roads."""
        paths = [Path(f"{Path(stem)}{ending}") for ending in (".json", ".geojson", ".png")]
        atomic_write(paths[0], json.dumps(nodes_and_edges(self.graph)).encode())
        atomic_write(paths[1], json.dumps(geojson(self.graph)).encode())
        write_png(paths[2], Image.fromarray((255 * self.road_map).round().astype(np.uint8)))
        return paths
