"""Maps `(H, W)` of a graph of roads, which a network learns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from res2net.tasks.roads.data.graph import RoadGraph

__all__ = ["junction_map", "road_map"]


def road_map(graph: RoadGraph, size: tuple[int, int], width: int) -> NDArray[np.bool_]:
    """The pixels of an image `(height, width)` on lines of that width, pixels."""
    canvas = Image.new("L", (size[1], size[0]))
    draw = ImageDraw.Draw(canvas)
    # The centre of the first pixel is at 0.5, and Pillow's is at 0.
    for chain in graph.chains:
        line = [(x, y) for x, y in (graph.points[chain] - 0.5).tolist()]
        draw.line(line, fill=1, width=width, joint="curve" if width > 2 else None)
    return np.asarray(canvas) > 0


def junction_map(graph: RoadGraph, size: tuple[int, int], radius: float) -> NDArray[np.bool_]:
    """The pixels of an image `(height, width)` whose centres are within `radius` of a junction."""
    rows, columns = np.arange(size[0])[:, None] + 0.5, np.arange(size[1])[None] + 0.5
    found = np.zeros(size, dtype=bool)
    for x, y in graph.junctions.tolist():
        found |= (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return found
