"""Semantic segmentation: each pixel has a class; mean intersection over union."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchmetrics import Metric

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.images.run_lengths import run_lengths
from res2net.images.samples import UNLABELLED, Samples
from res2net.report import Column, Table
from res2net.report.images import as_image
from res2net.report.objects import draw_segments
from res2net.report.palette import class_colour
from res2net.report.tables import Cell
from res2net.task.base import Evaluation, register_task
from res2net.task.maps import pixel_cross_entropy
from res2net.tasks.pixels.base import PixelTask
from res2net.tasks.pixels.heads.network import PixelNetwork
from res2net.tasks.pixels.segment.metric import SegmentationScores
from res2net.tasks.pixels.segment.options import SegmentOptions
from res2net.weights import atomic_write

__all__ = ["Segment", "SegmentOptions"]


@register_task
class Segment(PixelTask):
    """One class for each pixel."""

    name = "segment"
    Options = SegmentOptions
    monitor = "mIoU"
    headline = ("mIoU", "pixel_accuracy")
    result_name = "classes"
    columns = (Column("class"), Column("share of the image", "%", digits=1))

    @classmethod
    def network(cls, backbone: Backbone, options: Any, facts: Mapping[str, Any]) -> PixelNetwork:
        """The backbone with a decoder; `InputError` where the weights of the classes are not as many as these."""
        classes = len(facts["class_names"])
        if options.class_weights and len(options.class_weights) != classes:
            raise InputError(
                f"There are {len(options.class_weights)} class weights and {classes} classes: give one for each."
            )
        if not 2 <= classes <= UNLABELLED:
            raise InputError(f"Segmentation needs 2 to {UNLABELLED} classes, and the data have {classes}.")
        return super().network(backbone, options, facts)

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """Cross entropy of the labelled pixels, of each map that is learnt from."""
        options = self.options
        wanted = targets["semantic"].as_subclass(Tensor)
        losses = [
            pixel_cross_entropy(
                logits, wanted, weights=options.class_weights, ohem=options.ohem, ohem_kept=options.ohem_kept
            )
            for logits in self.model.every(images)
        ]
        return {f"loss_{place}" if place else "loss": loss for place, loss in enumerate(losses)}

    def constant(self, samples: Samples) -> Tensor:
        """Logits of the class that most pixels of samples have."""
        counts = torch.zeros(UNLABELLED + 1, dtype=torch.int64)
        for index in range(len(samples)):
            classes = samples[index][1]["semantic"].as_subclass(Tensor).long()
            counts += torch.bincount(classes.flatten(), minlength=UNLABELLED + 1)
        return counts[: len(self.class_names)].float().log()

    def metric(self) -> Metric:
        """Mean IoU of regions and of boundaries, accuracy, and the IoU of each class."""
        return SegmentationScores(self.class_names, by_class=True)

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image the share of its labelled pixels that are `right`."""
        right = []
        for values, truth in zip(self.values(images, targets), targets["truth"], strict=True):
            found, true = values.argmax(0), truth["semantic"].as_subclass(Tensor).to(values.device)
            metric.update(found, true)
            labelled = true != UNLABELLED
            right.append((found == true)[labelled].float().mean())
        return {"right": torch.stack(right)}

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[Any]:
        """The map of classes of each image, uint8 `(height, width)`, in the size of its file."""
        assert targets is not None
        return [values.argmax(0).to(torch.uint8).cpu().numpy() for values in self.values(images, targets)]

    def described(self, result: Any) -> list[dict[str, Any]]:
        """The classes of an image: `label`, `share` of the pixels, and these as `segmentation`, COCO's run lengths."""
        return [
            {
                "label": self.class_names[label],
                "class": label,
                "share": share,
                "segmentation": run_lengths(result == label),
            }
            for label, share in shares(result)
        ]

    def save(self, result: Any, stem: Path) -> list[Path]:
        """A PNG whose pixels are the classes, with a palette, as PASCAL VOC has them."""
        image = Image.fromarray(result)
        colours = [class_colour(label) for label in range(256)]
        image.putpalette([value for colour in colours for value in colour])
        path = stem.with_name(f"{stem.name}-classes.png")
        atomic_write(path, lambda file: image.save(file, "PNG"))
        return [path]

    def tabulate(self, result: Any) -> Sequence[Sequence[Cell]]:
        """The classes of an image, the largest first."""
        return [(self.class_names[label], 100 * share) for label, share in shares(result)]

    def draw(self, image: Image.Image, result: Any) -> Image.Image:
        """The image divided into the regions of its classes."""
        present = [label for label, _ in shares(result)]
        segments = [(torch.from_numpy(result == label), label) for label in present]
        return draw_segments(image, segments, self.class_names)

    def draw_truth(self, image: Any, target: Mapping[str, Any]) -> Image.Image:
        """The image divided into its true regions; unlabelled pixels are clear."""
        return self.draw(as_image(image), target["semantic"].as_subclass(Tensor).to(torch.uint8).numpy())

    def numbers(self, evaluation: Evaluation) -> Table:
        """The IoU of each class, the worst first."""
        prefix = "IoU/"
        rows = [
            (name.removeprefix(prefix), value)
            for name, value in evaluation.metrics.items()
            if name.startswith(prefix) and value == value
        ]
        rows.sort(key=lambda row: row[1])
        return Table("Intersection over union by class", (Column("class"), Column("IoU", "%", digits=1)), rows)


def shares(classes: Any) -> list[tuple[int, float]]:
    """The labels in a map of classes and their shares of the pixels, the largest first; unlabelled pixels are none."""
    counts = np.bincount(classes.ravel(), minlength=UNLABELLED + 1)[:UNLABELLED]
    present = sorted(np.flatnonzero(counts).tolist(), key=lambda label: -counts[label])
    return [(label, float(counts[label] / classes.size)) for label in present]
