"""Image classification: a backbone with its classifier, cross entropy, top-1 and top-5 accuracy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.export.exporter import EXPORTERS, Exporter
from res2net.images.sources import DataSource, open_source
from res2net.images.splits import DataSettings, subset_of
from res2net.images.transforms import (
    TrainAugment,
    Transform,
    batch_mix,
    eval_transform,
    ten_crop_transform,
    train_transform,
)
from res2net.task.base import TASKS, CreateBackbone, Evaluation, Scoring, Task, frozen
from res2net.task.inputs import Inputs
from res2net.tasks.classify.distill import Teacher, soft_losses, with_teacher
from res2net.tasks.classify.labels import assumed_class_names, balanced_indices, class_weights, labels_of
from res2net.tasks.classify.multi_label import (
    LabelScoring,
    check_options,
    is_label_table,
    label_loss,
    label_metric,
    read_label_table,
)
from res2net.tasks.classify.options import ClassifyOptions
from res2net.tasks.classify.result import ClassScores
from res2net.weights import Checkpoint, Preprocessing
from res2net.zoo import create_model, preprocessing_of

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

    from res2net.report import Report

VIEWS = 10
"""Views of an image in ten-crop: four corners and the centre, and their mirror images."""
TOP = 5
"""Classes in a prediction."""


class _Scoring(Scoring):
    def score_of_one(self, evaluation: Evaluation) -> tuple[str, float]:
        """The probability of the true class: more telling than right or wrong."""
        return "true class", 100 * math.exp(-evaluation.metrics["loss"])

    def chance(self, source: DataSource) -> float:
        """The share of the most frequent class, which always answering it scores."""
        targets = getattr(source.val, "targets", range(len(source.class_names)))
        return 100 * max(Counter(targets).values()) / len(targets)


@TASKS.register("classify")
class Classify(Task):
    """One label for an image, or any number of labels where the data have several (`multi_label` in the facts).

    Args:
        model: gives logits `(N, classes)`.
        preprocessing: how images are prepared.
        options: of the training.
        facts: with `class_names`, what the logits stand for.
        augment: the usual random changes of training images, which the options may change.

    Raises:
        InputError: the model does not have as many classes as there are names, or there are fewer than two.
    """

    name = "classify"
    Options = ClassifyOptions
    inputs = Inputs(batch_size=32, resized=True)
    fact_names = ("class_names", "class_names_assumed", "multi_label", "teacher")
    scoring: Scoring = _Scoring("top1")

    model: Backbone

    def __init__(
        self,
        model: Backbone,
        preprocessing: Preprocessing,
        options: ClassifyOptions,
        facts: Mapping[str, Any],
        augment: TrainAugment | None = None,
    ) -> None:
        super().__init__(model, preprocessing, options, facts)
        count = len(self.class_names)
        if model.num_classes != count:
            raise InputError(
                f"The model has {model.num_classes} classes and the data {count}: "
                "choose weights for these classes, or add --adapt-classifier to train a new classifier."
            )
        if count < 2:
            raise InputError(
                f"Classification needs two classes, and there is only {', '.join(self.class_names)}: add some."
            )
        if list(self.class_names) == assumed_class_names(count):
            self.facts["class_names_assumed"] = True
        if len(preprocessing.mean) == 4:
            self.inputs = replace(self.inputs, alpha=True)
        self.augment = options.augment(augment or TrainAugment())
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", None, persistent=False)
        self.views = "none"
        self.multi_label = bool(facts.get("multi_label"))
        if self.multi_label:
            check_options(options)
            self.scoring = LabelScoring("mAP")
        # Images without a label have a class of their own until the loss leaves it out.
        self.mix = batch_mix(options.mixup, options.cutmix, count + bool(options.unlabelled))
        self.teacher: Teacher | None = None

    @classmethod
    def open(cls, source: str | Path, settings: DataSettings | None = None, options: Any | None = None) -> DataSource:
        """Open a folder of images with a folder for each class, a CIFAR folder, a table, or a named source.

        With a teacher among the options, the training images without labels are there, too.
        """
        opened = open_source(source, settings, reader=read_label_table if is_label_table(source) else None)
        several = getattr(opened.val, "multi_label", False)
        if options is None or options.teacher is None or several or (settings and settings.evaluate):
            return opened
        return with_teacher(opened, options)

    @classmethod
    def describe(cls, source: DataSource) -> dict[str, Any]:
        """The names of the classes, whether images have several labels, and the digest of the teacher."""
        facts = super().describe(source) | ({"multi_label": True} if getattr(source.val, "multi_label", False) else {})
        return facts | ({"teacher": source.teacher.digest} if source.teacher is not None else {})

    @classmethod
    def network(cls, create: CreateBackbone, options: Any, facts: Mapping[str, Any]) -> Backbone:
        """The backbone with its classifier."""
        return frozen(create(num_classes=len(facts["class_names"])), options)

    @classmethod
    def build(cls, create: CreateBackbone, source: DataSource, preprocessing: Preprocessing, options: Any) -> Self:
        """Make the task for a source's classes, with the random changes that are usual for its images."""
        facts = cls.describe(source)
        task = cls(cls.network(create, options, facts), preprocessing, options, facts, source.augment)
        if options.class_weights is not None:
            task.class_weights = class_weights(options.class_weights, labels_of(source.train), task.class_names)
        if source.teacher is not None:
            source.teacher.check_channels(preprocessing)
            task.teacher = source.teacher
        return task

    @classmethod
    def restore(cls, model: str, checkpoint: Checkpoint | None) -> Self:
        """Make the task of trained, published or fresh weights; where nobody named the classes, names are assumed."""
        network = create_model(model, checkpoint)
        metadata = checkpoint.metadata if checkpoint else {}
        names = metadata.get("class_names") or assumed_class_names(network.num_classes)
        preprocessing = (preprocessing_of(checkpoint) if checkpoint else None) or Preprocessing()
        facts = {"class_names": names} | ({"multi_label": True} if metadata.get("multi_label") else {})
        return cls(network, preprocessing, ClassifyOptions(), facts).eval()

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)` to logits `(N, classes)`."""
        return self.model(images)

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """Cross entropy, of mixed images if so chosen; of several labels the binary one; of a teacher a divergence."""
        labels = targets["label"]
        if self.multi_label:
            return {"loss": label_loss(self(images), labels).mean()}
        if self.mix is not None:
            images, labels = self.mix(images, labels % (len(self.class_names) + 1))
        if self.teacher is not None:
            soft = self.teacher(images, self.preprocessing)
            return soft_losses(self(images), soft, labels, self.options, self.class_weights)
        smoothing = self.options.label_smoothing
        return {"loss": F.cross_entropy(self(images), labels, self.class_weights, label_smoothing=smoothing)}

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """The training and the validation samples as the network sees them; in training balanced if so chosen."""
        if self.multi_label != getattr(source.val, "multi_label", False):
            several = "any number of labels" if self.multi_label else "one label for each image"
            raise InputError(f"The weights find {several}, and {source.name} has others: give data as in the training.")
        if self.options.balance:
            indices = balanced_indices(labels_of(source.train), len(self.class_names))
            source = replace(source, train=subset_of(source.train, indices))
        return super().datasets(source)

    def use_views(self, views: str, size: int | None = None) -> None:
        """See other views of images in evaluation and prediction, or another size.

        Args:
            views: "none" for the centre, "flip" for its mirror image too, or "ten-crop".
            size: side of the views, pixels; by default as now.

        Raises:
            InputError: the network was exported for one size.
        """
        if size not in (None, self.preprocessing.size) and not isinstance(self.model, Backbone):
            raise InputError(
                f"The network was exported for images of {self.preprocessing.size} pixels: leave out --size, or export "
                f"it again with --size {size}."
            )
        self.views, self.preprocessing = views, replace(self.preprocessing, size=size or self.preprocessing.size)
        notes = [f"at {size} pixels"] if size else []
        self.scoring = replace(self.scoring, note=", ".join(notes + ([views] if views != "none" else [])))

    def averaged(self, images: Tensor) -> Tensor:
        """The logits `(N, classes)` of the mean probabilities over the views of images."""
        views = {"none": [images], "flip": [images, images.flip(-1)]}.get(self.views) or images.chunk(VIEWS, 1)
        if len(views) == 1:
            return self(images).float()
        mean = torch.stack([self.probabilities(self(view).float()) for view in views]).mean(0)
        return mean.logit(1e-7) if self.multi_label else mean.clamp(min=torch.finfo(mean.dtype).tiny).log()

    def probabilities(self, logits: Tensor) -> Tensor:
        """The probability of each class, `(N, classes)`; those of several labels are independent."""
        return logits.sigmoid() if self.multi_label else logits.softmax(1)

    def metric(self) -> MetricCollection:
        """`top1`, and `top5` where there are more than five classes; of several labels `mAP` and `F1`."""
        from torchmetrics import MetricCollection
        from torchmetrics.classification import MulticlassAccuracy

        classes = len(self.class_names)
        if self.multi_label:
            return label_metric(classes)
        ranks = [rank for rank in (1, TOP) if rank < classes]
        return MetricCollection(
            {f"top{rank}": MulticlassAccuracy(classes, top_k=rank, average="micro") for rank in ranks}
        )

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image its `loss` (cross entropy), `label`, `predicted` class and the `probability` of that one."""
        logits = self.averaged(images)
        labels = targets["label"]
        if self.multi_label:
            metric.update(logits.sigmoid(), labels.int())
            return {"loss": label_loss(logits, labels)}
        metric.update(logits, labels)
        probability, predicted = logits.softmax(1).max(1)
        loss = F.cross_entropy(logits, labels, reduction="none")
        records = {"loss": loss, "label": labels, "predicted": predicted, "probability": probability}
        return records | ({"size": targets["size"]} if "size" in targets else {})

    def transform(self, train: bool) -> Transform:
        """Random crop and changes in training, resize and centre crop in evaluation."""
        if train:
            return train_transform(self.preprocessing, self.augment)
        ten_crop = self.views == "ten-crop"
        return ten_crop_transform(self.preprocessing) if ten_crop else eval_transform(self.preprocessing)

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[ClassScores]:
        """The five likeliest classes of each image."""
        probabilities, classes = self.probabilities(self.averaged(images)).topk(min(TOP, len(self.class_names)))
        return [
            ClassScores([self.class_names[index] for index in indices], values)
            for indices, values in zip(classes.tolist(), probabilities.tolist(), strict=True)
        ]

    def truth(self, image: Any, target: Mapping[str, Any]) -> ClassScores:
        """The true class, or all labels of the image."""
        if self.multi_label:
            return ClassScores([self.class_names[index] for index in target["label"].nonzero().flatten().tolist()], [])
        return ClassScores([self.class_names[target["label"]]], [])

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """Accuracy by class and by object size, the confusion matrix, and the hardest images."""
        from res2net.tasks.classify.report import add_hardest, write_report  # plots take time to import

        if self.multi_label:
            labels, indices = labels_of(source.val), evaluation.records["index"].tolist()

            def caption(position: int) -> str:
                return ", ".join(self.class_names[one] for one in labels[indices[position]]) or "no label"

            add_hardest(report, evaluation, source, caption)
            return
        write_report(report, evaluation, source, self.class_names, self.model.variant_name)


@EXPORTERS.register("classify")
class ClassifyExporter(Exporter):
    """A classifier with logits of square images."""

    may_lack_options = True

    @property
    def channels(self) -> int:
        """One logit for each class."""
        return len(self.task.class_names)

    def set_size(self, size: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Take squares of another size; `InputError` for other rectangles."""
        task = self.task
        height, width, *deeper = size or (task.preprocessing.size, task.preprocessing.size)
        if deeper:
            raise InputError("Classification takes images, not volumes: give height and width.")
        if height != width:
            raise InputError(f"Classification takes squares, not {height} x {width}: give one number as --size.")
        task.preprocessing = replace(task.preprocessing, size=height)
        return height, width

    def transform(self) -> Callable[[Any], Tensor]:
        """Resize and centre crop."""
        return self.task.transform(False)
