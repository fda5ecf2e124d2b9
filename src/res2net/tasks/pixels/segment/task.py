"""Semantic segmentation: predict the class of each pixel; scored by mean intersection over union."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from res2net.errors import InputError
from res2net.export.exporter import EXPORTERS
from res2net.images.samples import UNLABELLED, Samples
from res2net.report import Column, Table
from res2net.task.base import TASKS, CreateBackbone, Evaluation, Scoring
from res2net.task.maps import pixel_cross_entropy
from res2net.tasks.pixels.base import PixelTask
from res2net.tasks.pixels.exporter import PixelExporter
from res2net.tasks.pixels.heads.network import PixelNetwork
from res2net.tasks.pixels.segment.options import SegmentOptions
from res2net.tasks.pixels.segment.result import ClassMap

if TYPE_CHECKING:
    from torchmetrics import Metric


@TASKS.register("segment")
class Segment(PixelTask):
    """Semantic segmentation: predict one class for each pixel."""

    name = "segment"
    Options = SegmentOptions
    scoring = Scoring("mIoU", headline=("mIoU", "pixel_accuracy"))

    @classmethod
    def network(cls, create: CreateBackbone, options: Any, facts: Mapping[str, Any]) -> PixelNetwork:
        """Construct the backbone and the decoder for 2 classes or more, each with its weight if there are any."""
        classes = len(facts["class_names"])
        if options.class_weights and len(options.class_weights) != classes:
            raise InputError(
                f"There are {len(options.class_weights)} class weights and {classes} classes: give one for each."
            )
        if not 2 <= classes <= UNLABELLED:
            raise InputError(f"Segmentation needs 2 to {UNLABELLED} classes, and the data have {classes}.")
        return super().network(create, options, facts)

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """Cross entropy of the labelled pixels, for each output of the decoder."""
        options = self.options
        classes = targets["semantic"].as_subclass(Tensor)
        losses = [
            pixel_cross_entropy(
                logits, classes, weights=options.class_weights, ohem=options.ohem, ohem_kept=options.ohem_kept
            )
            for logits in self.model.all_outputs(images)
        ]
        return {f"loss_{index}" if index else "loss": loss for index, loss in enumerate(losses)}

    def constant(self, samples: Samples) -> Tensor:
        """The logarithm of the number of pixels of each class, so that the most frequent class is predicted."""
        counts = torch.zeros(UNLABELLED + 1, dtype=torch.int64)
        for index in range(len(samples)):
            classes = samples[index][1]["semantic"].as_subclass(Tensor).long()
            counts += torch.bincount(classes.flatten(), minlength=UNLABELLED + 1)
        return counts[: len(self.class_names)].float().log()

    def metric(self) -> Metric:
        """Mean IoU of regions and of boundaries, accuracy, and the IoU of each class."""
        from res2net.tasks.pixels.segment.metric import SegmentationScores

        return SegmentationScores(self.class_names)

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """Update the metric, and return as `right` the share of correctly classified labelled pixels of each image."""
        right = []
        for values, truth in zip(self.values(images, targets), targets["truth"], strict=True):
            predicted, true = values.argmax(0), truth["semantic"].as_subclass(Tensor).to(values.device)
            metric.update(predicted, true)
            labelled = true != UNLABELLED
            right.append((predicted == true)[labelled].float().mean())
        return {"right": torch.stack(right)}

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[ClassMap]:
        """The class map of each image, at the resolution of its file."""
        assert targets is not None
        return [
            ClassMap(values.argmax(0).to(torch.uint8).cpu().numpy(), self.class_names)
            for values in self.values(images, targets)
        ]

    def truth(self, image: Any, target: Mapping[str, Any]) -> ClassMap:
        """The true class of each pixel."""
        return ClassMap(target["semantic"].as_subclass(Tensor).to(torch.uint8).numpy(), self.class_names)

    def score_table(self, evaluation: Evaluation) -> Table:
        """The IoU of each class that occurs, lowest first."""
        prefix = "IoU/"
        rows = [
            (name.removeprefix(prefix), value)
            for name, value in evaluation.metrics.items()
            if name.startswith(prefix) and value == value
        ]
        rows.sort(key=lambda row: row[1])
        return Table("Intersection over union by class", (Column("class"), Column("IoU", "%", digits=1)), rows)


EXPORTERS.add("segment", PixelExporter)
