"""Key points top-down: each object is cut out by its box, and a network that sees nothing else finds its points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import box_convert

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.images.joint_geometry import image_size
from res2net.images.joint_transforms import color_changes
from res2net.images.samples import Transformed, collate, true_targets
from res2net.images.sources import DataSource
from res2net.images.transforms import Normalise, Transform
from res2net.tasks.objects.base import keypoints_of
from res2net.tasks.objects.data.boxes import BoxedSamples, ObjectBox
from res2net.tasks.objects.keypoints.crops import CropAugment, TopDown, crop_image, crop_matrix
from res2net.tasks.objects.keypoints.heatmaps import HeatmapCodec, flip_test
from res2net.tasks.objects.keypoints.oks import PersonOksAP
from res2net.tasks.objects.keypoints.parts import KeypointTask, check_points
from res2net.tasks.objects.keypoints.poses import oks_nms
from res2net.tasks.objects.keypoints.simple_baseline import STRIDE, SimpleBaseline, heatmap_loss
from res2net.weights import Preprocessing

__all__ = ["TopDownTask"]

SEEN = 0.2
"""Key points with a lower value in their heat map do not count in the score of an object (the published code)."""
UNNAMED = "object"
"""The class of an object of which only the key points were looked for, where there are several classes."""


class TopDownTask(KeypointTask):
    """SimpleBaseline in boxes that are known: in training those of the data set, in evaluation by default, too.

    In evaluation (`look_into`) and in prediction they may be those of a detector. In prediction an image that comes
    without boxes is taken as the box of one object that fills it.

    A sample is an object, not an image; batches of the loaders hold crops. The score of an object is the mean over
    its key points of the largest values of their heat maps, of those above `SEEN`, times the score of its box where a
    detector gave one. Of objects of an image whose points are nearly the same only the surest stays (`oks_nms`). Both
    as in the published code.
    """

    boxes = "ground truth"
    takes_boxes = True
    scored = "in ground truth boxes"
    sample_name = "objects"
    outputs = ("heatmaps",)
    sure = 0.0
    sure_point = SEEN
    boxless: tuple[dict[str, Any], ...] = ()
    """What is true of the images of the evaluation in which a detector found nothing."""

    model: SimpleBaseline  # type: ignore[assignment] # it is no detector, as it sees one object at a time

    @classmethod
    def network(cls, backbone: Backbone, options: Any, facts: Mapping[str, Any]) -> Any:
        """SimpleBaseline; `InputError` where the options of its heat maps do not fit."""
        model = SimpleBaseline(backbone, len(check_points(keypoints_of(facts))), channels=options.channels)
        codec_of(options)  # what does not fit is told now
        return model

    @classmethod
    def fixed(cls, network: Any, size: tuple[int, ...], facts: Mapping[str, Any]) -> Any:
        """The network itself: what follows the heat maps is not a part of it."""
        return network

    @property
    def codec(self) -> HeatmapCodec:
        """Between points and heat maps."""
        return codec_of(self.options)

    def forward(self, images: Tensor) -> Any:
        """Heat maps `(N, k, h, w)` of crops."""
        return self.model(images)

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """That of the heat maps."""
        wanted, weights = self.codec.encode(targets["keypoints"], targets["visibility"])
        return {"loss_heatmap": heatmap_loss(self.model(images).float(), wanted, weights)}

    def results(self, images: Tensor, targets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The object in each crop, in pixels of its image."""
        both = self.options.flip_test
        heatmaps = flip_test(self.model, images, self.points.flips) if both else self.model(images)
        matrix, boxes = (_stacked(targets[name]) for name in ("matrix", "box"))
        points, scores = self.codec.decode(heatmaps.float().cpu(), matrix)
        areas = self._seen_area(matrix)
        seen = scores > SEEN
        means = (scores * seen).sum(1) / seen.sum(1).clamp(min=1)
        if "box_score" in targets:
            means = means * targets["box_score"].to(means)
        unnamed = len(self.class_names) if len(self.class_names) > 1 else 0
        named = "truth" in targets or "box_score" in targets
        labels = targets["label"] if named else [unnamed] * len(images)
        return [
            {
                "boxes": boxes[one : one + 1],
                "labels": torch.tensor([int(labels[one])]),
                "scores": means[one : one + 1],
                "keypoints": points[one : one + 1],
                "keypoint_scores": scores[one : one + 1],
                "crop_area": areas[one : one + 1],
            }
            for one in range(len(images))
        ]

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """The `loss` of each crop, and its `score`."""
        results = self.results(images, targets)
        people = zip(targets["truth"], targets["image_id"].tolist(), targets["index"].tolist(), strict=True)
        metric.update(results, [one | {"image_id": image, "person": person} for one, image, person in people])
        return {"score": torch.cat([one["scores"] for one in results])}

    def metric(self) -> PersonOksAP:
        """COCO's numbers of key points, of objects that come one by one."""
        return PersonOksAP(self.points.sigmas, self.boxes, self.class_names, self.boxless)

    def look_into(self, source: DataSource, boxes: Sequence[Sequence[ObjectBox]]) -> Transformed:
        """The boxes of a detector in the validation images, each in a crop; see `Task.look_into`."""
        self.check_source(source)
        boxless = []
        for place, (target, found) in enumerate(zip(true_targets(source.val), boxes, strict=True)):
            image_id = int(target.get("image_id", place))
            check_inside(target, found, image_id)
            if not found:
                boxless.append({**target, "image_id": image_id})
        self.boxless = tuple(boxless)
        self.boxes, self.scored, self.sample_name = "detected", KeypointTask.scored, "crops"
        return Transformed(BoxedSamples(source.val, boxes), self.transform(False), source.bad_images)

    def united(self, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The objects of an image without those that are nearly the same as a surer one."""
        if not objects:
            return []
        points = torch.tensor([one["keypoints"] for one in objects]).unflatten(1, (-1, 3))[..., :2]
        scores = torch.tensor([one["score"] for one in objects])
        boxes = box_convert(torch.tensor([one["box"] for one in objects]), "xywh", "xyxy")
        areas = self._seen_area(torch.stack([crop_matrix(box, tuple(self.options.crop)) for box in boxes]))
        labels = torch.tensor([self.result_names.index(one["label"]) for one in objects])
        stay = oks_nms(points, scores, areas, self.points.sigmas, labels)
        return [one for one, stays in zip(objects, stay.tolist(), strict=True) if stays]

    def _seen_area(self, matrix: Tensor) -> Tensor:
        """Square pixels of an image in crops, by their matrices `(N, 2, 3)`: the area of an object in `oks_nms`."""
        height, width = self.options.crop
        return torch.linalg.det(matrix[..., :2]).abs() * height * width

    def transform(self, train: bool) -> Transform:
        """From a crop, or a whole image, to what the network sees; crops change at random in `datasets`."""
        options, colors = self.options, None
        if train:
            channels = len(self.preprocessing.mean)
            colors = color_changes(channels, options.color_jitter, options.photometric_distort)
        return CropTransform(self.preprocessing, tuple(options.crop), colors)

    def fit(self, size: tuple[int, int] | None = None) -> tuple[int, int]:
        """The size of the crops; `InputError` for any other."""
        height, width = self.options.crop
        if size not in (None, (height, width)):
            raise InputError(
                f"The network sees crops of {height} x {width} pixels, as it was trained: leave out --size."
            )
        return height, width

    def fitted(self) -> Transform:
        """A whole image as a crop."""
        prepare = self.transform(False)
        return lambda image: prepare(image, {})[0]

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """The objects of the training and of the validation that have key points, each in a crop."""
        self.check_source(source)
        options = self.options
        augment = CropAugment(options.crop_scale, options.rotation, options.rotate, options.flip)
        sets = []
        for samples, train in ((source.train, True), (source.val, False)):
            crops = TopDown(
                samples, size=tuple(options.crop), train=train, flip_pairs=self.points.flips, augment=augment
            )
            sets.append(Transformed(crops, self.transform(train), source.bad_images))
        return sets[0], sets[1]

    @property
    def result_names(self) -> tuple[str, ...]:
        """The classes, and what an object is called whose class nobody looked for."""
        return (*self.class_names, UNNAMED)

    def found_in(self, image: Any, target: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The objects of an image of a data set, by their boxes; without any, one that fills the image."""
        if "boxes" not in target:
            return super().found_in(image, target)
        try:
            people: Any = TopDown(_Single(image, dict(target)), size=tuple(self.options.crop))
        except InputError:  # nobody there has a key point
            return []
        transform = self.transform(False)
        images, noted = collate([transform(*people[place]) for place in range(len(people))])
        with torch.inference_mode():
            found = self.eval().predict(images.to(self.device), noted)
        return self.united([one for result in found for one in result])

    @property
    def shown(self) -> str:
        """A line on the images of a report."""
        return f"Validation images with the key points that were found {self.scored}."


def codec_of(options: Any) -> HeatmapCodec:
    """Between points and heat maps of such options."""
    return HeatmapCodec(tuple(options.crop), STRIDE, options.sigma, refine=options.refine)


def check_inside(target: Mapping[str, Any], boxes: Sequence[ObjectBox], image_id: int) -> None:
    """`InputError` where a box lies beside its image, whose size the boxes that are true of it tell."""
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
    """From a crop of `TopDown`, or from an image and a box, to what the network sees.

    Args:
        preprocessing: for the normalisation.
        size: height and width of a crop.
        colors: change of the colours, before normalisation.
    """

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


class _Single:
    """One sample as a data set."""

    def __init__(self, image: Any, target: dict[str, Any]) -> None:
        self.sample = image, target

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[Any, dict[str, Any]]:
        return self.sample


def _stacked(values: Any) -> Tensor:
    """A tensor on the CPU of one, or of a list of them."""
    return (values if isinstance(values, Tensor) else torch.stack(list(values))).cpu()
