"""Select the best boxes with fixed shapes, so that a whole detector can be exported.

The number of boxes that non-maximum suppression keeps varies. Here, suppressed boxes are only marked, and a fixed
number of the best is selected.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image, nms

MIN_SIDE = 1e-2
"""Minimum side of a detection, in pixels."""

CANDIDATES = 4000
"""Number of boxes per image that suppression considers; lower-scoring ones do not affect which of them it keeps."""
APART = ((-4.0, -4.0, -3.0, -3.0), (-2.0, -2.0, -1.0, -1.0))
"""Two boxes outside of any image, which overlap with no other."""


def clipped(boxes: Tensor, sizes: list[tuple[int, int]], min_side: float = MIN_SIDE) -> tuple[Tensor, Tensor]:
    """Clip boxes `(N, ..., 4)` to images of these (height, width); also return which have no side below `min_side`."""
    boxes = torch.stack([clip_boxes_to_image(some, size) for some, size in zip(boxes, sizes, strict=True)])
    return boxes, ((boxes[..., 2:] - boxes[..., :2]) >= min_side).all(-1)


def best_of(scores: Tensor, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The `count` highest of the scores `(M,)`, descending, and the corresponding rows of tensors `(M, ...)`.

    If there are fewer, all are returned.
    """
    scores, indices = scores.topk(min(count, len(scores)))
    return scores, *(tensor[indices] for tensor in tensors)


def suppressed(boxes: Tensor, scores: Tensor, threshold: float, groups: Tensor | None = None) -> Tensor:
    """Non-maximum suppression: set the scores `(M,)` of suppressed boxes `(M, 4)` to minus infinity.

    Args:
        boxes: boxes in one image, with coordinates from 0.
        scores: their scores; minus infinity for boxes to ignore, which suppress no others.
        threshold: intersection over union above which a box suppresses a lower-scoring one.
        groups: integers `(M,)`; only boxes of the same group suppress each other.
    """
    if groups is not None:  # move groups apart, so that their boxes cannot overlap
        boxes = boxes + (groups * (boxes.max() + 1))[:, None]
    # In exported programs, torchvision's operator must keep at least two boxes: add two that overlap with none.
    boxes = torch.cat([boxes, boxes.new_tensor(APART)])
    all_scores = torch.cat([scores, scores.new_full((len(APART),), -math.inf)])
    kept = torch.zeros_like(all_scores, dtype=torch.bool).index_fill(0, nms(boxes, all_scores, threshold), True)
    return scores.masked_fill(~kept[: len(scores)], -math.inf)


def best_detections(
    boxes: Tensor, scores: Tensor, labels: Tensor, *, nms_threshold: float, count: int, candidates: int = CANDIDATES
) -> tuple[Tensor, Tensor, Tensor]:
    """Select the best detections in an image after non-maximum suppression within each class.

    Args:
        boxes: boxes `(M, 4)`.
        scores: scores `(M,)`, minus infinity for boxes to ignore.
        labels: labels `(M,)`.
        nms_threshold: maximum intersection over union of two detections of the same class.
        count: maximum number of detections.
        candidates: maximum number of boxes to consider, those with the highest scores.

    Returns:
        Boxes `(D, 4)`, scores `(D,)` descending and labels `(D,)`, where D is the smaller of `count` and M. Unused rows
        are 0.
    """
    scores, boxes, labels = best_of(scores, candidates, boxes, labels)
    scores = suppressed(boxes, scores, nms_threshold, labels)
    scores, boxes, labels = best_of(scores, count, boxes, labels)
    found = scores.isfinite()
    return boxes * found[:, None], scores.where(found, 0.0), labels * found
