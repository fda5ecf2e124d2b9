"""Views of images with roads for training and evaluation, and training steps along roads.

VecRoad makes its steps while it explores the graph (Tan et al., CVPR 2020, section 3.4); here they are sampled at
random, so that each image gives steps of every kind: at junctions, along roads, at their ends, and where roads close a
ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from res2net.images.transforms import Normalise
from res2net.tasks.roads.graph import Polyline, RoadGraph, junction_map, road_map
from res2net.weights import Preprocessing

WALKED_WIDTH = 2
"""Width of the lines that were walked, pixels."""
AT_JUNCTION = 0.4
"""Share of the steps that start at a junction or an end."""
FRESH = 0.1
"""Share of those along a road that begin there, with nothing walked behind."""
MEETING = 0.15
"""How often a road ahead was walked already from its other end."""
STRAYING = 0.7
"""Standard deviation of walked points, pixels: a network's walk is never exact."""
MIN_DISTANCE = 3.0
"""Least distance of a next point, pixels; a nearer one is the current point itself."""

Points = NDArray[np.float64]


def window_origin(points: Points, window: int, grid: int) -> NDArray[np.int64]:
    """The upper left corner (x, y) of the window around each of points `(k, 2)`, a multiple of `grid`."""
    return np.floor(points / grid).astype(np.int64) * grid - window // 2


@dataclass(frozen=True)
class StepSampler:
    """Samples steps in a graph; lengths are in pixels."""

    count: int
    """Number of steps in each image."""
    window: int
    """Side of the window around the current point, a multiple of twice the grid."""
    step: float
    """Distance to the next point; less to where the road ends or meets others."""
    grid: int
    """The corners of windows are multiples of it."""
    sigma: float = 2.0
    """Standard deviation of a next point in its map."""

    def __call__(self, graph: RoadGraph, size: tuple[int, int], rng: np.random.Generator) -> dict[str, Tensor]:
        """Sample steps in the graph of an image of that height and width.

        They are `origins` `(count, 2)` of the windows, x and y; `currents` `(count, 2)`, the current points within
        their windows; `walked` and `wanted` `(count, window, window)`, the walked lines and the next points, 0 to 1.
        """
        roads = [Polyline(graph.points[chain], chain) for chain in graph.chains]
        origins = np.zeros((self.count, 2), dtype=np.int64)
        currents = np.zeros((self.count, 2))
        walked = np.zeros((self.count, self.window, self.window), dtype=np.float32)
        wanted = np.zeros((self.count, self.window, self.window), dtype=np.float32)
        for number in range(self.count):
            if not roads:  # nothing to walk, from nowhere
                currents[number] = self.window / 2
                continue
            current, lines, following = self._step(roads, size, rng)
            origins[number] = window_origin(current[None], self.window, self.grid)[0]
            currents[number] = current - origins[number]
            walked[number] = self._line_map(lines, origins[number])
            wanted[number] = self._point_map([point - origins[number] for point in following])
        return {
            "origins": torch.from_numpy(origins),
            "currents": torch.from_numpy(currents).float(),
            "walked": torch.from_numpy(walked),
            "wanted": torch.from_numpy(wanted),
        }

    def _step(
        self, roads: Sequence[Polyline], size: tuple[int, int], rng: np.random.Generator
    ) -> tuple[Points, list[Points], list[Points]]:
        """The current point, the walked lines, and the next points."""
        known = rng.random(len(roads)) < rng.random()
        lengths = np.array([road.length for road in roads])
        chosen = int(rng.choice(len(roads), p=lengths / lengths.sum()))
        at_junction = rng.random() < AT_JUNCTION
        start = float(rng.choice((0.0, roads[chosen].length))) if at_junction else rng.uniform(0, roads[chosen].length)
        exact = roads[chosen].at(start)
        current = (exact + rng.normal(0, STRAYING, 2)).clip(0, (size[1], size[0]))
        lines, following = [], []

        def ahead(road: Polyline) -> None:
            """Add a road that leads on from here, up to where it was walked already."""
            free = road.length
            if rng.random() < MEETING:
                free = rng.uniform(0, road.length)
                lines.append(road.part(free, road.length))
            if free > MIN_DISTANCE:
                following.append(road.at(min(self.step, free)))

        if at_junction:
            here = roads[chosen].chain[0 if start == 0 else -1]
            arms = [(one, road) for one, road in enumerate(roads) if here in (road.chain[0], road.chain[-1])]
            came = arms[rng.integers(len(arms))][0] if rng.random() > FRESH else -1
            for one, road in arms:
                if known[one] or one == came:
                    lines.append(road.part(0, road.length))
                else:
                    for end in {0, -1}:
                        if road.chain[end] == here:
                            ahead(road if end == 0 else road.reversed())
            others = set(range(len(roads))) - {one for one, _ in arms}
        else:
            there = roads[chosen] if rng.random() < 0.5 else roads[chosen].reversed()
            done = start if there is roads[chosen] else there.length - start
            behind = Polyline(there.part(0, done)[::-1])
            ahead(Polyline(there.part(done, there.length)))
            if rng.random() < FRESH:
                ahead(behind)
            else:
                lines.append(behind.part(0, behind.length))
            others = set(range(len(roads))) - {chosen}
        lines += [roads[one].part(0, roads[one].length) for one in others if known[one]]
        return current, [self._strayed(line, exact, current, rng) for line in lines], following

    def _strayed(self, line: Points, exact: Points, current: Points, rng: np.random.Generator) -> Points:
        """A line as a network walks it: in steps, inexactly, but up to the current point."""
        road = Polyline(line)
        steps = np.linspace(0, road.length, max(2, round(road.length / self.step) + 1))
        points = road.at(steps)
        strayed = points + rng.normal(0, STRAYING, points.shape)
        strayed[np.linalg.norm(points - exact, axis=1) < 1e-6] = current
        return strayed

    def _line_map(self, lines: Sequence[Points], origin: NDArray[np.int64]) -> NDArray[np.float32]:
        canvas = Image.new("L", (self.window, self.window))
        draw = ImageDraw.Draw(canvas)
        for line in lines:
            draw.line((line - origin - 0.5).ravel().tolist(), fill=255, width=WALKED_WIDTH)
        return np.asarray(np.asarray(canvas, dtype=np.float32) / np.float32(255))

    def _point_map(self, points: Sequence[Points]) -> NDArray[np.float32]:
        centres = np.arange(self.window) + 0.5
        marks = np.zeros((self.window, self.window))
        for x, y in points:
            squares = (centres[None] - x) ** 2 + (centres[:, None] - y) ** 2
            marks = np.maximum(marks, np.exp(-squares / (2 * self.sigma**2)))
        return marks.astype(np.float32)


