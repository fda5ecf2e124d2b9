"""Salient object detection: how much each pixel belongs to what stands out; F-measure, MAE and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from res2net.export.exporter import EXPORTERS
from res2net.images.samples import Samples
from res2net.report import Column, Table
from res2net.task.base import TASKS, Evaluation, Scoring
from res2net.tasks.pixels.base import PixelTask
from res2net.tasks.pixels.exporter import PixelExporter
from res2net.tasks.pixels.heads.binary_losses import edge_cross_entropy, iou_loss, mask_cross_entropy
from res2net.tasks.pixels.saliency.options import SaliencyOptions
from res2net.tasks.pixels.saliency.result import Matte, levels_of

if TYPE_CHECKING:
    from torchmetrics import Metric

ABOUT = {
    "max_F": "F-measure at the best threshold",
    "mean_F": "F-measure, mean over thresholds",
    "adaptive_F": "F-measure at twice the mean of a map",
    "weighted_F": "weighted F-measure",
    "max_F_of_means": "F-measure of mean precision and recall at the best threshold",
    "MAE": "mean absolute error (lower is better)",
    "S": "structure measure",
    "max_E": "E-measure at the best threshold",
    "mean_E": "E-measure, mean over thresholds",
    "adaptive_E": "E-measure at twice the mean of a map",
}


@TASKS.register("saliency")
class Saliency(PixelTask):
    """One map for each image: how much its pixels belong to salient objects."""

    name = "saliency"
    Options = SaliencyOptions
    labels = ("saliency",)
    value_name = "salient"
    scoring = Scoring("max_F", headline=("max_F", "MAE", "S"))

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """Cross entropy of each supervised map, and the IoU loss of the prediction."""
        options = self.options
        mask = targets["saliency"].as_subclass(Tensor)
        maps = self.model.all_outputs(images)
        learns = self.model.decoder.learns or ("mask",) * len(maps)
        summed = options.reduction == "sum"
        losses = {}
        for index, (logits, what) in enumerate(zip(maps, learns, strict=True)):
            if what == "mask":
                losses[f"loss_{index}"] = mask_cross_entropy(logits, mask, summed=summed)
            elif what == "edge" and options.edge_weight:
                losses[f"loss_{index}"] = options.edge_weight * edge_cross_entropy(logits, mask, summed=summed)
        if options.iou_weight:
            losses["loss_iou"] = options.iou_weight * iou_loss(maps[0], mask)
        return losses

    def constant(self, samples: Samples) -> Tensor:
        """The logit of the share of salient pixels."""
        shares = [samples[index][1]["saliency"].as_subclass(Tensor).double().mean() for index in range(len(samples))]
        return torch.stack(shares).mean().logit(1e-6).float()[None]

    def activate(self, logits: Tensor) -> Tensor:
        """Turn logits `(N, 1, H, W)` into probabilities."""
        return logits.float().sigmoid()

    def metric(self) -> Metric:
        """The measures of the field, as PySODMetrics has them."""
        from res2net.tasks.pixels.saliency.metric import SaliencyMeasures

        return SaliencyMeasures()

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image its `error`, the mean absolute difference between the prediction and the mask."""
        errors = []
        truths, indices = targets["truth"], targets["index"].tolist()
        for values, truth, index in zip(self.values(images, targets), truths, indices, strict=True):
            mask = truth["saliency"].as_subclass(Tensor).bool()
            metric.update([{"saliency": values[0]}], [{"saliency": mask, "image_id": index}])
            errors.append((values[0].cpu() - mask.to("cpu", values.dtype)).abs().mean())
        return {"error": torch.stack(errors)}

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[Matte]:
        """How salient the pixels of each image are, in the size of its file."""
        assert targets is not None
        threshold = self.options.mask_threshold
        return [Matte(levels_of(values[0]).cpu().numpy(), threshold) for values in self.values(images, targets)]

    def truth(self, image: Any, target: Mapping[str, Any]) -> Matte:
        """The true mask, 0 or 255."""
        return Matte(255 * target["saliency"].as_subclass(Tensor).to(torch.uint8).numpy())

    def score_table(self, evaluation: Evaluation) -> Table:
        """The measures by their full names."""
        rows = [(ABOUT[name], evaluation.metrics.get(name)) for name in ABOUT]
        return Table("Measures of salient objects", (Column("measure"), Column("value", "%", digits=1)), rows)


EXPORTERS.add("saliency", PixelExporter)
