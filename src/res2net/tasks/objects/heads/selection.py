"""The best boxes of many in tensors of fixed shapes, so that a whole detector can be exported.

Non-maximum suppression keeps as many boxes as it happens to. Here it marks those it drops, and a fixed number of the
best are taken.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image, nms

__all__ = ["CANDIDATES", "best_detections", "best_of", "clipped", "suppressed"]

CANDIDATES = 4000
"""Boxes of an image that suppression looks at; which of them it keeps does not depend on worse ones."""
APART = ((-4.0, -4.0, -3.0, -3.0), (-2.0, -2.0, -1.0, -1.0))
"""Boxes outside of all images."""


def clipped(boxes: Tensor, sizes: list[tuple[int, int]], least: float) -> tuple[Tensor, Tensor]:
    """Boxes `(N, ..., 4)` within images of such (height, width), and which have no side below `least`, `(N, ...)`."""
    boxes = torch.stack([clip_boxes_to_image(some, size) for some, size in zip(boxes, sizes, strict=True)])
    return boxes, ((boxes[..., 2:] - boxes[..., :2]) >= least).all(-1)


def best_of(scores: Tensor, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The `count` highest scores of `(M,)`, descending, and the rows of tensors `(M, ...)` with the same indices.

    All of them, where there are fewer.
    """
    scores, indices = scores.topk(min(count, len(scores)))
    return scores, *(tensor[indices] for tensor in tensors)


def suppressed(boxes: Tensor, scores: Tensor, threshold: float, groups: Tensor | None = None) -> Tensor:
    """Scores `(M,)` with minus infinity for each of the boxes `(M, 4)` that overlaps with a better one.

    Args:
        boxes: in one image, coordinates from 0.
        scores: minus infinity for boxes that do not count, which then suppress none of the others.
        threshold: they overlap when their intersection over union is larger.
        groups: whole numbers `(M,)`; only boxes of a group suppress each other.
    """
    if groups is not None:  # far from each other, they cannot overlap
        boxes = boxes + (groups * (boxes.max() + 1))[:, None]
    # Torchvision's rule for exported programs wants two boxes to be kept: two are added that overlap with none.
    boxes = torch.cat([boxes, boxes.new_tensor(APART)])
    every = torch.cat([scores, scores.new_full((len(APART),), -math.inf)])
    kept = torch.zeros_like(every, dtype=torch.bool).index_fill(0, nms(boxes, every, threshold), True)
    return scores.masked_fill(~kept[: len(scores)], -math.inf)


def best_detections(
    boxes: Tensor, scores: Tensor, labels: Tensor, *, nms_threshold: float, count: int, candidates: int = CANDIDATES
) -> tuple[Tensor, Tensor, Tensor]:
    """What is left of the detections in an image after non-maximum suppression in each class.

    Args:
        boxes: `(M, 4)`.
        scores: `(M,)`, minus infinity for those that do not count.
        labels: `(M,)`.
        nms_threshold: largest intersection over union of two of a class.
        count: how many are kept at most.
        candidates: how many suppression looks at, those with the highest scores.

    Returns:
        Boxes `(D, 4)`, scores `(D,)` descending and labels `(D,)`; D is `count`, or M where that is less. Rows without
        a detection are all 0.
    """
    scores, boxes, labels = best_of(scores, candidates, boxes, labels)
    scores = suppressed(boxes, scores, nms_threshold, labels)
    scores, boxes, labels = best_of(scores, count, boxes, labels)
    found = scores.isfinite()
    return boxes * found[:, None], scores.where(found, 0.0), labels * found
