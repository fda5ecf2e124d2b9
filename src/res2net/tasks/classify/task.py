"""Image classification: a backbone with its classifier, cross entropy, top-1 and top-5 accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Self

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.images.sources import DataSource
from res2net.images.transforms import TrainAugment, Transform, batch_mix, eval_transform, train_transform
from res2net.report import Column, Report, Table, captioned, confusion_matrix, lines_with_errors
from res2net.report.images import as_image
from res2net.task.base import Evaluation, Task, register_task
from res2net.tasks.classify.options import ClassifyOptions
from res2net.weights import Checkpoint, Preprocessing
from res2net.zoo import create_model, preprocessing_of

__all__ = [
    "SIZES",
    "Classify",
    "ClassifyOptions",
    "accuracy_by_size",
    "count_by_size",
    "default_class_names",
    "size_figure",
]

TOP = 5
"""Classes in a prediction."""
HARDEST = 24
"""Images in a report, those with the largest loss."""
SIZES = (0.06, 0.1, 0.16, 0.26, 0.42, 0.9)
"""Borders between groups of object sizes, as shares of the image's side."""


@register_task
class Classify(Task):
    """One label for an image.

    Args:
        model: gives logits `(N, classes)`.
        class_names: what the logits stand for.
        preprocessing: how images are prepared.
        augment: the random changes of training images.
        options: of the training.
    """

    name = "classify"
    Options = ClassifyOptions
    monitor = "top1"
    outputs = ("logits",)
    result_name = "classes"
    columns = (Column("class"), Column("probability", "%", digits=1))

    model: Backbone

    def __init__(
        self,
        model: Backbone,
        class_names: Sequence[str],
        preprocessing: Preprocessing,
        augment: TrainAugment | None = None,
        options: ClassifyOptions | None = None,
    ) -> None:
        super().__init__()
        if model.num_classes != len(class_names):
            raise InputError(
                f"The model has {model.num_classes} classes and the data {len(class_names)}: "
                "choose weights for these classes, or add --adapt-classifier to train a new classifier."
            )
        if len(class_names) < 2:
            raise InputError(
                f"Classification needs two classes, and there is {', '.join(class_names)} alone: add some."
            )
        self.model = model
        self.class_names = tuple(class_names)
        self.preprocessing = preprocessing
        self.options = options or ClassifyOptions()
        self.augment = self.options.augment(augment or TrainAugment())
        self.mix = batch_mix(self.options.mixup, self.options.cutmix, len(class_names))

    @classmethod
    def build(
        cls,
        create: Callable[..., Backbone],
        source: DataSource,
        preprocessing: Preprocessing,
        options: ClassifyOptions,
    ) -> Self:
        """Classification of a source's classes."""
        names = source.class_names
        return cls(create(num_classes=len(names)), names, preprocessing, source.augment, options)

    @classmethod
    def restore(
        cls,
        model: Any,
        class_names: Sequence[str],
        preprocessing: Preprocessing,
        said: Mapping[str, Any] | None = None,
    ) -> Self:
        """Classification with a trained model."""
        return cls(model, class_names, preprocessing)

    @classmethod
    def from_checkpoint(cls, name: str, checkpoint: Checkpoint) -> Self:
        """Classification with trained or published weights."""
        model = create_model(name, checkpoint).eval()
        class_names = checkpoint.metadata.get("class_names") or default_class_names(model.num_classes)
        return cls(model, class_names, preprocessing_of(checkpoint) or Preprocessing())

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)` to logits `(N, classes)`."""
        return self.model(images)

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """Cross entropy, of mixed images if so chosen."""
        labels = targets["label"]
        if self.mix is not None:
            images, labels = self.mix(images, labels)
        return {"loss": F.cross_entropy(self(images), labels, label_smoothing=self.options.label_smoothing)}

    def metric(self) -> MetricCollection:
        """`top1`, and `top5` where there are more than five classes."""
        classes = len(self.class_names)
        ranks = [rank for rank in (1, TOP) if rank < classes]
        return MetricCollection(
            {f"top{rank}": MulticlassAccuracy(classes, top_k=rank, average="micro") for rank in ranks}
        )

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image its `loss` (cross entropy), `label`, `predicted` class and that one's `probability`."""
        logits = self(images).float()
        labels = targets["label"]
        metric.update(logits, labels)
        probability, predicted = logits.softmax(1).max(1)
        loss = F.cross_entropy(logits, labels, reduction="none")
        records = {"loss": loss, "label": labels, "predicted": predicted, "probability": probability}
        return records | ({"size": targets["size"]} if "size" in targets else {})

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[list[dict[str, Any]]]:
        """The five likeliest classes of each image, `{"class", "probability"}`, the likeliest first."""
        probabilities, classes = self(images).float().softmax(1).topk(min(TOP, len(self.class_names)))
        return [
            [
                {"class": self.class_names[index], "probability": probability}
                for index, probability in zip(indices, values, strict=True)
            ]
            for indices, values in zip(classes.tolist(), probabilities.tolist(), strict=True)
        ]

    def transform(self, train: bool) -> Transform:
        """Random crop and changes in training, resize and centre crop in evaluation."""
        return train_transform(self.preprocessing, self.augment) if train else eval_transform(self.preprocessing)

    def fit(self, size: tuple[int, int] | None = None) -> tuple[int, int]:
        """Take squares of another size; `InputError` where it is no square."""
        height, width = size or (self.preprocessing.size, self.preprocessing.size)
        if height != width:
            raise InputError(f"Classification looks at squares, not at {height} x {width}: give one number as --size.")
        self.preprocessing = replace(self.preprocessing, size=height)
        return height, width

    def tabulate(self, result: list[dict[str, Any]]) -> list[tuple[str, float]]:
        """The likeliest classes and their probabilities."""
        return [(entry["class"], 100 * entry["probability"]) for entry in result]

    def draw(self, image: Image.Image, result: list[dict[str, Any]]) -> Image.Image:
        """The image with its likeliest classes below it."""
        lines = [f"{entry['class']}  {100 * entry['probability']:.1f} %" for entry in result[:3]]
        return captioned(image, "\n".join(lines))

    def image_score(self, evaluation: Evaluation) -> tuple[str, float]:
        """The probability of the true class."""
        return "true class", 100 * math.exp(-evaluation.metrics["loss"])

    def draw_truth(self, image: Any, target: Mapping[str, Any]) -> Image.Image:
        """The image with its class below it."""
        return captioned(as_image(image), self.class_names[target["label"]])

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """Accuracy by class and by object size, the confusion matrix, and the hardest images."""
        records = evaluation.records
        label, predicted = records["label"], records["predicted"]
        classes = len(self.class_names)
        matrix = torch.bincount(label * classes + predicted, minlength=classes**2).view(classes, classes)
        if "size" in records:
            figure = size_figure({self.model.variant_name: [evaluation]})
            report.add_figure(figure, "Accuracy by the size of the object.")
        report.add_section("Confusions")
        report.add_figure(confusion_matrix(matrix, self.class_names), "True classes and what they were taken for.")
        report.add_section("Classes")
        rows = [
            (name, int(count), 100 * int(right) / int(count))
            for name, count, right in zip(self.class_names, matrix.sum(1), matrix.diagonal(), strict=True)
            if count
        ]
        rows.sort(key=lambda row: row[2])
        columns = (Column("class"), Column("images"), Column("top-1 accuracy", "%", digits=1))
        report.add_table(Table("The least accurate first", columns, rows[:100]))
        report.add_section("Hardest images")
        hardest = records["loss"].topk(min(HARDEST, len(label))).indices.tolist()
        images = [as_image(source.val[int(records["index"][place])][0]) for place in hardest]
        captions = [
            f"{self.class_names[label[place]]}\ntaken for {self.class_names[predicted[place]]} "
            f"({100 * float(records['probability'][place]):.0f} %)"
            for place in hardest
        ]
        report.add_images(images, captions, "Images with the largest loss: the true class, and what was predicted.")


def default_class_names(classes: int) -> list[str]:
    """The names of ImageNet's classes for a classifier of 1000, else numbers."""
    if classes == 1000:
        from torchvision.models import ResNet50_Weights

        return list(ResNet50_Weights.IMAGENET1K_V2.meta["categories"])
    return [f"class {index}" for index in range(classes)]


def accuracy_by_size(evaluation: Evaluation) -> list[float]:
    """Top-1 accuracy in percent for each group of `SIZES`; NaN for a group without images."""
    records = evaluation.records
    right = (records["label"] == records["predicted"]).float()
    return [100 * float(right[group].mean()) for group in _groups(evaluation)]


def count_by_size(evaluation: Evaluation) -> list[int]:
    """Images in each group of `SIZES`."""
    return [int(group.sum()) for group in _groups(evaluation)]


def size_figure(evaluations: Mapping[str, Sequence[Evaluation]]) -> Figure:
    """Top-1 accuracy against object size of each model, by name, with error bars over its evaluations."""
    return lines_with_errors(
        {name: [accuracy_by_size(one) for one in several] for name, several in evaluations.items()},
        [100 * edge for edge in SIZES],
        "size of the object, % of the image's side",
        "top-1 accuracy, %",
        counts=count_by_size(next(iter(evaluations.values()))[0]),
    )


def _groups(evaluation: Evaluation) -> list[Tensor]:
    size = evaluation.records["size"]
    # The largest size is within the last group.
    return [(size >= low) & ((size < high) | (high == SIZES[-1])) for low, high in pairwise(SIZES)]
