"""Keypoints top-down: each object is cut out by its box, and a network that sees nothing else finds its points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from res2net.errors import InputError
from res2net.images.joint_geometry import image_size
from res2net.images.joint_transforms import color_changes
from res2net.images.samples import Transformed, collate, true_targets
from res2net.images.sources import DataSource
from res2net.images.transforms import Normalise, Transform
from res2net.task.base import device_of
from res2net.tasks.objects.data.boxes import BoxedSamples, ObjectBox
from res2net.tasks.objects.keypoints.crops import CropAugment, PersonCrops, crop_image, crop_matrix
from res2net.tasks.objects.keypoints.heatmaps import HeatmapCodec, flip_test
from res2net.tasks.objects.keypoints.poses import oks_nms
from res2net.tasks.objects.keypoints.simple_baseline import STRIDE, heatmap_loss
from res2net.tasks.objects.result import Objects
from res2net.weights import Preprocessing

SEEN = 0.2
"""Keypoints with a lower value in their heat map do not count in the score of an object (the published code)."""
UNNAMED = "object"
"""The class of an object of which only the keypoints were looked for, where there are several classes."""


class TopDown:
    """SimpleBaseline in boxes that are known: in training those of the data set, in evaluation by default, too.

    In evaluation (`use_boxes`) and in prediction they may be those of a detector. In prediction an image that comes
    without boxes is taken as the box of one object that fills it.

    A sample is an object, not an image; batches of the loaders hold crops. The score of an object is the mean over
    its keypoints of the largest values of their heat maps, of those above `SEEN`, times the score of its box where a
    detector gave one. Of objects of an image whose points are nearly the same only the one with the highest score
    stays (`oks_nms`). Both are as in the published code.

    Args:
        task: whose model makes heat maps `(N, k, h, w)` of crops.
    """

    def __init__(self, task: Any) -> None:
        self.task = task
        self.boxes = "ground truth"
        """Whose boxes the evaluation looks into, one of `res2net.tasks.objects.keypoints.oks.BOXES`."""
        self.boxless: tuple[dict[str, Any], ...] = ()
        """The targets of the images of the evaluation in which a detector found nothing."""

    @property
    def about_images(self) -> str:
        """A line about the images of a report."""
        return f"Validation images with the keypoints that were found in {self.boxes} boxes."

    @property
    def codec(self) -> HeatmapCodec:
        """Between points and heat maps."""
        return codec_of(self.task.options)

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """The loss of the heat maps."""
        wanted, weights = self.codec.encode(targets["keypoints"], targets["visibility"])
        return {"loss_heatmap": heatmap_loss(self.task.model(images).float(), wanted, weights)}

    def detections(self, images: Tensor, targets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The object in each crop, in pixels of its image."""
        model = self.task.model
        heatmaps = flip_test(model, images, self.task.points.flips) if self.task.options.flip_test else model(images)
        matrix, boxes = (torch.stack(list(targets[name])).cpu() for name in ("matrix", "box"))
        points, scores = self.codec.decode(heatmaps.float().cpu(), matrix)
        seen = scores > SEEN
        means = (scores * seen).sum(1) / seen.sum(1).clamp(min=1)
        if "box_score" in targets:
            means = means * targets["box_score"].to(means)
        classes = len(self.task.class_names)
        labels = torch.full((len(images),), classes if classes > 1 else 0)
        if "truth" in targets or "box_score" in targets:
            labels = torch.as_tensor(targets["label"]).cpu()
        found = {"boxes": boxes, "labels": labels, "scores": means, "keypoints": points, "keypoint_scores": scores}
        found["crop_area"] = self._seen_area(matrix)
        return [{name: values[one : one + 1] for name, values in found.items()} for one in range(len(images))]

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """Update a metric with the object of each crop, and return its `score`."""
        results = self.detections(images, targets)
        people = zip(targets["truth"], targets["image_id"].tolist(), targets["index"].tolist(), strict=True)
        metric.update(results, [one | {"image_id": image, "person": person} for one, image, person in people])
        return {"score": torch.cat([one["scores"] for one in results])}

    def use_boxes(self, source: DataSource, boxes: Sequence[Sequence[ObjectBox]]) -> Transformed:
        """Evaluate in the boxes that a detector found in each validation image; return the crops, a sample per box."""
        self.task.check_source(source)
        boxless = []
        for index, (target, found) in enumerate(zip(true_targets(source.val), boxes, strict=True)):
            image_id = int(target.get("image_id", index))
            check_inside(target, found, image_id)
            if not found:
                boxless.append({**target, "image_id": image_id})
        self.boxless = tuple(boxless)
        self.boxes = "detected"
        self.task.score_in(self.boxes, "crops")
        return Transformed(BoxedSamples(source.val, boxes), self.transform(False), source.bad_images)

    def merge(self, results: Sequence[Objects]) -> Objects:
        """The objects of all boxes of an image, without those that are nearly the same as one with a higher score."""
        if not results:
            count = len(self.task.points)
            shapes = {"boxes": (4,), "scores": (), "keypoints": (count, 2), "keypoint_scores": (count,)}
            empty = {name: torch.zeros(0, *shape) for name, shape in shapes.items()}
            return self.task.objects(empty | {"labels": torch.zeros(0, dtype=torch.int64)})
        parts = ("boxes", "labels", "scores", "points")
        joined: dict[str, Any] = {name: torch.cat([getattr(one, name) for one in results]) for name in parts}
        areas = self._seen_area(torch.stack([crop_matrix(box, self.size) for box in joined["boxes"]]))
        points, scores, labels = joined["points"][..., :2], joined["scores"], joined["labels"]
        stay = oks_nms(points, scores, areas, self.task.points.sigmas, labels)
        return replace(results[0], **{name: part[stay] for name, part in joined.items()})

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a crop."""
        height, width = self.task.options.crop
        return height, width

    def _seen_area(self, matrix: Tensor) -> Tensor:
        """Square pixels of an image in crops, by their matrices `(N, 2, 3)`: the area of an object in `oks_nms`."""
        height, width = self.size
        return torch.linalg.det(matrix[..., :2]).abs() * height * width

    def transform(self, train: bool) -> Transform:
        """From a crop, or a whole image, to what the network sees; crops change at random in `datasets`."""
        preprocessing, options = self.task.preprocessing, self.task.options
        colors = None
        if train:
            colors = color_changes(len(preprocessing.mean), options.color_jitter, options.photometric_distort)
        return CropTransform(preprocessing, self.size, colors)

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """The objects of the training and of the validation that have keypoints, each in a crop."""
        options, flips = self.task.options, self.task.points.flips
        augment = CropAugment(options.crop_scale, options.rotation, options.rotate, options.flip)
        train, val = (
            Transformed(
                PersonCrops(samples, size=self.size, train=train, flip_pairs=flips, augment=augment),
                self.transform(train),
                source.bad_images,
            )
            for samples, train in ((source.train, True), (source.val, False))
        )
        return train, val

    def predict_sample(self, image: Any, target: Mapping[str, Any]) -> Objects:
        """The objects of an image of a data set, by their boxes."""
        try:
            people: Any = PersonCrops([(image, dict(target))], size=self.size)
        except InputError:  # nobody there has a keypoint
            return self.merge([])
        self.task.eval()
        transform = self.transform(False)
        images, noted = collate([transform(*people[index]) for index in range(len(people))])
        with torch.inference_mode():
            found = self.detections(images.to(device_of(self.task)), noted)
        return self.merge([self.task.objects(one) for one in found])


def codec_of(options: Any) -> HeatmapCodec:
    """Between points and heat maps of such options; `InputError` where they do not fit each other."""
    return HeatmapCodec(tuple(options.crop), STRIDE, options.sigma, refine=options.refine)


def check_inside(target: Mapping[str, Any], boxes: Sequence[ObjectBox], image_id: int) -> None:
    """Raise `InputError` where a box lies beside its image, whose size the boxes of its target state."""
    size = getattr(target["boxes"], "canvas_size", None)
    if size is None:
        return
    height, width = size
    for found in boxes:
        left, top, right, bottom = found.box
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            raise InputError(
                f"A box of image {image_id} lies outside of its {width} x {height} pixels (left {left:g}, top "
                f"{top:g}): give boxes of the same images."
            )


class CropTransform:
    """From a crop of `PersonCrops`, or from an image and a box, to what the network sees: new colours, normalised."""

    def __init__(self, preprocessing: Preprocessing, size: tuple[int, int], colors: Transform | None = None) -> None:
        self.size = size
        self.normalise = Normalise(preprocessing)
        self.colors = colors

    def __call__(self, image: Any, target: dict[str, Any]) -> Any:
        """The normalised crop; a target without one gets `matrix`, `original_size` and `box`, by default all of it."""
        if "matrix" not in target:
            height, width = image_size(image)
            box = target.get("box", torch.tensor([0.0, 0.0, width, height]))
            matrix = crop_matrix(box, self.size)
            image = crop_image(image, matrix, self.size)
            target = target | {"matrix": matrix, "box": box, "original_size": (height, width)}
        return self.normalise(self.colors(image) if self.colors else image), target