class RoadTransform:
    """For training: a random square, rotated and mirrored at random, with its maps and steps along its roads.

    The `size` of the preprocessing is the side of the square; smaller images are padded with black. The options have
    the meaning of those of `RoadsOptions`.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        steps: StepSampler,
        *,
        road_width: int,
        junction_radius: float,
        color_jitter: float = 0.0,
    ) -> None:
        self.size, self.steps = preprocessing.size, steps
        self.road_width, self.junction_radius = road_width, junction_radius
        self.normalise = Normalise(preprocessing)
        self.colors = v2.ColorJitter(*(color_jitter,) * 3) if color_jitter else None

    def __call__(self, image: Any, target: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """The image and `roads`, `junctions` `(size, size)` in 0 ... 1, and the entries of `StepSampler`."""
        # From torch's generator, which loaders seed in each of their processes.
        rng = np.random.default_rng(int(torch.randint(1 << 31, ()).item()))
        pixels, graph, mask = self._viewed(as_pixels(image), target["graph"], target.get("mask"), rng)
        size = (self.size, self.size)
        roads = road_map(graph, size, self.road_width) if mask is None else mask
        junctions = junction_map(graph, size, self.junction_radius)
        prepared = tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))))
        learnt = {
            "roads": torch.from_numpy(roads.astype(np.float32)),
            "junctions": torch.from_numpy(junctions.astype(np.float32)),
            **self.steps(graph, size, rng),
        }
        if "index" in target:
            learnt["index"] = target["index"]
        return self.normalise(self.colors(prepared) if self.colors else prepared), learnt

    def _viewed(
        self, pixels: NDArray[np.uint8], graph: RoadGraph, mask: NDArray[np.bool_] | None, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], RoadGraph, NDArray[np.bool_] | None]:
        """A random square, turned by quarters and mirrored."""
        side = self.size
        top, left = (int(rng.integers(max(0, length - side) + 1)) for length in pixels.shape[:2])
        turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))

        def seen(array: NDArray[Any]) -> NDArray[Any]:
            part = array[top : top + side, left : left + side]
            lacks = [(0, side - length) for length in part.shape[:2]]
            part = np.rot90(np.pad(part, (*lacks, (0, 0))[: part.ndim]), turns)
            return np.ascontiguousarray(part[:, ::-1] if mirrored else part)

        height, width = min(side, pixels.shape[0] - top), min(side, pixels.shape[1] - left)
        graph = graph.moved(np.array([(1.0, 0.0, -left), (0.0, 1.0, -top)])).clipped(width, height)
        for _ in range(turns):  # a quarter against the clock: x becomes y, and what was right is up
            graph = graph.moved(np.array([(0.0, 1.0, 0.0), (-1.0, 0.0, side)]))
        if mirrored:
            graph = graph.moved(np.array([(-1.0, 0.0, side), (0.0, 1.0, 0.0)]))
        return seen(pixels), graph, None if mask is None else seen(mask)


class RoadEvalTransform:
    """For evaluation: the image in its own size, or cropped and padded at the right and bottom to a `size` (H, W)."""

    def __init__(self, preprocessing: Preprocessing, size: tuple[int, int] | None = None) -> None:
        self.normalise = Normalise(preprocessing)
        self.size = size

    def __call__(self, image: Any, target: dict[str, Any] | None = None) -> Any:
        """The image; with a target also `size_now` (H, W), `index`, and the graph, if any, as `truth`."""
        pixels = as_pixels(image)
        prepared = self.normalise(tv_tensors.Image(torch.from_numpy(pixels.transpose(2, 0, 1).copy())))
        if self.size is not None:
            height, width = self.size
            prepared = prepared[:, :height, :width]
            prepared = F.pad(prepared, (0, width - prepared.shape[2], 0, height - prepared.shape[1]))
        if target is None:
            return prepared
        names = {"index": "index", "graph": "truth"}
        return prepared, {
            "size_now": tuple(pixels.shape[:2]),
            **{new: target[name] for name, new in names.items() if name in target},
        }


def as_pixels(image: Any) -> NDArray[np.uint8]:
    """`(H, W, 3)` of a `PIL.Image` or a uint8 tensor `(3, H, W)`."""
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    return np.asarray(image.permute(1, 2, 0))
