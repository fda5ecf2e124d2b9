"""Objects found by a detector that sees whole images: what it learns from, what it finds, what it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from res2net.images.joint_transforms import (
    ObjectAugment,
    ObjectTransform,
    object_eval_transform,
    object_train_transform,
)
from res2net.images.keypoints import Keypoints
from res2net.images.run_lengths import encoded_masks, to_original
from res2net.images.samples import OBJECT_ENTRIES
from res2net.images.sources import DataSource
from res2net.images.transforms import Transform, WithTruth
from res2net.weights import Preprocessing

__all__ = ["Way", "WholeImages"]


class Owner(Protocol):
    """What `WholeImages` needs of its task."""

    model: Any
    preprocessing: Preprocessing
    options: Any
    class_names: tuple[str, ...]
    keypoints: Keypoints | None
    learned: ClassVar[Sequence[str]]


class Way(Protocol):
    """How a task finds objects: in whole images, or in a crop of each object whose box is known."""

    least_score: float
    """Score from which an object is drawn."""
    least_point_score: float
    """Score above which a key point is drawn."""

    @property
    def names(self) -> tuple[str, ...]:
        """What objects in results may be called, by label."""

    @property
    def about_images(self) -> str:
        """A line about the images of a report."""

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """The parts of the training loss by name."""

    def detections(self, images: Tensor, targets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What is in each sample, in pixels of the image in its file."""

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """Update a metric with a batch, and return values of each sample."""

    def transform(self, train: bool) -> Transform:
        """The transform from a sample of `datasets`, before any, to what the network sees."""

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """The training and the validation samples as the network sees them."""


class WholeImages:
    """A detector finds the objects of an image all at once.

    The `size` of the task's preprocessing is the shorter side of images.

    Args:
        task: whose model is a `Detector`.
    """

    least_score = 0.5
    least_point_score = 0.0

    input_size: tuple[int, int] | None = None
    """Height and width of the input of an exported detector, into which every image has to fit."""

    def __init__(self, task: Owner) -> None:
        self.task = task

    @property
    def names(self) -> tuple[str, ...]:
        """The classes."""
        return self.task.class_names

    @property
    def about_images(self) -> str:
        """A line about the images of a report."""
        return f"Validation images with what was found with {self.least_score:.0%} or more."

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """The losses of the detector; it does not learn crowds."""
        return self.task.model.losses(images, targets["size_now"], self.detector_targets(targets, images.device))

    def detector_targets(self, targets: Mapping[str, Any], device: torch.device) -> list[dict[str, Tensor]]:
        """What the detector learns from, for each image; see `Detector.losses`."""
        found = []
        for index in range(len(targets["labels"])):
            one = {name: targets[name][index].as_subclass(Tensor) for name in self.task.learned}
            if "visibility" in one:
                seen = one.pop("visibility")
                one["keypoints"] = torch.cat([one["keypoints"], seen[..., None].to(one["keypoints"])], -1)
            if "crowd" in targets:
                kept = ~targets["crowd"][index].bool()
                one = {name: value[kept] if name in OBJECT_ENTRIES else value for name, value in one.items()}
            found.append({name: value.to(device) for name, value in one.items()})
        return found

    def detections(self, images: Tensor, targets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What is in each image, in pixels of the image in its file; masks are COCO's run lengths."""
        found = self.task.model.detect(images, targets["size_now"])
        results = []
        for one, now, original in zip(found, targets["size_now"], targets["original_size"], strict=True):
            kept = {name: value.cpu() for name, value in one.items()}
            result: dict[str, Any] = to_original(kept, now, original)
            if "masks" in result:
                result["masks"] = list(encoded_masks(result["masks"], result["boxes"], original))
            results.append(result)
        return results

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image the number of true `objects`, and of those `found` with a score of a half or more."""
        results = self.detections(images, targets)
        image_ids = targets.get("image_id", targets["index"]).tolist()
        truth = [one | {"image_id": image_id} for one, image_id in zip(targets["truth"], image_ids, strict=True)]
        metric.update(results, truth)
        found = [int((one["scores"] >= self.least_score).sum()) for one in results]
        objects = [len(one["labels"]) for one in targets["truth"]]
        return {"objects": torch.tensor(objects), "found": torch.tensor(found)}

    def transform(self, train: bool) -> Transform:
        """Resizing, and in training random changes, of images and of what is known of their objects."""
        if train:
            return self.train_transform()
        task = self.task
        return WithTruth(object_eval_transform(task.preprocessing, task.options.max_size, self.input_size))

    def train_transform(self) -> ObjectTransform:
        """The transform of training, in halves between which objects can be pasted."""
        task, options = self.task, self.task.options
        augment = ObjectAugment(
            min_sizes=options.min_sizes or (task.preprocessing.size,),
            max_size=options.max_size,
            flip=options.flip,
            jitter=options.jitter,
            jitter_size=task.preprocessing.size,
            color_jitter=options.color_jitter,
            photometric_distort=options.photometric_distort,
        )
        return object_train_transform(task.preprocessing, augment, task.keypoints.flips if task.keypoints else ())

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """The training and the validation images."""
        return source.transformed(self.transform(True), self.transform(False))
