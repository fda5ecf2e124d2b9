"""Graphs of roads drawn on their image."""

from __future__ import annotations

from PIL import Image, ImageDraw

from res2net.report.images import ImageLike, as_image
from res2net.tasks.roads.data.graph import RoadGraph

__all__ = ["draw_roads"]

SIDE = 640
"""Smaller images grow by a whole number to at most so many pixels."""
ROAD = (255, 120, 0)
JUNCTION = (255, 235, 60)
DARK = (16, 16, 16)
"""Around junctions, which are seen on any background so."""


def draw_roads(image: ImageLike, graph: RoadGraph) -> Image.Image:
    """An image with the lines of roads, and a disc on each junction.

    Images of which the longer side is at most half of `SIDE` are enlarged by a whole number.

    Args:
        image: the image, in any mode.
        graph: in its pixels.
    """
    canvas = as_image(image)
    scale = max(1, SIDE // max(canvas.size))
    drawn = canvas.resize((canvas.width * scale, canvas.height * scale), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(drawn)
    width = max(2, round(max(drawn.size) / 250))
    points = graph.points * scale - 0.5
    for chain in graph.chains:
        draw.line([(x, y) for x, y in points[chain].tolist()], fill=ROAD, width=width, joint="curve")
    for x, y in points[graph.degrees >= 3].tolist():
        draw.ellipse((x - 2 * width, y - 2 * width, x + 2 * width, y + 2 * width), fill=JUNCTION, outline=DARK)
    return drawn
