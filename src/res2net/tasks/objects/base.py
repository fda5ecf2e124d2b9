"""What the tasks that find objects have in common: a detector, targets by image, results in the image's pixels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_convert

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.images.joint_transforms import (
    ObjectAugment,
    ObjectTransform,
    object_eval_transform,
    object_train_transform,
)
from res2net.images.keypoints import Keypoints
from res2net.images.run_lengths import decoded_masks, encoded_masks, to_original
from res2net.images.samples import SIDE_MULTIPLE
from res2net.images.sources import DataSource
from res2net.images.transforms import Transform
from res2net.options import from_dict
from res2net.report import Column, Report, Table
from res2net.report.images import as_image
from res2net.report.objects import draw_objects
from res2net.report.tables import Cell
from res2net.task.base import Evaluation
from res2net.task.headed import HeadedTask
from res2net.task.truth import WithTruth
from res2net.tasks.objects.drawing import draw_true_objects
from res2net.tasks.objects.heads.detector import Detector, build_detector
from res2net.tasks.objects.heads.fixed import FixedDetector
from res2net.tasks.objects.numbers import size_table
from res2net.weights import Preprocessing

__all__ = ["ObjectTask"]

SHOWN = 12
"""Images in a report."""
USUAL_SHAPE = 5 / 3
"""Longer by shorter side of the images that an exported detector sees in their usual size, as of 1333 by 800."""


class ObjectTask(HeadedTask):
    """A detector with its data: a task that finds objects names its labels, its options and its metric.

    The `size` of its preprocessing is the shorter side of images.
    """

    labels: ClassVar[Sequence[str]] = ("boxes", "labels", "crowd", "area")
    result_name = "objects"
    columns = (Column("object"), Column("score", "%", digits=1), Column("box: x, y, width, height (pixels)"))
    parts: ClassVar[Sequence[str]] = ("boxes", "labels")
    """The entries of a target that the detector learns from."""
    sure: ClassVar[float] = 0.5
    """Least score of what is drawn, and of what counts as found in the records."""
    sure_point: ClassVar[float] = 0.0
    """Score above which a key point is drawn."""

    model: Detector
    within: tuple[int, int] | None = None
    """Height and width of the images of an exported detector, into which all have to fit."""
    known_facts = ("class_names", "keypoints", "stuff_names", "category_ids", "stuff_category_ids")

    def __init__(self, model: Any, preprocessing: Preprocessing, options: Any, facts: Mapping[str, Any]) -> None:
        super().__init__(model, preprocessing, options, facts)
        self.keypoints = keypoints_of(facts)
        """Of the objects, where the detector finds them."""
        self.stuff_names = tuple(facts.get("stuff_names", ()))
        """The classes of what has no instances, where the detector finds that."""
        self.category_ids = tuple(facts.get("category_ids", ()))
        """The numbers of the classes in the data set of the training, where it has any, as COCO's."""
        self.stuff_category_ids = tuple(facts.get("stuff_category_ids", ()))
        """The same of the classes of stuff."""

    @classmethod
    def facts(cls, source: DataSource) -> dict[str, Any]:
        """The classes, key points, classes of stuff, and the data set's numbers of the classes."""
        return {
            "class_names": list(source.class_names),
            "keypoints": None if source.keypoints is None else dataclasses.asdict(source.keypoints),
            "stuff_names": list(source.stuff_names),
            "category_ids": list(source.category_ids),
            "stuff_category_ids": list(source.stuff_category_ids),
        }

    @classmethod
    def around(cls, backbone: Backbone, preprocessing: Preprocessing, options: Any, facts: Mapping[str, Any]) -> Self:
        """The task with a fresh head on a backbone."""
        return super().around(cls.frozen(backbone, options), preprocessing, options, facts)

    @classmethod
    def network(cls, backbone: Backbone, options: Any, facts: Mapping[str, Any]) -> Any:
        """The detector on a backbone."""
        points = keypoints_of(facts)
        head = dataclasses.replace(options.head, num_keypoints=len(points) if points else 0)
        return build_detector(options.detector, backbone, len(facts["class_names"]), head)

    @classmethod
    def alone(cls) -> str:
        """It finds nothing."""
        return "finds no objects"

    @classmethod
    def fixed(cls, network: Any, size: tuple[int, ...], facts: Mapping[str, Any]) -> Any:
        """Images up to the size of the network's."""
        return FixedDetector(network, (size[0], size[1]), len(facts["class_names"]), cls.outputs)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """What the detector finds in images that fill the batch, in fixed shapes."""
        return self.model(images)

    def losses(self, images: Tensor, targets: Mapping[str, Any]) -> dict[str, Tensor]:
        """Those of the detector; crowds are left out."""
        return self.model.losses(images, targets["size_now"], list(self.objects(targets, images.device)))

    def objects(self, targets: Mapping[str, Any], device: torch.device) -> list[dict[str, Tensor]]:
        """For each image what the detector learns from."""
        found = []
        for index in range(len(targets["labels"])):
            one = {name: targets[name][index].as_subclass(Tensor) for name in self.parts}
            if "visibility" in one:
                seen = one.pop("visibility")
                one["keypoints"] = torch.cat([one["keypoints"], seen[..., None].to(one["keypoints"])], -1)
            if "crowd" in targets:
                kept = ~targets["crowd"][index].bool()
                one = {name: value[kept] for name, value in one.items()}
            found.append({name: value.to(device) for name, value in one.items()})
        return found

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image the number of true `objects` and of those `found` with a score of a half or more."""
        results = self.results(images, targets)
        numbers = targets.get("image_id", targets["index"]).tolist()
        truth = [one | {"image_id": number} for one, number in zip(targets["truth"], numbers, strict=True)]
        metric.update(results, truth)
        found = [int((one["scores"] >= self.sure).sum()) for one in results]
        objects = [len(one["labels"]) for one in targets["truth"]]
        return {"objects": torch.tensor(objects), "found": torch.tensor(found)}

    def results(self, images: Tensor, targets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What is in each image, in pixels of the image in its file; masks are COCO's run lengths."""
        found = self.model.detect(images, targets["size_now"])
        results = []
        for one, now, before in zip(found, targets["size_now"], targets["original_size"], strict=True):
            kept = {name: value.cpu() for name, value in one.items()}
            result: dict[str, Any] = to_original(kept, now, before)
            if "masks" in result:
                result["masks"] = list(encoded_masks(result["masks"], result["boxes"], before))
            results.append(result)
        return results

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[list[dict[str, Any]]]:
        """The objects of each image, `{"label", "score", "box"}` and what else is found, in COCO's form."""
        assert targets is not None
        return [self.listed(one) for one in self.results(images, targets)]

    def listed(self, result: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A result as a list of objects in COCO's form."""
        objects = []
        boxes = box_convert(result["boxes"].double(), "xyxy", "xywh").tolist()
        for place, (label, score, box) in enumerate(
            zip(result["labels"].tolist(), result["scores"].tolist(), boxes, strict=True)
        ):
            one = {"label": self.result_names[label], "score": score, "box": box}
            if "masks" in result:
                one["mask"] = result["masks"][place]
            if "keypoints" in result:
                scores = result["keypoint_scores"][place, :, None]
                one["keypoints"] = torch.cat([result["keypoints"][place], scores], -1).flatten().tolist()
            objects.append(one)
        return objects

    @property
    def result_names(self) -> tuple[str, ...]:
        """What objects in results may be called, by label."""
        return self.class_names

    def transform(self, train: bool) -> Transform:
        """Resizing, and in training random changes, of images and of what is known of their objects."""
        if train:
            return self.augmented()
        return WithTruth(object_eval_transform(self.preprocessing, self.options.max_size, self.within))

    def fit(self, size: tuple[int, int] | None = None) -> tuple[int, int]:
        """By default a square that holds images of up to 5:3 in the size that they have in evaluation.

        Raises:
            InputError: a side is no multiple of 32, with which the maps of a pyramid lie on each other.
        """
        if size is None:
            longest = min(self.options.max_size, math.ceil(self.preprocessing.size * USUAL_SHAPE))
            size = (math.ceil(longest / SIDE_MULTIPLE) * SIDE_MULTIPLE,) * 2
        for side in size:
            if side < SIDE_MULTIPLE or side % SIDE_MULTIPLE:
                near = max(1, round(side / SIDE_MULTIPLE)) * SIDE_MULTIPLE
                raise InputError(
                    f"The sides of a detector's images are multiples of {SIDE_MULTIPLE}, and {side} is not: "
                    f"choose a --size such as {near}."
                )
        self.within = size
        return size

    def fitted(self) -> Transform:
        """Resizing, and zeros around the image up to the size of the exported detector."""
        return object_eval_transform(self.preprocessing, self.options.max_size, self.within, padded=True)

    def augmented(self) -> ObjectTransform:
        """The transform of training, in halves between which objects can be pasted."""
        options = self.options
        augment = ObjectAugment(
            min_sizes=options.min_sizes or (self.preprocessing.size,),
            max_size=options.max_size,
            flip=options.flip,
            jitter=options.jitter,
            jitter_size=self.preprocessing.size,
            color_jitter=options.color_jitter,
            photometric_distort=options.photometric_distort,
        )
        flips = self.keypoints.flips if self.keypoints else ()
        return object_train_transform(self.preprocessing, augment, flips)

    def tabulate(self, result: list[dict[str, Any]]) -> Sequence[Sequence[Cell]]:
        """What was found with a score of a half or more."""
        return [
            (one["label"], 100 * one["score"], ", ".join(f"{value:.0f}" for value in one["box"]))
            for one in result
            if one["score"] >= self.sure
        ]

    def draw(self, image: Image.Image, result: list[dict[str, Any]]) -> Image.Image:
        """The image with what was found with a score of a half or more."""
        shown = [one for one in result if one["score"] >= self.sure]
        boxes = torch.tensor([one["box"] for one in shown]).reshape(-1, 4)
        names = {name: index for index, name in enumerate(self.result_names)}
        points = [torch.tensor(one["keypoints"]).view(-1, 3) for one in shown if "keypoints" in one]
        for one in points:
            one[:, 2] = torch.where(one[:, 2] > self.sure_point, 2, 0)  # of a score to what is drawn: all or nothing
        return draw_objects(
            image,
            box_convert(boxes, "xywh", "xyxy"),
            torch.tensor([names[one["label"]] for one in shown], dtype=torch.int64),
            scores=torch.tensor([one["score"] for one in shown]),
            masks=decoded_masks([one["mask"] for one in shown]) if shown and "mask" in shown[0] else None,
            keypoints=torch.stack(points) if points else None,
            skeleton=self.keypoints.skeleton if self.keypoints else (),
            names=self.result_names,
        )

    def draw_truth(self, image: Any, target: Mapping[str, Any]) -> Image.Image:
        """The image with all objects that are there, crowds too."""
        skeleton = self.keypoints.skeleton if self.keypoints else ()
        return draw_true_objects(image, target, self.class_names, skeleton)

    def numbers(self, evaluation: Evaluation) -> Table:
        """What a report tells in more detail: average precision by object size."""
        return size_table(evaluation)

    def write_report(self, report: Report, evaluation: Evaluation, source: DataSource) -> None:
        """The numbers in detail, and images with what was found."""
        report.add_table(self.numbers(evaluation))
        report.add_section("Images")
        images, captions = [], []
        for index in range(min(SHOWN, len(source.val))):
            image, target = source.val[index]
            result = self.found_in(image, target)
            images.append(self.draw(as_image(image), result))
            captions.append(self.caption(result, target))
        report.add_images(images, captions, self.shown)

    def caption(self, result: list[dict[str, Any]], target: Mapping[str, Any]) -> str:
        """A line on a result and what is true."""
        found = sum(one["score"] >= self.sure for one in result)
        return f"{found} found, {len(target['labels'])} there"

    @property
    def shown(self) -> str:
        """A line on the images of a report."""
        return f"Validation images with what was found with {self.sure:.0%} or more."


def keypoints_of(facts: Mapping[str, Any]) -> Keypoints | None:
    """The key points that are told of, if any; `InputError` where they are none."""
    points = facts.get("keypoints")
    return None if points is None else from_dict(Keypoints, points, "What is told of the network's key points")
