"""COCO's average precision and recall of key points, by object key point similarity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import box_convert

from res2net.errors import InputError, check_choice
from res2net.images.keypoints import PIXEL_MIDDLE
from res2net.tasks.objects.keypoints.poses import oks_nms
from res2net.tasks.objects.metrics.coco import area_of
from res2net.tasks.objects.metrics.cocoeval import evaluate
from res2net.tasks.objects.metrics.image_metric import ImageMetric, check_labels, entry, of_objects, pairs

__all__ = ["BOXES", "COCO_SIGMAS", "OksAP", "PersonOksAP"]

BOXES = ("ground truth", "detected")
"""Whose boxes the key points were looked for in."""

COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
"""Of COCO's 17 points of a person, nose to ankles: how far people who mark them differ, in square roots of the area."""


class OksAP(ImageMetric):
    """COCO's ten numbers of key points, by faster-coco-eval.

    `compute` gives fractions from 0 to 1: `keypoint_AP` (mean over similarities 0.50 to 0.95), `keypoint_AP50`,
    `keypoint_AP75`, `keypoint_AP_medium`, `keypoint_AP_large` (from 32² and from 96² square pixels), and the recall
    with 20 detections in an image, `keypoint_AR`, `keypoint_AR50`, `keypoint_AR75`, `keypoint_AR_medium` and
    `keypoint_AR_large`. A number without any object to measure it on, where COCO writes -1, is NaN.

    As in COCO, an object with `crowd` or without a labelled point asks for no detection and forgives those near its
    box, so targets hold these objects too. The size of a detection is that of the box around its points.

    Points are in pixels between edges, as boxes are: the middle of the first pixel is at 0.5, where COCO's is at 0.

    Published numbers mix results within the boxes of the ground truth and within those of a detector; the first are
    higher by some points. So `boxes` has no default, and `describe` says it.

    Args:
        sigmas: of each key point; `COCO_SIGMAS` for COCO's people.
        boxes: "ground truth" or "detected": whose boxes the network looked in.
        class_names: of all classes, all with the same key points.
    """

    def __init__(self, sigmas: Sequence[float], boxes: str, class_names: Sequence[str] = ("person",)) -> None:
        check_choice("Origin of boxes", boxes, BOXES)
        if not sigmas or min(sigmas) <= 0:
            raise InputError(f"Sigmas {tuple(sigmas)} do not fit: give a number above 0 for each key point.")
        points = len(sigmas)
        super().__init__(
            {
                "scores": (torch.float32, ()),
                "labels": (torch.int64, ()),
                "keypoints": (torch.float32, (points, 2)),
                "object_labels": (torch.int64, ()),
                "object_boxes": (torch.float32, (4,)),
                "object_keypoints": (torch.float32, (points, 2)),
                "visibility": (torch.uint8, (points,)),
                "crowd": (torch.uint8, ()),
                "area": (torch.float32, ()),
            }
        )
        self.sigmas = tuple(sigmas)
        self.boxes = boxes
        self.class_names = tuple(class_names)

    def describe(self) -> str:
        """What the numbers are of, for a table or a report."""
        return f"OKS-AP of {len(self.sigmas)} key points in {self.boxes} boxes"

    def update(self, results: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Add images, a result and a target for each.

        Args:
            results: `scores` `(m,)`, `keypoints` `(m, k, 2)` or with anything third, and `labels` `(m,)` from 0, which
                may be absent where there is one class.
            targets: `image_id`, `labels` `(n,)`, `boxes` `(n, 4)` XYXY, `keypoints` `(n, k, 2)`, `visibility` `(n, k)`,
                and where the data set has them `crowd` `(n,)` and `area` `(n,)`, in place of which the pixels of the
                mask count, or of the box.

        Raises:
            InputError: something is missing, or has another shape than that.
        """
        for image_id, result, target in pairs(results, targets):
            self.keep(image_id, self._values(result, target))

    def _values(self, result: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Tensor]:
        """What is kept of a result and its target."""
        points = len(self.sigmas)
        scores = entry(result, "scores", "result", (-1,))
        object_labels = entry(target, "labels", "target", (-1,))
        found, count = len(scores), len(object_labels)
        if "labels" in result or len(self.class_names) > 1:
            labels = of_objects(result, "labels", "result", found)
        else:
            labels = torch.zeros(found, dtype=torch.int64)
        check_labels(labels, self.class_names, "result")
        check_labels(object_labels, self.class_names, "target")
        return {
            "scores": scores,
            "labels": labels,
            "keypoints": _points(result, found, points),
            "object_labels": object_labels,
            "object_boxes": of_objects(target, "boxes", "target", count, (4,)),
            "object_keypoints": of_objects(target, "keypoints", "target", count, (points, 2)),
            "visibility": of_objects(target, "visibility", "target", count, (points,)),
            "crowd": of_objects(target, "crowd", "target", count) if "crowd" in target else torch.zeros(count),
            "area": area_of(target, count),
        }

    def compute(self) -> dict[str, float]:
        """The numbers by name, from 0 to 1 or NaN."""
        images: list[dict[str, Any]] = []
        objects: list[dict[str, Any]] = []
        detections: list[dict[str, Any]] = []
        for image_id, image in self.kept():
            images.append({"id": image_id})
            objects += _objects(image_id, image)
            detections += _detections(image_id, image)
        numbers, _ = evaluate("keypoints", images, objects, detections, self.class_names, self.sigmas)
        return {f"keypoint_{name}": value for name, value in numbers.items()}

    def detections(self) -> Iterator[dict[str, Any]]:
        """All that was found, in COCO's format of results but for `category_id`, which is the index of the class.

        https://cocodataset.org/#format-results: `image_id`, `category_id`, `score` and `keypoints` (x, y, 1), which
        count pixels from 0.
        """
        for image_id, image in self.kept():
            for one in _detections(image_id, image):
                yield {name: value for name, value in one.items() if name != "area"}


class PersonOksAP(OksAP):
    """`OksAP` of results that come person by person, as those of top-down networks do.

    What was found for the people of an image is put together, whatever batches it came in. Of poses that are nearly
    the same, as of two boxes around one person, only the highest-scoring one is kept (`oks_nms`): the
    published code of SimpleBaseline does that with both kinds of boxes.

    Args:
        sigmas: as of `OksAP`.
        boxes: as of `OksAP`.
        class_names: as of `OksAP`.
        others: targets of images in which there was no box to look into: their people are missed.
    """

    def __init__(
        self,
        sigmas: Sequence[float],
        boxes: str,
        class_names: Sequence[str] = ("person",),
        others: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(sigmas, boxes, class_names)
        for name, kind in (("image", torch.int64), ("crop_area", torch.float32)):
            self.fields[name] = (kind, ())
            self.add_state(name, [], dist_reduce_fx="cat")
        self.others = {image_id: self._missed(target) for image_id, _, target in pairs(others, others)}

    def _missed(self, target: Mapping[str, Any]) -> dict[str, Tensor]:
        """What is true of an image, and that nothing was found."""
        none = {"scores": (0,), "labels": (0,), "keypoints": (0, len(self.sigmas), 2)}
        values = self._values({name: torch.empty(shape) for name, shape in none.items()}, target)
        return {name: value.to(self.fields[name][0]) for name, value in values.items()}

    def update(self, results: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Add people, a result and a target for each.

        Args:
            results: as of `OksAP`, of one person each; and `crop_area` `(m,)`, square pixels of the image that were
                seen for it, by which poses are distinguished.
            targets: as of `OksAP`, of the whole image that the person is in; and `person`, a number of its own for
                each.

        Raises:
            InputError: something is missing, or has another shape than that.
        """
        for image_id, result, target in pairs(results, targets):
            if "person" not in target:
                raise InputError("A target has no 'person': give each person a number of its own.")
            values = self._values(result, target) | {"image": torch.tensor([image_id])}
            values["crop_area"] = of_objects(result, "crop_area", "result", len(values["scores"]))
            self.keep(int(target["person"]), values)

    def kept(self) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Each image once, by `image_id`: what is true there, and what was found for all its people."""
        people: dict[int, list[dict[str, Tensor]]] = {}
        for _, person in super().kept():
            people.setdefault(int(person.pop("image")), []).append(person)
        images = self.others | {image_id: self._together(found) for image_id, found in people.items()}
        yield from sorted(images.items())

    def _together(self, people: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """What is true of an image, and what was found for its people, each once."""
        names = ("scores", "labels", "keypoints", "crop_area")
        found = {name: torch.cat([one[name] for one in people]) for name in names}
        stay = oks_nms(found["keypoints"], found["scores"], found["crop_area"], self.sigmas, found["labels"])
        return people[0] | {name: values[stay] for name, values in found.items()}


def _points(result: Mapping[str, Any], found: int, points: int) -> Tensor:
    """The positions of a result's key points `(m, k, 2)`."""
    columns = result["keypoints"].shape[-1] if "keypoints" in result and len(result["keypoints"].shape) == 3 else 2
    return of_objects(result, "keypoints", "result", found, (points, 3 if columns == 3 else 2))[..., :2]


def _objects(image_id: int, image: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """The objects of an image in COCO's form."""
    visibility = image["visibility"]
    keypoints = torch.cat([image["object_keypoints"].double() - PIXEL_MIDDLE, visibility[..., None]], 2)
    columns = {
        "category_id": image["object_labels"].tolist(),
        "bbox": box_convert(image["object_boxes"].double(), "xyxy", "xywh").tolist(),
        "area": image["area"].tolist(),
        "iscrowd": image["crowd"].tolist(),
        "keypoints": keypoints.flatten(1).tolist(),
        "num_keypoints": (visibility > 0).sum(1).tolist(),
    }
    rows = zip(*columns.values(), strict=True)
    return [{"image_id": image_id, **dict(zip(columns, row, strict=True))} for row in rows]


def _detections(image_id: int, image: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """What was found in an image in COCO's form; its size is that of the box around its points."""
    found = image["keypoints"].double() - PIXEL_MIDDLE
    if not len(found):
        return []
    low, high = found.amin(1), found.amax(1)
    columns = {
        "category_id": image["labels"].tolist(),
        "score": image["scores"].tolist(),
        "area": (high - low).prod(1).tolist(),
        "keypoints": torch.nn.functional.pad(found, (0, 1), value=1.0).flatten(1).tolist(),
    }
    rows = zip(*columns.values(), strict=True)
    return [{"image_id": image_id, **dict(zip(columns, row, strict=True))} for row in rows]
