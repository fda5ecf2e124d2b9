"""PASCAL VOC's average precision of boxes: at eleven levels of recall (2007), and as an area (from 2010)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from res2net.images.text import distinct_names
from res2net.tasks.objects.metrics.image_metric import ImageMetric, object_entries, objects_entry, pairs

OVERLAP = 0.5
"""Minimum IoU of a detection and its object."""
LEVELS = np.linspace(0, 1, 11)
"""Levels of recall, with the rounding of the devkit: 0.3, 0.6 and 0.7 are slightly above their exact values."""

Numbers = np.ndarray[Any, np.dtype[np.float64]]


class VocAP(ImageMetric):
    """PASCAL VOC's average precision of boxes at IoU 0.5, mean over classes.

    `compute` returns fractions from 0 to 1: `box_AP50_11_point`, the mean of the precision at eleven levels of recall,
    as in VOC 2007, and `box_AP50_area`, the area under the precision-recall curve, as from VOC 2010. Papers report
    either for VOC 2007, so both are computed. The score of a class without objects is NaN, and the mean ignores it.

    As in the devkit (`VOCevaldet.m`), a detection is matched with the object of its class that it overlaps most; the
    highest-scoring detection of an object is correct, and all others are wrong. An object that is `difficult` (or
    `crowd`, as in COCO's data) does not have to be detected, and detections that match it are ignored. The devkit
    counts pixels, `xmax - xmin + 1`; here, boxes are given by their edges, so a pixel box of an annotation file becomes
    `(xmin - 1, ymin - 1, xmax, ymax)`, and overlaps are the same.

    Args:
        class_names: names of all classes.
        class_metrics: also compute both scores of each class, named `box_AP50_11_point/dog`.
    """

    def __init__(self, class_names: Sequence[str], class_metrics: bool = False) -> None:
        super().__init__()
        self.class_names = distinct_names(class_names)
        self.class_metrics = class_metrics

    def update(self, results: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Add images, a result and a target for each.

        Args:
            results: `boxes` `(m, 4)` XYXY, `scores` `(m,)` and `labels` `(m,)` from 0.
            targets: `image_id`, `boxes` `(n, 4)`, `labels` `(n,)`, and optionally `difficult` and `crowd` `(n,)`.

        Raises:
            InputError: an entry is missing or has a wrong shape.
        """
        for image_id, result, target in pairs(results, targets):
            found = object_entries(result, "result", self.class_names, {"scores": (), "boxes": (4,)})
            true = object_entries(target, "target", self.class_names, {"boxes": (4,)})
            found, true = ({name: value.cpu() for name, value in one.items()} for one in (found, true))
            difficult = true["crowd"]
            if "difficult" in target:
                difficult = difficult | objects_entry(target, "difficult", "target", len(difficult)).cpu().bool()
            # NaN for two empty boxes
            overlaps = box_iou(found["boxes"].double(), true["boxes"].double()).nan_to_num()
            overlaps[found["labels"][:, None] != true["labels"]] = -1
            record = {
                "scores": found["scores"].float(),
                "labels": found["labels"],
                "right": _match(found["scores"], overlaps, difficult),  # 1 correct, 0 wrong, -1 ignored
                "wanted": true["labels"][~difficult],  # labels of objects that have to be detected
            }
            self.keep(image_id, record)

    def compute(self) -> dict[str, float]:
        """The metrics by name, from 0 to 1 or NaN."""
        scores, labels, right, wanted = self.columns("scores", "labels", "right", "wanted")
        order = np.argsort(-scores, kind="stable")
        labels, right = labels[order], right[order]
        values: dict[str, float] = {}
        for name, average in (("box_AP50_11_point", mean_of_levels), ("box_AP50_area", area_below)):
            by_class = dict.fromkeys(self.class_names, math.nan)
            for index in np.unique(wanted):
                true = right[(labels == index) & (right >= 0)]
                found = np.cumsum(true)
                recall, precision = found / np.sum(wanted == index), found / np.arange(1, len(true) + 1)
                by_class[self.class_names[index]] = average(recall, precision)
            measured = [value for value in by_class.values() if not math.isnan(value)]
            values[name] = float(np.mean(measured)) if measured else math.nan
            if self.class_metrics:
                values |= {f"{name}/{class_name}": value for class_name, value in by_class.items()}
        return values


def _match(scores: Tensor, overlaps: Tensor, difficult: Tensor) -> Tensor:
    """Match the detections of an image with objects: 1 for correct, 0 for wrong, -1 for ignored detections, `(m,)`."""
    right = torch.zeros(len(scores), dtype=torch.int64)
    if not overlaps.numel():
        return right
    most, nearest = overlaps.max(1)
    order = scores.argsort(descending=True, stable=True)
    order = order[most[order] >= OVERLAP]
    partner = nearest[order]
    # The first detection of each object, by score.
    earlier = torch.ones(len(order), len(order), dtype=torch.bool).tril(-1)
    duplicate = ((partner[:, None] == partner) & earlier).any(1)
    right[order] = torch.where(difficult[partner], -1, (~duplicate).long())
    return right


def mean_of_levels(recall: Numbers, precision: Numbers) -> float:
    """The mean of the best precision at or above each of eleven levels of recall; 0 for levels that are not reached."""
    return float(np.mean([precision[recall >= level].max(initial=0.0) for level in LEVELS]))


def area_below(recall: Numbers, precision: Numbers) -> float:
    """The area under the curve of the best precision at each recall or above."""
    steps = np.diff(recall, prepend=0.0)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((steps * best).sum())
