"""Depth: how far away each pixel is, in metres; absolute relative error, RMSE and the share within a factor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from res2net.errors import InputError
from res2net.export.exporter import EXPORTERS
from res2net.images.samples import Samples
from res2net.report import Column, Table
from res2net.task.base import TASKS, Evaluation, Scoring
from res2net.tasks.pixels.base import PixelTask
from res2net.tasks.pixels.depth.options import DepthOptions
from res2net.tasks.pixels.depth.result import DepthMap
from res2net.tasks.pixels.exporter import PixelExporter

if TYPE_CHECKING:
    from torchmetrics import Metric

SAMPLED = 4096
"""Pixels of each image from which the median distance of a data set is estimated."""
ABOUT = {
    "delta1": "within a factor of 1.25",
    "delta2": "within a factor of 1.25^2",
    "delta3": "within a factor of 1.25^3",
    "AbsRel": "absolute relative error",
    "RMSE": "root mean squared error",
    "RMSE_log": "root mean squared error of logarithms",
    "SILog": "scale-invariant error of logarithms",
}
MIN_ROOT = 1e-6
"""What is taken the root of at least: at 0 a root has no gradient."""


@TASKS.register("depth")
class Depth(PixelTask):
    """The distance of each pixel, of which the network predicts the natural logarithm."""

    name = "depth"
    Options = DepthOptions
    labels = ("depth",)
    value_name = "depth"
    scoring = Scoring(
        "delta1",
        headline=("delta1", "AbsRel", "RMSE"),
        lower_is_better=("AbsRel", "RMSE", "RMSE_log", "SILog"),
        units={"RMSE": "m", "RMSE_log": ""},
    )

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """The scale-invariant error of logarithms, or its root, for each map of the decoder."""
        true = targets["depth"].as_subclass(Tensor)
        if self.options.zoom_depth:
            true = true / true.new_tensor(self._zooms(targets))[:, None, None]
        loss_of = root_log_loss if self.options.root else scale_invariant_log_loss
        losses = [
            loss_of(logits[:, 0], true, self.options.scale_invariance) for logits in self.model.all_outputs(images)
        ]
        return {f"loss_{index}" if index else "loss": loss for index, loss in enumerate(losses)}

    def constant(self, samples: Samples) -> Tensor:
        """The logarithm of the median distance."""
        depths = [samples[index][1]["depth"].as_subclass(Tensor) for index in range(len(samples))]
        known = [depth[depth > 0] for depth in depths]
        every = torch.cat([depth[:: max(1, len(depth) // SAMPLED)] for depth in known])
        if not len(every):
            raise InputError("Not one distance of the data is known: give a data set with depth.")
        return every.median().log()[None]

    def activate(self, logits: Tensor) -> Tensor:
        """Keep logarithms: over several views of a pixel, the geometric mean of its distances is taken."""
        return logits.float()

    def averaged_values(self, images: Tensor) -> Tensor:
        """Logarithms `(N, 1, H, W)`; in an enlarged image things look nearer by the same factor."""
        values, scales = super().averaged_values(images), self.options.scales
        # The mean over the sizes is a mean of logarithms, so a single correction serves all of them.
        return values + sum(map(math.log, scales)) / len(scales) if self.options.zoom_depth else values

    def _zooms(self, targets: Mapping[str, Any]) -> list[float]:
        """The factor by which each image is larger than at its usual size, that of `resize` or of its file."""
        usual = [self.options.resize / min(size) if self.options.resize else 1.0 for size in targets["original_size"]]
        return [float(zoom) / one for zoom, one in zip(targets["zoom"], usual, strict=True)]

    def distances(self, images: Tensor, targets: Mapping[str, Any]) -> list[Tensor]:
        """Metres `(height, width)` of each image, in the size of its file."""
        found = []
        for values, zoom in zip(self.values(images, targets), self._zooms(targets), strict=True):
            shift = math.log(zoom) if self.options.zoom_depth else 0.0
            logarithms = (values[0] + shift).clamp(math.log(self.options.min_depth), math.log(self.options.max_depth))
            found.append(logarithms.exp())
        return found

    def metric(self) -> Metric:
        """The errors of the field, between the nearest and the farthest distance that count."""
        from res2net.tasks.pixels.depth.metric import DepthErrors

        return DepthErrors(self.options.min_depth, self.options.max_depth)

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image its `delta1`; NaN where none of its distances is known."""
        shares = []
        for found, truth in zip(self.distances(images, targets), targets["truth"], strict=True):
            metric.update(found, truth["depth"])
            shares.append(metric.errors(found, truth["depth"])[0])
        return {"delta1": torch.stack(shares)}

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[DepthMap]:
        """The distances of each image, in the size of its file."""
        assert targets is not None
        return [DepthMap(found.cpu().numpy()) for found in self.distances(images, targets)]

    def truth(self, image: Any, target: Mapping[str, Any]) -> DepthMap:
        """The true distances, 0 where they are unknown."""
        return DepthMap(target["depth"].as_subclass(Tensor).numpy())

    def score_table(self, evaluation: Evaluation) -> Table:
        """The errors by their full names."""
        rows = [(about, evaluation.metrics.get(name), self.scoring.unit(name)) for name, about in ABOUT.items()]
        return Table("Errors of distances", (Column("error"), Column("value", digits=3), Column("unit")), rows)


EXPORTERS.add("depth", PixelExporter)


def scale_invariant_log_loss(log_depth: Tensor, true: Tensor, weight: float = 0.5) -> Tensor:
    """The scale-invariant error in log space (Eigen et al., NeurIPS 2014, equation 4); the mean over images.

    With d the difference of logarithms, it is mean(d^2) - weight * mean(d)^2 over the known pixels of an image. Images
    without a known pixel do not count; it is 0 if there are no others.

    Args:
        log_depth: predicted natural logarithms of distances, `(N, H, W)`.
        true: distances, `(N, H, W)`, 0 if unknown.
        weight: 1 ignores a common factor of all distances of an image, 0 does not; 0.5 in the paper.
    """
    difference, known = _difference(log_depth, true)
    count = known.sum((1, 2))
    total, squares = difference.sum((1, 2)), difference.square().sum((1, 2))
    some = count.clamp(min=1)
    losses = squares / some - weight * (total / some).square()
    return torch.where(count > 0, losses, 0.0).sum() / (count > 0).sum().clamp(min=1)


def root_log_loss(log_depth: Tensor, true: Tensor, weight: float = 0.85) -> Tensor:
    """Ten times the root of the scale-invariant error over all known pixels of a batch (BTS, Lee et al., 2019).

    The arguments are those of `scale_invariant_log_loss`; the weight is 0.85 in the paper.
    """
    difference, known = _difference(log_depth, true)
    count = known.sum()
    some = count.clamp(min=1)
    squares = difference.square().sum() / some - weight * (difference.sum() / some).square()
    return torch.where(count > 0, 10.0 * squares.clamp(min=MIN_ROOT**2).sqrt(), 0.0)


def _difference(log_depth: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """The difference of logarithms, 0 for unknown pixels, and the mask of known pixels."""
    known = true > 0
    return (log_depth.float() - true.float().masked_fill(~known, 1.0).log()) * known, known
