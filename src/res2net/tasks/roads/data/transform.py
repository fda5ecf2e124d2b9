"""Transforms of images with roads, for training and for evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from res2net.images.transforms import Normalise
from res2net.tasks.roads.data.graph import RoadGraph, junction_map, road_map
from res2net.tasks.roads.data.walks import StepSampler
from res2net.weights import Preprocessing

__all__ = ["RoadEvalTransform", "RoadTransform"]


class RoadTransform:
    """For training: a random square, turned and mirrored at random, with its maps and steps along its roads.

    Args:
        preprocessing: its `size` is the side of the square; what a smaller image lacks is black.
        steps: draws steps.
        road_width: pixels of the lines of the road map, where the data have no map of their own.
        junction_radius: pixels of the discs of the junction map.
        color_jitter: largest relative change of brightness, contrast and saturation.
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
        self.size = preprocessing.size
        self.steps = steps
        self.road_width = road_width
        self.junction_radius = junction_radius
        self.normalise = Normalise(preprocessing)
        self.colors = v2.ColorJitter(*(color_jitter,) * 3) if color_jitter else None

    def __call__(self, image: Any, target: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """The image and `roads`, `junctions` `(size, size)` in 0 ... 1, and the entries of `StepSampler`."""
        # From torch's generator, which loaders seed in each of their processes.
        rng = np.random.default_rng(int(torch.randint(1 << 31, ()).item()))
        pixels = as_pixels(image)
        graph: RoadGraph = target["graph"]
        mask = target.get("mask")
        maps = None if mask is None else np.asarray(mask)[..., None]
        pixels, graph, maps = self._viewed(pixels, graph, maps, rng)
        size = (self.size, self.size)
        roads = road_map(graph, size, self.road_width) if maps is None else maps[..., 0] > 0
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
        self, pixels: NDArray[np.uint8], graph: RoadGraph, maps: NDArray[Any] | None, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], RoadGraph, NDArray[Any] | None]:
        """A random square, turned by quarters and mirrored."""
        side = self.size
        top, left = (int(rng.integers(max(0, length - side) + 1)) for length in pixels.shape[:2])
        turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))

        def seen(array: NDArray[Any]) -> NDArray[Any]:
            part = array[top : top + side, left : left + side]
            lacks = [(0, side - length) for length in part.shape[:2]]
            part = np.rot90(np.pad(part, (*lacks, (0, 0))), turns)
            return np.ascontiguousarray(part[:, ::-1] if mirrored else part)

        height, width = min(side, pixels.shape[0] - top), min(side, pixels.shape[1] - left)
        graph = graph.moved(np.array([(1.0, 0.0, -left), (0.0, 1.0, -top)])).clipped(width, height)
        for _ in range(turns):  # a quarter against the clock: x becomes y, and what was right is up
            graph = graph.moved(np.array([(0.0, 1.0, 0.0), (-1.0, 0.0, side)]))
        if mirrored:
            graph = graph.moved(np.array([(-1.0, 0.0, side), (0.0, 1.0, 0.0)]))
        return seen(pixels), graph, None if maps is None else seen(maps)


class RoadEvalTransform:
    """For evaluation: the image in its own size, and the true graph as `truth`.

    Args:
        preprocessing: for the normalisation.
        size: height and width of what an image is cut to at its right and bottom, or filled up to with zeros.
    """

    def __init__(self, preprocessing: Preprocessing, size: tuple[int, int] | None = None) -> None:
        self.normalise = Normalise(preprocessing)
        self.size = size

    def __call__(self, image: Any, target: dict[str, Any] | None = None) -> Any:
        """The image; with a target also `size_now` (height, width), `index`, and the graph, if any, as `truth`."""
        pixels = as_pixels(image)
        target, alone = target or {}, target is None
        noted: dict[str, Any] = {"size_now": tuple(pixels.shape[:2])}
        noted |= {name: target[name] for name in ("index",) if name in target}
        if "graph" in target:
            noted["truth"] = target["graph"]
        prepared = self.normalise(tv_tensors.Image(torch.from_numpy(pixels.transpose(2, 0, 1).copy())))
        if self.size is not None:
            height, width = self.size
            prepared = prepared[:, :height, :width]
            prepared = F.pad(prepared, (0, width - prepared.shape[2], 0, height - prepared.shape[1]))
        return prepared if alone else (prepared, noted)


def as_pixels(image: Any) -> NDArray[np.uint8]:
    """`(H, W, 3)` of a `PIL.Image` or a uint8 tensor `(3, H, W)`."""
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    return np.asarray(image.permute(1, 2, 0))
