"""Keypoints of objects, top-down (SimpleBaseline) or with the boxes around them (Keypoint R-CNN)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from res2net.errors import InputError
from res2net.export.exporter import EXPORTERS, Exporter
from res2net.images.keypoints import Keypoints as KeypointNames
from res2net.images.sources import DataSource
from res2net.images.transforms import Transform
from res2net.task.base import TASKS, CreateBackbone, Scoring, Task, frozen
from res2net.task.inputs import IMAGES
from res2net.task.result import Result
from res2net.tasks.objects.base import ObjectTask, keypoints_of
from res2net.tasks.objects.exporter import DetectorExporter
from res2net.tasks.objects.keypoints.options import KeypointsOptions
from res2net.tasks.objects.keypoints.simple_baseline import SimpleBaseline
from res2net.tasks.objects.keypoints.topdown import SEEN, UNNAMED, TopDown, codec_of
from res2net.weights import Preprocessing

if TYPE_CHECKING:
    from torchmetrics import Metric


@TASKS.register("keypoints")
class Keypoints(ObjectTask):
    """Keypoints of objects; COCO's average precision by object keypoint similarity.

    A detector finds them in whole images; SimpleBaseline finds them in boxes that are known, which is in `top_down`.
    """

    name = "keypoints"
    Options = KeypointsOptions
    labels = ("boxes", "labels", "keypoints", "visibility", "crowd", "area")
    learned = ("boxes", "labels", "keypoints", "visibility")
    scoring = Scoring("keypoint_AP", ("keypoint_AP", "keypoint_AP50"))

    options: KeypointsOptions

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, options: Any, facts: Mapping[str, Any]) -> None:
        super().__init__(model, preprocessing, options, facts)
        self.top_down: Any = None
        """The `TopDown` where the network sees one object at a time."""
        self.score_in("detected", "images")
        if options.detector == "simple_baseline":
            self.top_down, self.inputs = TopDown(self), IMAGES
            self.min_point_score = SEEN
            self.result_names = (*self.class_names, UNNAMED)
            self.score_in(self.top_down.boxes, "objects")

    @classmethod
    def network(cls, create: CreateBackbone, options: Any, facts: Mapping[str, Any]) -> nn.Module:
        """SimpleBaseline or the detector; `InputError` without keypoints."""
        points = check_points(keypoints_of(facts))
        if options.detector == "simple_baseline":
            backbone = frozen(create(num_classes=0), options)
            codec_of(options)  # report what does not fit now
            return SimpleBaseline(backbone, len(points), channels=options.channels)
        return super().network(create, options, facts)

    @property
    def min_score(self) -> float:
        """Score from which an object is drawn; top-down all are, since their boxes were given."""
        return self.least_score if self.top_down else super().min_score

    @property
    def points(self) -> KeypointNames:
        """What the keypoints are."""
        assert self.keypoints is not None
        return self.keypoints

    def score_in(self, boxes: str, samples: str) -> None:
        """State whose boxes the keypoints are scored in, one of `BOXES`, and what the samples are."""
        self.scoring = dataclasses.replace(type(self).scoring, note=f"in {boxes} boxes", samples=samples)

    @property
    def _way(self) -> Any:
        """How objects are found: top-down, or as by any detector."""
        return self.top_down or super()

    @property
    def about_images(self) -> str:
        """A line about the images of a report."""
        return self._way.about_images

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """The losses of the network."""
        return self._way.losses(images, targets)

    def detections(self, images: Tensor, targets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What is in each sample, in pixels of the image in its file."""
        return self._way.detections(images, targets)

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """Update a metric with what was found, and return values of each sample."""
        return self._way.validate(images, targets, metric)

    def transform(self, train: bool) -> Transform:
        """The transform to what the network sees: a whole image, or a crop of an object."""
        return self._way.transform(train)

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """The training and the validation samples as the network sees them."""
        self.check_source(source)
        return self._way.datasets(source)

    def metric(self) -> Metric:
        """COCO's numbers of keypoints, top-down of objects that come one by one."""
        from res2net.tasks.objects.keypoints.oks import OksAP, PersonOksAP

        if way := self.top_down:
            return PersonOksAP(self.points.sigmas, way.boxes, self.class_names, way.boxless)
        return OksAP(self.points.sigmas, "detected", self.class_names)

    def predict_sample(self, image: Any, target: Mapping[str, Any]) -> Result:
        """The objects of an image of a data set; top-down by their boxes, and without any one that fills the image."""
        if self.top_down and "boxes" in target:
            return self.top_down.predict_sample(image, target)
        return super().predict_sample(image, target)

    def check_source(self, source: DataSource) -> None:
        """Raise `InputError` unless the source has the keypoints of the training."""
        found = check_points(source.keypoints).names
        if found != self.points.names:
            raise InputError(
                f"The network knows the keypoints {', '.join(self.points.names)}, and {source.name} has others "
                f"({', '.join(found)}): give data with the points of the training."
            )


class HeatmapExporter(Exporter):
    """Heat maps of crops of the size of the training; what finds the points in them is not exported."""

    outputs = ("heatmaps",)
    required_facts = ("keypoints",)

    task: Keypoints

    def set_size(self, size: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """The size of the crops; `InputError` for any other."""
        height, width = self.task.options.crop
        if size is not None and tuple(size) != (height, width):
            raise InputError(
                f"The network sees crops of {height} x {width} pixels, as it was trained: leave out --size."
            )
        return height, width

    def transform(self) -> Callable[[Any], Tensor]:
        """A whole image as a crop."""
        prepare = self.task.transform(False)
        return lambda image: prepare(image, {})[0]


class KeypointDetectorExporter(DetectorExporter):
    """A detector with the keypoints of each object and their scores."""

    outputs = ("boxes", "scores", "labels", "keypoints", "keypoint_scores")
    required_facts = ("keypoints",)


@EXPORTERS.register("keypoints")
def keypoints_exporter(task: Task) -> Exporter:
    """Make what exports the network of a task: a detector, or heat maps of crops."""
    assert isinstance(task, Keypoints)
    return HeatmapExporter(task) if task.top_down else KeypointDetectorExporter(task)


def check_points(keypoints: KeypointNames | None) -> KeypointNames:
    """The keypoints; `InputError` where there are none."""
    if not keypoints:
        raise InputError("The data have no keypoints: give data whose objects have some, such as COCO keypoints.")
    return keypoints
