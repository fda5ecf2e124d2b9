"""Poses that were found more than once: of those that are nearly the same only the highest-scoring one is kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SAME_POSE = 0.9
"""Similarity above which two poses are the same one (the published code of SimpleBaseline)."""


def pose_similarity(points: Tensor, areas: Tensor, sigmas: Sequence[float]) -> Tensor:
    """COCO's object keypoint similarity of each pose with each other, `(m, m)`, from 0 to 1.

    The mean over all points of `exp(-d² / (2 area (2 sigma)²))`, where d is how far they lie apart and the area is the
    mean of both poses'. The arguments are those of `oks_nms`; areas are above 0.
    """
    points, areas = points.double(), areas.double()
    apart = (points[:, None] - points[None]).square().sum(-1)
    area = (areas[:, None] + areas[None]) / 2
    spread = 2 * area[..., None] * (2 * points.new_tensor(sigmas)).square()
    return torch.exp(-apart / spread).mean(-1)


def oks_nms(
    points: Tensor,
    scores: Tensor,
    areas: Tensor,
    sigmas: Sequence[float],
    labels: Tensor | None = None,
    threshold: float = SAME_POSE,
) -> Tensor:
    """Non-maximum suppression by keypoints: which poses stay, `(m,)` bool.

    The highest-scoring pose is kept, and those that are more than `threshold` similar to it are dropped; then the
    highest-scoring one of the rest is kept, and so on, as in the published code of SimpleBaseline (Xiao et
    al., ECCV 2018). Of equal scores the first counts as the highest.

    Args:
        points: `(m, k, 2)`, pixels of the same image.
        scores: `(m,)`.
        areas: `(m,)`, square pixels; in the published code those of the crops.
        sigmas: of each of the k points, as of `OksAP`.
        labels: `(m,)`: poses of other classes are never the same.
        threshold: similarity, 0 to 1.
    """
    same = pose_similarity(points, areas, sigmas) > threshold
    if labels is not None:
        same &= labels[:, None] == labels[None]
    stay = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    order = scores.argsort(descending=True, stable=True)
    for rank, one in enumerate(order.tolist()):
        if stay[one]:
            later = order[rank + 1 :]
            stay[later] &= ~same[one, later]
    return stay
