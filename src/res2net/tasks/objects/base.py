"""What the tasks that find objects have in common: data, a detector, results in the image's pixels, a report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from res2net.images.joint_transforms import (
    ObjectAugment,
    ObjectTransform,
    object_eval_transform,
    object_train_transform,
)
from res2net.images.keypoints import Keypoints
from res2net.images.run_lengths import encoded_masks, to_original
from res2net.images.samples import OBJECT_ENTRIES
from res2net.images.sources import DataSource, open_source
from res2net.images.splits import DataSettings
from res2net.images.transforms import Transform, WithTruth
from res2net.options import from_dict
from res2net.report import Column, Table
from res2net.report.images import as_image
from res2net.task.base import CreateBackbone, Evaluation, Task, frozen
from res2net.task.inputs import Inputs
from res2net.task.result import Result
from res2net.tasks.objects.formats.open import read_objects
from res2net.tasks.objects.heads.detector import build_detector
from res2net.tasks.objects.result import Objects
from res2net.weights import Preprocessing

if TYPE_CHECKING:
    from res2net.report import Report

SHOWN = 12
"""Images in a report."""


class ObjectTask(Task):
    """A network that finds objects, with its data: a task states its labels, its options and its metric.

    Here, `model` is a `Detector`, which finds the objects of an image all at once. The `size` of the preprocessing is
    the shorter side of images.
    """

    inputs = Inputs(resized=True)
    labels: ClassVar[tuple[str, ...]] = ("boxes", "labels", "crowd", "area")
    """The entries of a target; see `ObjectImages`."""
    learned: ClassVar[Sequence[str]] = ("boxes", "labels")
    """The entries of a target that a detector learns from."""
    fact_names = ("class_names", "keypoints", "stuff_names", "category_ids", "stuff_category_ids")

    least_score = 0.0
    """Score below which an object is left out of results."""
    min_point_score = 0.0
    """Score above which a keypoint is drawn."""
    input_size: tuple[int, int] | None = None
    """Height and width of the input of an exported detector, into which every image has to fit."""

    model: Any
    options: Any

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, options: Any, facts: Mapping[str, Any]) -> None:
        super().__init__(model, preprocessing, options, facts)
        self.keypoints = keypoints_of(facts)
        """The keypoints of the objects, where the network finds them."""
        self.stuff_names = tuple(facts.get("stuff_names", ()))
        """The classes of what has no instances, where the network finds that."""
        self.category_ids = tuple(facts.get("category_ids", ()))
        """The numbers of the classes in the data set of the training, where it has any, as COCO's."""
        self.stuff_category_ids = tuple(facts.get("stuff_category_ids", ()))
        """The numbers of the classes of stuff there."""
        self.result_names = self.class_names
        """What objects in results may be called, by label."""

    @property
    def min_score(self) -> float:
        """Score from which an object is drawn, listed in tables, and counted as found."""
        return float(self.options.min_score)

    @classmethod
    def open(cls, source: str | Path, settings: DataSettings | None = None, options: Any | None = None) -> DataSource:
        """Open a data set in one of `OBJECT_FORMATS`, or a named source."""
        return open_source(source, settings, labels=cls.labels, reader=read_objects)

    @classmethod
    def describe(cls, source: DataSource) -> dict[str, Any]:
        """The classes, keypoints, classes of stuff, and the data set's numbers of the classes."""
        return {
            "class_names": list(source.class_names),
            "keypoints": None if source.keypoints is None else dataclasses.asdict(source.keypoints),
            "stuff_names": list(source.stuff_names),
            "category_ids": list(source.category_ids),
            "stuff_category_ids": list(source.stuff_category_ids),
        }

    @classmethod
    def network(cls, create: CreateBackbone, options: Any, facts: Mapping[str, Any]) -> nn.Module:
        """The detector on a backbone."""
        points = keypoints_of(facts)
        head = dataclasses.replace(options.head, num_keypoints=len(points) if points else 0)
        backbone = frozen(create(num_classes=0), options)
        return build_detector(options.detector, backbone, len(facts["class_names"]), head)

    def forward(self, images: Tensor) -> Any:
        """What the network returns for images that fill the batch, in fixed shapes."""
        return self.model(images)

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """The losses of the detector; it does not learn crowds."""
        return self.model.losses(images, targets["size_now"], self.detector_targets(targets, images.device))

    def detector_targets(self, targets: Mapping[str, Any], device: torch.device) -> list[dict[str, Tensor]]:
        """What the detector learns from, for each image; see `Detector.losses`."""
        found = []
        for index in range(len(targets["labels"])):
            one = {name: targets[name][index].as_subclass(Tensor) for name in self.learned}
            if "visibility" in one:
                seen = one.pop("visibility")
                one["keypoints"] = torch.cat([one["keypoints"], seen[..., None].to(one["keypoints"])], -1)
            if "crowd" in targets:
                kept = ~targets["crowd"][index].bool()
                one = {name: value[kept] if name in OBJECT_ENTRIES else value for name, value in one.items()}
            found.append({name: value.to(device) for name, value in one.items()})
        return found

    def detect(self, images: Tensor, targets: Mapping[str, Any]) -> list[dict[str, Tensor]]:
        """What the detector finds in each image with the thresholds of the options, in pixels of the batch."""
        self.model.set_thresholds(self.options.head)
        found: list[dict[str, Tensor]] = self.model.detect(images, targets["size_now"])
        return found

    def detections(self, images: Tensor, targets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What is in each image, in pixels of the image in its file; masks are COCO's run lengths."""
        found = self.detect(images, targets)
        results = []
        for one, now, original in zip(found, targets["size_now"], targets["original_size"], strict=True):
            result: dict[str, Any] = to_original({name: value.cpu() for name, value in one.items()}, now, original)
            if "masks" in result:
                result["masks"] = list(encoded_masks(result["masks"], result["boxes"], original))
            results.append(result)
        return results

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image the number of true `objects`, and of those `found` with a score of `min_score` or more."""
        results = self.detections(images, targets)
        image_ids = targets.get("image_id", targets["index"]).tolist()
        truth = [one | {"image_id": image_id} for one, image_id in zip(targets["truth"], image_ids, strict=True)]
        metric.update(results, truth)
        found = [int((one["scores"] >= self.min_score).sum()) for one in results]
        objects = [len(one["labels"]) for one in targets["truth"]]
        return {"objects": torch.tensor(objects), "found": torch.tensor(found)}

    def transform(self, train: bool) -> Transform:
        """Resizing, and in training random changes, of images and of what is known of their objects."""
        if train:
            return self.train_transform()
        return WithTruth(object_eval_transform(self.preprocessing, self.options.max_size, self.input_size))

    def train_transform(self) -> ObjectTransform:
        """The transform of training, in halves between which objects can be pasted."""
        options, size = self.options, self.preprocessing.size
        augment = ObjectAugment(
            min_sizes=options.min_sizes or (size,),
            max_size=options.max_size,
            flip=options.flip,
            jitter=options.jitter,
            jitter_size=size,
            color_jitter=options.color_jitter,
            photometric_distort=options.photometric_distort,
        )
        return object_train_transform(self.preprocessing, augment, self.keypoints.flips if self.keypoints else ())

    def check_source(self, source: DataSource) -> None:
        """Raise `InputError` where a source has something else than the training had, beside its classes."""

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """The training and the validation samples as the network sees them."""
        self.check_source(source)
        return source.transformed(self.transform(True), self.transform(False))

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> Sequence[Result]:
        """The objects of each image."""
        assert targets is not None
        return [self.objects(one) for one in self.detections(images, targets)]

    def objects(self, detections: Mapping[str, Any]) -> Objects:
        """Detections of one image as a result.

        They have `boxes` XYXY, `labels` and `scores`, and where the network finds them `masks` as run lengths, and
        `keypoints` with `keypoint_scores`.
        """
        points = None
        if "keypoints" in detections:
            points = torch.cat([detections["keypoints"], detections["keypoint_scores"][..., None]], -1)
        found = Objects(
            boxes=detections["boxes"],
            labels=detections["labels"],
            scores=detections["scores"],
            run_lengths=detections.get("masks"),
            points=points,
            names=self.result_names,
            skeleton=self.keypoints.skeleton if self.keypoints else (),
            min_score=self.min_score,
            min_point_score=self.min_point_score,
        )
        assert found.scores is not None
        return (
            found.select((found.scores >= self.least_score).nonzero().flatten().tolist()) if self.least_score else found
        )

    def truth(self, image: Any, target: Mapping[str, Any]) -> Result:
        """All objects of the image, crowds too."""
        return Objects.from_target(target, self.class_names, self.keypoints)

    @property
    def about_images(self) -> str:
        """A line about the images of a report."""
        return f"Validation images with what was found with a score of {self.min_score:g} or more (--min-score)."

    def details(self, evaluation: Evaluation) -> Table:
        """The table of a report: by default average precision of all, small, medium and large objects, by kind."""
        names = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")
        metrics = evaluation.metrics
        rows = [
            (kind, *(metrics.get(f"{kind}_{name}") for name in names))
            for kind in ("box", "mask", "keypoint")
            if any(metric.startswith(f"{kind}_") for metric in metrics)
        ]
        return Table(
            "Average precision (%), by the area of objects: up to 32², up to 96², and more square pixels",
            (Column("of"), *(Column(name.removeprefix("AP_"), "%", digits=1) for name in names)),
            rows,
        )

    def caption(self, result: Any, target: Mapping[str, Any]) -> str:
        """A line on a result and its ground truth."""
        found = f"{len(result.shown().boxes)} found, {len(target['labels'])} there"
        return f"{found}; {result.below}" if result.below else found

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """The metrics in detail, and images with what was found."""
        report.add_table(self.details(evaluation))
        report.add_section("Images")
        images, captions = [], []
        for index in range(min(SHOWN, len(source.val))):
            image, target = source.val[index]
            result = self.predict_sample(image, target)
            images.append(result.draw(as_image(image)))
            captions.append(self.caption(result, target))
        report.add_images(images, captions, self.about_images)


def keypoints_of(facts: Mapping[str, Any]) -> Keypoints | None:
    """The keypoints in the facts of a task, if any; `InputError` where they do not fit each other."""
    points = facts.get("keypoints")
    return None if points is None else from_dict(Keypoints, points, "The description of the network's keypoints")
