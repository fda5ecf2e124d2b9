"""Panoptic, segmentation and recognition quality, as panopticapi counts them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from res2net.errors import InputError
from res2net.images.samples import UNLABELLED
from res2net.tasks.objects.metrics.image_metric import ImageMetric, entry, object_entries, pairs

Numbers = np.ndarray[Any, np.dtype[np.float64]]


class PanopticQuality(ImageMetric):
    """How well an image was split into things and stuff (Kirillov et al., "Panoptic Segmentation", CVPR 2019).

    A segment found and a true one match where they have one class and an IoU above 0.5. `SQ` is the mean IoU of
    matches, `RQ` their share `TP / (TP + FP / 2 + FN / 2)`, `PQ` the product; each is a mean over classes that occur,
    as fraction from 0 to 1. `compute` gives all three of everything, and with `_things` and `_stuff` of those classes
    alone; NaN where none occurs.

    As in panopticapi, pixels without a true segment do not count within a union; true segments that are `crowd` are
    neither matched nor missed; and a segment found is not held against the network where more than half of it lies on
    pixels without a true segment or on a crowd of its class. torchmetrics' PanopticQuality knows no crowds, and takes
    pixels where nothing was found out of unions and misses, which panopticapi does not.

    Args:
        thing_names: classes of which objects are counted; labels begin with these.
        stuff_names: classes of which there is one segment in an image at most; their labels follow.
    """

    def __init__(self, thing_names: Sequence[str], stuff_names: Sequence[str]) -> None:
        super().__init__()
        self.things = len(thing_names)
        self.class_names = (*thing_names, *stuff_names)

    def update(self, results: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Add images, a result and a target for each.

        Args:
            results: `segments` `(H, W)`, at each pixel the index of its segment in `labels` or -1 for none, and
                `labels` `(s,)`: things from 0, then stuff.
            targets: `image_id`, and either the same two with `crowd` `(s,)` where there are any, or what data sets
                give: `masks` `(n, H, W)` and `labels` `(n,)` of things, `semantic` `(H, W)`, with stuff from 0 and 255
                elsewhere, and `crowd` `(n,)`.

        Raises:
            InputError: something is missing, or has another shape than that.
        """
        for image_id, result, target in pairs(results, targets):
            labels = object_entries(result, "result", self.class_names)["labels"]
            if "segments" not in target:
                target = segments_of(target, self.things, len(self.class_names) - self.things)
            true = object_entries(target, "target", self.class_names)
            true_labels, crowd = true["labels"].to(labels.device), true["crowd"].to(labels.device)
            true_segments = entry(target, "segments", "target", (-1, -1)).to(labels.device)
            segments = entry(result, "segments", "result", tuple(true_segments.shape))
            shared = _shared(true_segments, len(true_labels), segments, len(labels))
            self.keep(image_id, _matches(shared, true_labels, crowd, labels))

    def compute(self) -> dict[str, float]:
        """The nine numbers by name, from 0 to 1 or NaN."""
        columns = self.columns("labels", "intersections", "unions", "missed", "wrong")
        labels, intersections, unions, missed, wrong = (column.astype(np.int64) for column in columns)
        classes = len(self.class_names)
        true = np.bincount(labels, minlength=classes)
        iou = np.bincount(labels, intersections / unions, minlength=classes)
        all_of = true + (np.bincount(missed, minlength=classes) + np.bincount(wrong, minlength=classes)) / 2
        occurs = all_of > 0
        recognition = true / np.where(occurs, all_of, 1)
        segmentation = iou / np.maximum(true, 1)
        thing = np.arange(classes) < self.things
        values: dict[str, float] = {}
        for suffix, group in (("", occurs), ("_things", occurs & thing), ("_stuff", occurs & ~thing)):
            values[f"PQ{suffix}"] = _mean((segmentation * recognition)[group])
            values[f"SQ{suffix}"] = _mean(segmentation[group])
            values[f"RQ{suffix}"] = _mean(recognition[group])
        return values


def segments_of(target: Mapping[str, Any], things: int, stuff: int) -> dict[str, Tensor]:
    """The segments of a data set's target: `segments` `(H, W)`, their `labels` and `crowd`, both `(n + stuff,)`.

    Where masks of things lie on one another, the first is on top.
    """
    semantic = entry(target, "semantic", "target", (-1, -1)).long()
    given = object_entries(target, "target", range(things), {"masks": tuple(semantic.shape)})
    labels, masks, crowd = given["labels"], given["masks"].bool(), given["crowd"]
    wrong = semantic[(semantic < 0) | ((semantic >= stuff) & (semantic != UNLABELLED))]
    if len(wrong):
        raise InputError(
            f"A target's 'semantic' has class {int(wrong[0])}: give 0 to {stuff - 1}, and {UNLABELLED} elsewhere."
        )
    segments = torch.where(semantic == UNLABELLED, -1, semantic + len(labels))
    if len(labels):
        covered, first = masks.to(torch.uint8).max(0)
        segments = torch.where(covered.bool(), first, segments)
    return {
        "segments": segments,
        "labels": torch.cat([labels, things + torch.arange(stuff, device=labels.device)]),
        "crowd": torch.cat([crowd, crowd.new_zeros(stuff)]),
    }


def _shared(true_segments: Tensor, true_count: int, segments: Tensor, count: int) -> Tensor:
    """The pixels that each true segment shares with each found one, `(1 + true_count, 1 + count)`; 0 is none."""
    for what, values, most in (("target", true_segments, true_count), ("result", segments, count)):
        if values.is_floating_point() or (values.numel() and not -1 <= int(values.min()) <= int(values.max()) < most):
            raise InputError(
                f"'segments' of a {what} do not fit its {most} labels: give whole numbers, the index in 'labels' or -1."
            )
    joined = (true_segments.long() + 1) * (count + 1) + segments.long() + 1
    return torch.bincount(joined.flatten(), minlength=(true_count + 1) * (count + 1)).view(true_count + 1, count + 1)


def _matches(shared: Tensor, true_labels: Tensor, crowd: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """What is kept of an image; a segment without a pixel is none."""
    true_area, area = shared[1:].sum(1), shared[:, 1:].sum(0)
    unlabelled, common = shared[0, 1:], shared[1:, 1:]
    unions = true_area[:, None] + area - common - unlabelled
    same = true_labels[:, None] == labels
    # An IoU above a half, in whole numbers; a segment can have only one such partner.
    match = same & ~crowd[:, None] & (2 * common > unions)
    forgiven = unlabelled + (common * (same & crowd[:, None])).sum(0)
    missed = ~match.any(1) & ~crowd & (true_area > 0)
    wrong = ~match.any(0) & (area > 0) & (2 * forgiven <= area)
    return {
        "labels": true_labels[match.nonzero()[:, 0]],  # of matches
        "intersections": common[match],
        "unions": unions[match],
        "missed": true_labels[missed],  # labels of true segments without a match
        "wrong": labels[wrong],  # labels of segments found without a match
    }


def _mean(values: Numbers) -> float:
    return float(values.mean()) if len(values) else math.nan
