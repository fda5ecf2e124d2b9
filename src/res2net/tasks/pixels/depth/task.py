"""Depth: how far away each pixel is, in metres; absolute relative error, RMSE and the share within a factor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchmetrics import Metric

from res2net.errors import InputError
from res2net.images.samples import Samples
from res2net.images.sources import DataSource
from res2net.report import Column, Table
from res2net.report.images import as_image
from res2net.report.tables import Cell
from res2net.task.base import Evaluation, register_task
from res2net.tasks.pixels.base import PixelTask
from res2net.tasks.pixels.depth.drawing import depth_colours, draw_depth
from res2net.tasks.pixels.depth.losses import root_log_loss, scale_invariant_log_loss
from res2net.tasks.pixels.depth.metric import DepthErrors
from res2net.tasks.pixels.depth.options import DepthOptions
from res2net.weights import atomic_write

__all__ = ["Depth", "DepthOptions"]

MILLIMETRES = 1000
FARTHEST = 65535
"""In a PNG of 16 bits: 65.535 m."""
SAMPLED = 4096
"""Pixels of an image that the median distance of a data set is taken from."""
ABOUT = {
    "delta1": "within a factor of 1.25",
    "delta2": "within a factor of 1.25^2",
    "delta3": "within a factor of 1.25^3",
    "AbsRel": "absolute relative error",
    "RMSE": "root of the mean squared error",
    "RMSE_log": "the same of logarithms",
    "SILog": "scale-invariant error of logarithms",
}
UNITS = {"RMSE": "m", "RMSE_log": ""}


@register_task
class Depth(PixelTask):
    """The distance of each pixel; the network tells its natural logarithm."""

    name = "depth"
    Options = DepthOptions
    labels = ("depth",)
    monitor = "delta1"
    lower = ("AbsRel", "RMSE", "RMSE_log", "SILog")
    headline = ("delta1", "AbsRel", "RMSE")
    result_name = "depth"
    # Without `resize`: the network goes by how large things are in pixels of the training.
    adjustable = ("window", "overlap", "scales", "flip_test", "least", "most")
    columns = (Column("nearest", "m"), Column("median", "m"), Column("farthest", "m"))

    @classmethod
    def facts(cls, source: DataSource) -> dict[str, Any]:
        """A pixel has one value, whatever classes the data know."""
        return {"class_names": ["depth"]}

    def unit(self, metric: str) -> str:
        """Metres of the root mean squared error, no unit of that of logarithms."""
        return UNITS.get(metric, "%")

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """The scale-invariant error of logarithms, or its root, of each map that is learnt from."""
        true = targets["depth"].as_subclass(Tensor)
        if self.options.zoom_depth:
            true = true / true.new_tensor(self.zooms(targets))[:, None, None]
        loss_of = root_log_loss if self.options.root else scale_invariant_log_loss
        losses = [loss_of(logits[:, 0], true, self.options.scale_invariance) for logits in self.model.every(images)]
        return {f"loss_{place}" if place else "loss": loss for place, loss in enumerate(losses)}

    def constant(self, samples: Samples) -> Tensor:
        """The logarithm of the median distance."""
        known = []
        for index in range(len(samples)):
            depth = samples[index][1]["depth"].as_subclass(Tensor).flatten()
            depth = depth[depth > 0]
            known.append(depth[:: max(1, len(depth) // SAMPLED)])
        every = torch.cat(known)
        if not len(every):
            raise InputError("Not one distance of the data is known: give a data set with depth.")
        return every.median().log()[None]

    def activated(self, logits: Tensor) -> Tensor:
        """The logarithms themselves: where a pixel is seen several times, the geometric mean of distances counts."""
        return logits.float()

    def seen(self, images: Tensor) -> Tensor:
        """Logarithms `(N, 1, H, W)`; in an enlarged image things look nearer by the same factor."""
        options = self.options
        if not options.zoom_depth:
            return super().seen(images)
        # The mean over the sizes is that of logarithms, so their mean is all that has to be put right.
        correction = sum(math.log(scale) for scale in options.scales) / len(options.scales)
        return super().seen(images) + correction

    def zooms(self, targets: Mapping[str, Any]) -> list[float]:
        """By how much each image is larger than images usually are here: the size that `resize` gives, or its own.

        A whole image that gets the usual size shows what it did, no nearer and no farther.
        """
        usual = [self.options.resize / min(size) if self.options.resize else 1.0 for size in targets["original_size"]]
        return [float(zoom) / one for zoom, one in zip(targets["zoom"], usual, strict=True)]

    def distances(self, images: Tensor, targets: Mapping[str, Any]) -> list[Tensor]:
        """Metres `(height, width)` of each image, in the size of its file."""
        found = []
        for values, zoom in zip(self.values(images, targets), self.zooms(targets), strict=True):
            shift = math.log(zoom) if self.options.zoom_depth else 0.0
            logarithms = (values[0] + shift).clamp(math.log(self.options.least), math.log(self.options.most))
            found.append(logarithms.exp())
        return found

    def metric(self) -> Metric:
        """The errors of the field, between the nearest and the farthest distance that count."""
        return DepthErrors(self.options.least, self.options.most)

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image its `delta1`; NaN where nothing is known of it."""
        shares = []
        for found, truth in zip(self.distances(images, targets), targets["truth"], strict=True):
            metric.update(found, truth["depth"])
            shares.append(metric.errors(found, truth["depth"])[0])
        return {"delta1": torch.stack(shares)}

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[Any]:
        """The distances of each image, metres, float32 `(height, width)` in the size of its file."""
        assert targets is not None
        return [found.cpu().numpy() for found in self.distances(images, targets)]

    def described(self, result: Any) -> dict[str, float]:
        """The `nearest`, the `median` and the `farthest` distance, metres."""
        return dict(zip(("nearest", "median", "farthest"), summary(result), strict=True))

    def save(self, result: Any, stem: Path) -> list[Path]:
        """A PNG of 16 bits in millimetres (what is farther than 65.5 m is 65.535 m there), and one in colours."""
        depth, colours = (stem.with_name(f"{stem.name}-{kind}.png") for kind in ("depth", "colours"))
        numbers = (result * MILLIMETRES).round().clip(1, FARTHEST).astype(np.uint16)
        atomic_write(depth, lambda file: Image.fromarray(numbers).save(file, "PNG"))
        nearest, _, farthest = summary(result)
        atomic_write(colours, lambda file: depth_colours(result, nearest, farthest).save(file, "PNG"))
        return [depth, colours]

    def tabulate(self, result: Any) -> Sequence[Sequence[Cell]]:
        """The nearest, the median and the farthest distance."""
        return [summary(result)]

    def draw(self, image: Image.Image, result: Any) -> Image.Image:
        """The image, its distances as colours, and what these mean in metres."""
        return draw_depth(image, result)

    def draw_truth(self, image: Any, target: Mapping[str, Any]) -> Image.Image:
        """The same of the true distances; unknown ones are grey."""
        return self.draw(as_image(image), target["depth"].as_subclass(Tensor).numpy())

    def numbers(self, evaluation: Evaluation) -> Table:
        """What the errors are called."""
        units = {name: self.unit(name) for name in ABOUT}
        rows = [(ABOUT[name], evaluation.metrics.get(name), units[name]) for name in ABOUT]
        return Table("Errors of distances", (Column("error"), Column("value", digits=3), Column("unit")), rows)


def summary(depth: Any) -> tuple[float, float, float]:
    """The smallest, the middle and the largest of distances."""
    return float(depth.min()), float(np.median(depth)), float(depth.max())
