"""COCO's average precision and recall of keypoints, by object keypoint similarity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import box_convert

from res2net.errors import InputError, check_choice
from res2net.images.keypoints import PIXEL_MIDDLE
from res2net.images.text import distinct_names
from res2net.tasks.objects.keypoints.poses import oks_nms
from res2net.tasks.objects.metrics.coco import CocoMetric, area_of, rows
from res2net.tasks.objects.metrics.image_metric import entry, object_entries, pairs

BOXES = ("ground truth", "detected")
"""Whose boxes the keypoints were looked for in."""

COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
"""Of COCO's 17 points of a person, nose to ankles: how far people who mark them differ, in square roots of the area."""


class OksAP(CocoMetric):
    """COCO's ten numbers of keypoints, by faster-coco-eval.

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
        sigmas: of each keypoint; `COCO_SIGMAS` for COCO's people.
        boxes: "ground truth" or "detected": whose boxes the network looked in.
        class_names: of all classes, all with the same keypoints.
    """

    def __init__(self, sigmas: Sequence[float], boxes: str, class_names: Sequence[str] = ("person",)) -> None:
        check_choice("Origin of boxes", boxes, BOXES)
        if not sigmas or min(sigmas) <= 0:
            raise InputError(f"Sigmas {tuple(sigmas)} do not fit: give a number above 0 for each keypoint.")
        super().__init__()
        self.sigmas = tuple(sigmas)
        self.boxes = boxes
        self.class_names = distinct_names(class_names)

    def describe(self) -> str:
        """What the numbers are of, for a table or a report."""
        return f"OKS-AP of {len(self.sigmas)} keypoints in {self.boxes} boxes"

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
            objects, found = self._objects(target), self._found(result)
            self.keep(image_id, {"size": (0, 0), "objects": objects, "detections": _detections(found)})

    def _objects(self, target: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The objects of a target in COCO's form."""
        points = len(self.sigmas)
        shapes = {"boxes": (4,), "keypoints": (points, 2), "visibility": (points,)}
        true = object_entries(target, "target", self.class_names, shapes)
        visibility = true["visibility"].to(torch.uint8)
        keypoints = torch.cat([true["keypoints"].float().double() - PIXEL_MIDDLE, visibility[..., None]], 2)
        return rows(
            {
                "category_id": true["labels"],
                "bbox": box_convert(true["boxes"].float().double(), "xyxy", "xywh"),
                "area": area_of(target, len(visibility)),
                "iscrowd": true["crowd"].int(),
                "keypoints": keypoints.flatten(1),
                "num_keypoints": (visibility > 0).sum(1),
            }
        )

    def _found(self, result: Mapping[str, Any], **shapes: tuple[int, ...]) -> dict[str, Tensor]:
        """The `labels`, `scores` and `keypoints` `(m, k, 2)` of a result, and entries of other shapes."""
        scores = entry(result, "scores", "result", (-1,))
        if "labels" not in result and len(self.class_names) == 1:
            result = {**result, "labels": torch.zeros(len(scores), dtype=torch.int64)}
        columns = 3 if result.get("keypoints", scores).shape[-1:] == (3,) else 2
        shapes |= {"scores": (), "keypoints": (len(self.sigmas), columns)}
        found = object_entries(result, "result", self.class_names, shapes)
        return found | {"keypoints": found["keypoints"][..., :2]}

    def compute(self) -> dict[str, float]:
        """The numbers by name, from 0 to 1 or NaN."""
        numbers, _ = self.evaluate(self.kept(), "keypoints", self.sigmas)
        return {f"keypoint_{name}": value for name, value in numbers.items()}


class PersonOksAP(OksAP):
    """`OksAP` of results that come person by person, as those of top-down networks do.

    What was found for the people of an image is put together, whatever batches it came in. Of poses that are nearly
    the same, as of two boxes around one person, only the highest-scoring one is kept (`oks_nms`): the
    published code of SimpleBaseline does that with both kinds of boxes.

    Args:
        sigmas, boxes, class_names: as of `OksAP`.
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
        self.others = {
            image_id: {"size": (0, 0), "objects": self._objects(target), "detections": []}
            for image_id, _, target in pairs(others, others)
        }

    def update(self, results: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Add people, a result and a target for each.

        Args:
            results: as of `OksAP`, of one person each; and `crop_area` `(m,)`, square pixels of the image that were
                seen for it, by which poses are distinguished.
            targets: as of `OksAP`, of the whole image that the person is in; and `person`, a number of its own for
                each.
        """
        for image_id, result, target in pairs(results, targets):
            if "person" not in target:
                raise InputError("A target has no 'person': give each person a number of its own.")
            found = self._found(result, crop_area=())
            self.keep(int(target["person"]), {"image": image_id, "objects": self._objects(target), "found": found})

    def kept(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each image once, by `image_id`: what is true there, and what was found for all its people, each once."""
        people: dict[int, list[dict[str, Any]]] = {}
        for _, person in super().kept():
            people.setdefault(person["image"], []).append(person)
        images = self.others | {image_id: self._together(found) for image_id, found in people.items()}
        yield from sorted(images.items())

    def _together(self, people: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The record of an image with these people."""
        found = {
            name: torch.tensor([value for one in people for value in one["found"][name]])
            for name in ("labels", "scores", "keypoints", "crop_area")
        }
        record = {"size": (0, 0), "objects": people[0]["objects"], "detections": []}
        if not len(found["scores"]):
            return record
        stay = oks_nms(found["keypoints"], found["scores"], found["crop_area"], self.sigmas, found["labels"])
        record["detections"] = _detections({name: values[stay] for name, values in found.items()})
        return record


def _detections(found: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """What was found in an image in COCO's form."""
    points = found["keypoints"].float().double() - PIXEL_MIDDLE
    return rows(
        {
            "category_id": found["labels"],
            "score": found["scores"].float(),
            "keypoints": torch.nn.functional.pad(points, (0, 1), value=1.0).flatten(1),
        }
    )
