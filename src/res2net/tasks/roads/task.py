"""Roads as a graph: maps of roads and junctions, and walks from point to point (VecRoad, Tan et al., CVPR 2020)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from res2net.export.exporter import EXPORTERS, Exporter
from res2net.images.sources import DataSource, open_source
from res2net.images.splits import DataSettings
from res2net.images.transforms import Transform
from res2net.report.images import as_image
from res2net.task.base import TASKS, CreateBackbone, Evaluation, Scoring, Task
from res2net.tasks.pixels.exporter import FixedPixels
from res2net.tasks.roads.folder import read_roads
from res2net.tasks.roads.graph import RoadGraph, graph_of_mask, road_map
from res2net.tasks.roads.network import RoadNetwork, explored_in_tiles, road_losses
from res2net.tasks.roads.options import TRACINGS, RoadsOptions
from res2net.tasks.roads.result import RoadResult
from res2net.tasks.roads.samples import RoadEvalTransform, RoadTransform, StepSampler
from res2net.tasks.roads.tracing import trace_roads

if TYPE_CHECKING:
    from res2net.report import Report
    from res2net.tasks.roads.metric import RoadMetric

TILE = 1024
"""Side of the pieces in which larger images are seen, pixels."""
SHOWN = 6
"""Images in a report."""
GUESSES = 4
"""Graphs that are tried as the same answer for every image."""


@TASKS.register("roads")
class Roads(Task):
    """A road map, a junction map and next points on a backbone; a result is a graph in pixels of the image.

    An exported network has the two maps alone, of which the road map is thinned.
    """

    name = "roads"
    Options = RoadsOptions
    labels: ClassVar[tuple[str, ...]] = ("graph",)
    """The entries of a target that it needs."""
    scoring = Scoring("APLS", headline=("APLS", "junction_F1", "pixel_F1"))

    model: RoadNetwork | FixedPixels
    options: RoadsOptions

    @classmethod
    def open(cls, source: str | Path, settings: DataSettings | None = None, options: Any | None = None) -> DataSource:
        """Open a folder of images with their roads, or the synthetic towns of the source "roads"."""
        return open_source(source, settings, labels=cls.labels, reader=read_roads)

    @classmethod
    def network(cls, create: CreateBackbone, options: RoadsOptions, facts: Mapping[str, Any]) -> nn.Module:
        """Make the backbone with its branches."""
        names = ("channels", "branch_channels", "next_channels", "window")
        return RoadNetwork(create(num_classes=0), **{name: getattr(options, name) for name in names})

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)` to logits of roads and of junctions, `(N, 2, H, W)`."""
        return self.model(images)

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """The losses of the road map, the junction map and the next points."""
        assert isinstance(self.model, RoadNetwork)
        maps, features = self.model.all_outputs(images)
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
        """APLS, and F1 of junctions and of pixels."""
        from res2net.tasks.roads.metric import RoadMetric

        return RoadMetric(snap=self.options.apls_snap)

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image the length of the `roads` that were found and of the true ones, `there`, pixels."""
        found = [one.graph for one in self.predict(images, targets)]
        metric.update(found, targets["truth"], targets["size_now"])
        lengths = [[float(graph.lengths.sum()) for graph in graphs] for graphs in (found, targets["truth"])]
        return {"roads": torch.tensor(lengths[0]), "there": torch.tensor(lengths[1])}

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[RoadResult]:
        """The roads of each image."""
        height, width = images.shape[-2:]
        sizes = [(height, width)] * len(images) if targets is None else [tuple(one) for one in targets["size_now"]]
        # An image beside larger ones is padded with zeros, which it would not have alone.
        groups = [images] if len(set(sizes)) == 1 else [images[index : index + 1] for index in range(len(sizes))]
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
            graphs = trace_roads(self.model, features, maps, sizes, options)
        else:
            graphs = [
                graph_of_mask(one >= options.road_threshold, spur=options.spur, merge=options.snap) for one in roads
            ]
        return [RoadResult(graph, one) for graph, one in zip(graphs, roads, strict=True)]

    def truth(self, image: Any, target: Mapping[str, Any]) -> RoadResult:
        """The true graph, and the mask of roads, or where there is none the lines of the graph."""
        graph, mask = target["graph"], target.get("mask")
        if mask is None:
            canvas = as_image(image)
            mask = road_map(graph, (canvas.height, canvas.width), self.options.road_width)
        return RoadResult(graph, np.asarray(mask).astype(np.float32))

    def transform(self, train: bool) -> Transform:
        """Random squares with their maps and steps in training, the whole image in evaluation."""
        if not train or not isinstance(self.model, RoadNetwork):  # an exported network is not trained
            return RoadEvalTransform(self.preprocessing)
        options = self.options
        steps = StepSampler(options.steps_per_image, options.window, options.step, self.model.stride)
        names = ("road_width", "junction_radius", "color_jitter")
        return RoadTransform(self.preprocessing, steps, **{name: getattr(options, name) for name in names})

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """Images with the ground truth and the prediction."""
        report.add_section("Images")
        images, captions = [], []
        for index in range(min(SHOWN, len(source.val))):
            image, target = source.val[index]
            images += [self.truth(image, target).panel(image), self.predict_sample(image, target).panel(image)]
            captions += [f"image {index}: true", f"image {index}: {self.options.tracing}"]
        report.add_images(images, captions, "Validation images: the true roads of each, and those found.", 2)


def by_tracing(task: Task) -> dict[str, Task]:
    """Variants for a recipe: the task with each way to turn its maps into graphs."""
    ways: dict[str, Task] = {}
    for tracing in TRACINGS:
        ways[tracing] = copy.copy(task)
        ways[tracing].options = replace(task.options, tracing=tracing)
    return ways


def one_graph_for_all(untrained: Roads, source: DataSource) -> dict[str, Mapping[str, float]]:
    """A baseline for a recipe: the metrics, in percent, of the training graph among a few that fits others best."""

    def scores(guess: RoadGraph, truth: list[RoadGraph]) -> dict[str, float]:
        metric = untrained.metric()
        side = source.preprocessing.size
        metric.update([guess] * len(truth), truth, [(side, side)] * len(truth))
        return {name: 100 * float(value) for name, value in metric.compute().items()}

    towns: list[RoadGraph] = [source.train[index][1]["graph"] for index in range(4 * GUESSES)]
    best = max(towns[:GUESSES], key=lambda guess: scores(guess, towns[GUESSES:])["APLS"])
    return {"one graph for all": scores(best, [source.val[index][1]["graph"] for index in range(len(source.val))])}


@EXPORTERS.register("roads")
class RoadsExporter(Exporter):
    """A network with the maps of roads and junctions, of images of one size; smaller images are padded."""

    outputs = ("maps",)

    task: Roads
    size: tuple[int, int] | None = None
    """Height and width of the images of the exported network, after `set_size`."""

    def set_size(self, size: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Fix the size: by default the square of training."""
        side = self.task.preprocessing.size
        height, width = size or (side, side)
        self.size = (height, width)
        return self.size

    def transform(self) -> Callable[[Any], Tensor]:
        """The upper left of an image, padded with zeros at its right and bottom up to the size of the network."""
        return RoadEvalTransform(self.task.preprocessing, self.size)

    def adapt(self, network: nn.Module, size: tuple[int, ...]) -> nn.Module:
        """The network for images of any size that fit into its own."""
        return FixedPixels(network, (size[0], size[1]))

    def restore(self, network: nn.Module, outputs: Sequence[str], size: tuple[int, ...]) -> None:
        """Put an exported network into the place of the task's model, and thin its road map."""
        super().restore(network, outputs, size)
        self.task.options = replace(self.task.options, tracing="skeleton")
