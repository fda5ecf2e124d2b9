"""Salient object detection: how much each pixel belongs to what stands out; F-measure, MAE and others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchmetrics import Metric

from res2net.images.run_lengths import run_lengths
from res2net.images.samples import Samples
from res2net.images.sources import DataSource
from res2net.report import Column, Table
from res2net.report.tables import Cell
from res2net.task.base import Evaluation, register_task
from res2net.tasks.pixels.base import PixelTask
from res2net.tasks.pixels.heads.binary_losses import edge_cross_entropy, iou_loss, mask_cross_entropy
from res2net.tasks.pixels.saliency.cutouts import cut_out, in_a_row, on_checkerboard
from res2net.tasks.pixels.saliency.metric import SaliencyMeasures, levels_of
from res2net.tasks.pixels.saliency.options import SaliencyOptions
from res2net.weights import atomic_write

__all__ = ["Saliency", "SaliencyOptions"]

HALF = 128
"""Grey levels from which on a pixel counts as salient, where yes or no is asked."""
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


@register_task
class Saliency(PixelTask):
    """One map for each image: how much its pixels belong to salient objects."""

    name = "saliency"
    Options = SaliencyOptions
    labels = ("saliency",)
    cuts_out = True
    monitor = "max_F"
    headline = ("max_F", "MAE", "S")
    result_name = "salient"
    columns = (Column("salient", "%", digits=1), Column("box", "pixels"))

    @classmethod
    def facts(cls, source: DataSource) -> dict[str, Any]:
        """What is salient is one class, whatever classes the data know."""
        return {"class_names": ["salient"]}

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """Cross entropy of each map that the decoder learns from, and of the answer the intersection over union."""
        options = self.options
        wanted = targets["saliency"].as_subclass(Tensor)
        maps = self.model.every(images)
        learns = self.model.decoder.learns or ("mask",) * len(maps)
        summed = options.reduction == "sum"
        losses = {}
        for place, (logits, what) in enumerate(zip(maps, learns, strict=True)):
            if what == "mask":
                losses[f"loss_{place}"] = mask_cross_entropy(logits, wanted, summed=summed)
            elif what == "edge" and options.edge_weight:
                losses[f"loss_{place}"] = options.edge_weight * edge_cross_entropy(logits, wanted, summed=summed)
        if options.iou_weight:
            losses["loss_iou"] = options.iou_weight * iou_loss(maps[0], wanted)
        return losses

    def constant(self, samples: Samples) -> Tensor:
        """The logit of the share of salient pixels."""
        shares = [samples[index][1]["saliency"].as_subclass(Tensor).double().mean() for index in range(len(samples))]
        return torch.stack(shares).mean().logit(1e-6).float()[None]

    def activated(self, logits: Tensor) -> Tensor:
        """Logits `(N, 1, H, W)` to probabilities."""
        return logits.float().sigmoid()

    def metric(self) -> Metric:
        """The measures of the field, as PySODMetrics has them."""
        return SaliencyMeasures()

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image the `error`, the mean absolute difference of map and mask."""
        errors = []
        for values, truth, index in zip(
            self.values(images, targets), targets["truth"], targets["index"].tolist(), strict=True
        ):
            true = truth["saliency"].as_subclass(Tensor).bool()
            metric.update([{"saliency": values[0]}], [{"saliency": true, "image_id": index}])
            errors.append((values[0].cpu() - true.to("cpu", values.dtype)).abs().mean())
        return {"error": torch.stack(errors)}

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[Any]:
        """How salient the pixels of each image are, uint8 `(height, width)` in the size of its file, 255 the most."""
        assert targets is not None
        return [levels_of(values[0]).cpu().numpy() for values in self.values(images, targets)]

    def described(self, result: Any) -> dict[str, Any]:
        """The `share` of salient pixels, the `box` around them (left, top, right, bottom; None without any), and these.

        They are the pixels of at least half the greatest value, as `segmentation` in COCO's run lengths.
        """
        return {"share": share(result), "box": box(result), "segmentation": run_lengths(result >= HALF)}

    def save(self, result: Any, stem: Path) -> list[Path]:
        """The map as a grey PNG of 8 bits."""
        path = stem.with_name(f"{stem.name}-mask.png")
        atomic_write(path, lambda file: Image.fromarray(result).save(file, "PNG"))
        return [path]

    def cut_outs(self, image: Image.Image, result: Any) -> Mapping[str, Image.Image]:
        """The image, transparent where nothing is salient."""
        return {"cutout": cut_out(image, result)}

    def tabulate(self, result: Any) -> Sequence[Sequence[Cell]]:
        """The share of salient pixels and the box around them."""
        edges = box(result)
        return [(100 * share(result), " ".join(map(str, edges)) if edges else "none")]

    def draw(self, image: Image.Image, result: Any) -> Image.Image:
        """The image, the map, and what is salient cut out, before a checkerboard."""
        cut = on_checkerboard(cut_out(image, result))
        return in_a_row([image.convert("RGB"), Image.fromarray(result).convert("RGB"), cut])

    def draw_beside(self, image: Any, result: Any, target: Mapping[str, Any]) -> Image.Image:
        """The map alone."""
        return Image.fromarray(result)

    def draw_truth(self, image: Any, target: Mapping[str, Any]) -> Image.Image:
        """The true mask."""
        return Image.fromarray(255 * target["saliency"].as_subclass(Tensor).to(torch.uint8).numpy())

    def numbers(self, evaluation: Evaluation) -> Table:
        """What the measures are called."""
        rows = [(ABOUT[name], evaluation.metrics.get(name)) for name in ABOUT]
        return Table("Measures of salient objects", (Column("measure"), Column("value", "%", digits=1)), rows)


def share(levels: Any) -> float:
    """The share of salient pixels."""
    return float((levels >= HALF).mean())


def box(levels: Any) -> list[int] | None:
    """Left, top, right and bottom edge of the smallest box around the salient pixels; None without any."""
    rows, columns = (np.flatnonzero((levels >= HALF).any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
