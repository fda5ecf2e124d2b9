"""Roads as a graph: maps of roads and junctions, and walks from point to point (VecRoad, Tan et al., CVPR 2020)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.images.sources import DataSource
from res2net.images.transforms import Transform
from res2net.report import Column, Report
from res2net.report.images import as_image
from res2net.report.tables import Cell
from res2net.task.base import Evaluation, register_task
from res2net.task.headed import HeadedTask
from res2net.tasks.pixels.heads.fixed import FixedPixels
from res2net.tasks.roads.data.files import geojson, nodes_and_edges
from res2net.tasks.roads.data.graph import RoadGraph
from res2net.tasks.roads.data.skeleton import graph_of_mask
from res2net.tasks.roads.data.transform import RoadEvalTransform, RoadTransform
from res2net.tasks.roads.data.walks import StepSampler
from res2net.tasks.roads.drawing import draw_roads
from res2net.tasks.roads.metrics.all import RoadMetric
from res2net.tasks.roads.network import RoadNetwork, road_losses
from res2net.tasks.roads.options import RoadsOptions
from res2net.tasks.roads.tiles import explored_in_tiles
from res2net.tasks.roads.tracing import TracingOptions, trace_roads
from res2net.weights import Preprocessing, atomic_write

__all__ = ["RoadResult", "Roads", "RoadsOptions"]

TILE = 1024
"""Side of the pieces in which larger images are seen, pixels."""
SHOWN = 6
"""Images in a report."""


@dataclass(frozen=True)
class RoadResult:
    """The graph of an image, and how sure each pixel is a road, `(H, W)` in 0 ... 1."""

    graph: RoadGraph
    roads: NDArray[np.float32]


@register_task
class Roads(HeadedTask):
    """A road map, a junction map and next points on a backbone; what is found is a graph in pixels of the image."""

    name = "roads"
    Options = RoadsOptions
    labels: ClassVar[Sequence[str]] = ("graph",)
    monitor = "APLS"
    headline = ("APLS", "junction_F1", "pixel_F1")
    result_name = "roads"
    columns = (Column("roads"), Column("junctions"), Column("length", "pixels", digits=0))
    outputs = ("maps",)

    model: RoadNetwork | FixedPixels
    options: RoadsOptions
    within: tuple[int, int] | None = None
    """Height and width of the images of an exported network."""

    def __init__(self, model: Any, preprocessing: Preprocessing, options: Any, facts: Mapping[str, Any]) -> None:
        if isinstance(model, FixedPixels):  # it has the maps alone, and these are thinned
            options = dataclasses.replace(options, tracing="skeleton")
        super().__init__(model, preprocessing, options, facts)

    @classmethod
    def network(cls, backbone: Backbone, options: RoadsOptions, facts: Mapping[str, Any]) -> nn.Module:
        """The backbone with its branches."""
        return RoadNetwork(
            backbone,
            channels=options.channels,
            branch_channels=options.branch_channels,
            next_channels=options.next_channels,
            window=options.window,
        )

    @classmethod
    def alone(cls) -> str:
        """What a backbone cannot do."""
        return "finds no roads"

    @classmethod
    def fixed(cls, network: Any, size: tuple[int, ...], facts: Mapping[str, Any]) -> Any:
        """Smaller images are filled up."""
        return FixedPixels(network, (size[0], size[1]))

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)` to logits of roads and of junctions, `(N, 2, H, W)`."""
        return self.model(images)

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """Of the road map, the junction map and the next points."""
        assert isinstance(self.model, RoadNetwork)
        maps, features = self.model.every(images)
        windows = self.model.windows(features, targets["origins"])
        steps = self.model.step(windows, targets["currents"].flatten(0, 1), targets["walked"].flatten(0, 1))
        return road_losses(
            maps,
            targets["roads"],
            targets["junctions"],
            steps,
            targets["wanted"].flatten(0, 1),
            side_weight=self.options.side_weight,
        )

    def metric(self) -> RoadMetric:
        """APLS, junctions and pixels."""
        return RoadMetric(snap=self.options.apls_snap)

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image the `roads`, pixels, that were found, and those that are `there`."""
        found = [one.graph for one in self.predict(images, targets)]
        metric.update(found, targets["truth"], targets["size_now"])
        lengths = [[float(graph.lengths.sum()) for graph in graphs] for graphs in (found, targets["truth"])]
        return {"roads": torch.tensor(lengths[0]), "there": torch.tensor(lengths[1])}

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[RoadResult]:
        """The roads of each image."""
        height, width = images.shape[-2:]
        sizes = [(height, width)] * len(images) if targets is None else [tuple(one) for one in targets["size_now"]]
        # An image beside larger ones has zeros around it, which it would not have alone.
        groups = [images] if len(set(sizes)) == 1 else [images[place : place + 1] for place in range(len(sizes))]
        results: list[RoadResult] = []
        for group in groups:
            here = sizes[len(results) : len(results) + len(group)]
            results += self._found(group[..., : here[0][0], : here[0][1]], here)
        return results

    def _found(self, images: Tensor, sizes: Sequence[tuple[int, int]]) -> list[RoadResult]:
        """The roads of images of one size."""
        options = self.options
        if isinstance(self.model, RoadNetwork):
            logits, features = explored_in_tiles(self.model, images, TILE)
        else:
            logits = self.model(images)
        maps = logits.float().sigmoid()
        roads = maps[:, 0].cpu().numpy()
        if options.tracing == "next-point":
            assert isinstance(self.model, RoadNetwork)
            graphs = trace_roads(self.model, features, maps, sizes, tracing_options(options))
        else:
            graphs = [
                graph_of_mask(one >= options.road_threshold, spur=options.spur, merge=options.snap) for one in roads
            ]
        return [RoadResult(graph, one) for graph, one in zip(graphs, roads, strict=True)]

    def transform(self, train: bool) -> Transform:
        """Random squares with their maps and steps in training, the whole image in evaluation."""
        if not train or not isinstance(self.model, RoadNetwork):  # one that was exported is not trained
            return RoadEvalTransform(self.preprocessing)
        options = self.options
        steps = StepSampler(options.steps_per_image, options.window, options.step, self.model.stride)
        return RoadTransform(
            self.preprocessing,
            steps,
            road_width=options.road_width,
            junction_radius=options.junction_radius,
            color_jitter=options.color_jitter,
        )

    def fit(self, size: tuple[int, int] | None = None) -> tuple[int, int]:
        """By default the square of training."""
        self.within = size or (self.preprocessing.size, self.preprocessing.size)
        return self.within

    def fitted(self) -> Transform:
        """The upper left of an image, with zeros at its right and bottom up to the size of the exported network."""
        assert self.within is not None
        return RoadEvalTransform(self.preprocessing, self.within)

    def tabulate(self, result: RoadResult) -> Sequence[Sequence[Cell]]:
        """How many roads and junctions there are, and how long the roads are."""
        graph = result.graph
        return [(len(graph.chains), len(graph.junctions), float(graph.lengths.sum()))]

    def described(self, result: RoadResult) -> dict[str, Any]:
        """The graph as nodes and edges."""
        return nodes_and_edges(result.graph)

    def save(self, result: RoadResult, stem: Path) -> list[Path]:
        """The graph as JSON and GeoJSON, both in pixels, and the road map as PNG, white where the network is sure."""
        paths = []
        for ending, content in ((".json", nodes_and_edges(result.graph)), (".geojson", geojson(result.graph))):
            paths.append(stem.with_name(stem.name + ending))
            atomic_write(paths[-1], partial(_write, json.dumps(content)))
        image = Image.fromarray((255 * result.roads).round().astype(np.uint8))
        paths.append(stem.with_name(f"{stem.name}.png"))
        atomic_write(paths[-1], lambda file: image.save(file, "PNG"))
        return paths

    def draw(self, image: Image.Image, result: RoadResult) -> Image.Image:
        """The image with the graph on it."""
        return draw_roads(image, result.graph)

    def draw_truth(self, image: Any, target: Mapping[str, Any]) -> Image.Image:
        """The image with the true graph on it."""
        return draw_roads(as_image(image), target["graph"])

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """Images with what is true and what was found."""
        report.add_section("Images")
        images, captions = [], []
        for index in range(min(SHOWN, len(source.val))):
            image, target = source.val[index]
            result = self.found_in(image, target)
            images += [self.draw_truth(image, target), self.draw_beside(image, result, target)]
            captions += [f"image {index}: true", f"image {index}: {self.options.tracing}"]
        report.add_images(images, captions, "Validation images: the true roads of each, and those found.", 2)


def tracing_options(options: RoadsOptions) -> TracingOptions:
    """What a walk needs of the task's options."""
    names = [field.name for field in dataclasses.fields(TracingOptions)]
    return TracingOptions(**{name: getattr(options, name) for name in names if hasattr(options, name)})


def _write(text: str, file: BinaryIO) -> None:
    file.write(text.encode())
