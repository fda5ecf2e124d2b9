"""Things and stuff merged: every pixel of an image belongs to one segment, or to none."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import resize_boxes

from res2net.errors import InputError, check_range
from res2net.tasks.objects.segments import Segment

__all__ = ["STUFF_AREA", "merge_segments"]

STUFF_AREA = 4096
"""Pixels that a segment of stuff has at least (the published code), in an image of the usual size of COCO's."""
USUAL_AREA = 640 * 480
"""Pixels of such an image."""


def merge_segments(
    detections: Mapping[str, Tensor],
    semantic: Tensor,
    size: tuple[int, int] | None = None,
    *,
    score_threshold: float = 0.5,
    overlap: float = 0.5,
    stuff_area: float = STUFF_AREA,
    scaled: bool = False,
) -> tuple[Tensor, list[Segment]]:
    """The segments of one image (Kirillov et al., "Panoptic Feature Pyramid Networks", CVPR 2019, section 3.1).

    Things come first, by score: of each its mask without the pixels that others have already, unless those are too
    large a share of it. Stuff has what is left, but for classes with few pixels. No segment has a pixel that stays
    over, or that the semantic branch takes for a thing which was not detected.

    Args:
        detections: `boxes` `(m, 4)`, `scores` `(m,)`, `labels` `(m,)`, `masks` `(m, s, s)` within the boxes, in pixels
            of `semantic`.
        semantic: logits `(C, h, w)` of classes of stuff; the last is that of all things.
        size: height and width of the result, by default those of `semantic`.
        score_threshold: detections below are left out.
        overlap: share of a mask that others may have already, at most.
        stuff_area: pixels that a class of stuff has at least.
        scaled: whether that is for an image of 640 x 480 pixels, and grows and shrinks with the image.

    Returns:
        A map `(H, W)` int64 of ids, 0 where there is no segment, and the segments; an id is the index in that list,
        counted from 1. The score of stuff is the mean probability of its pixels.

    Raises:
        InputError: shapes do not fit, or an option is out of range.
    """
    check_range("score_threshold", score_threshold, 0, 1)
    check_range("overlap", overlap, 0, 1)
    check_range("stuff_area", stuff_area, 0)
    _check(detections, semantic)
    now = (semantic.shape[-2], semantic.shape[-1])
    size = size or now
    boxes = resize_boxes(detections["boxes"], now, size)
    ids = torch.zeros(size, dtype=torch.int64, device=semantic.device)
    segments: list[Segment] = []
    order = detections["scores"].argsort(descending=True, stable=True).tolist()
    for index in order:
        score = float(detections["scores"][index])
        if score < score_threshold:
            break
        # One after the other: a hundred masks of a photo are a gigabyte.
        mask = (
            paste_masks_in_image(detections["masks"][index][None, None].float(), boxes[index][None], size)[0, 0] > 0.5
        )
        free = mask & (ids == 0)
        area, left = int(mask.sum()), int(free.sum())
        if left == 0 or area - left > overlap * area:
            continue
        segments.append(_segment(len(segments) + 1, detections["labels"][index], True, score, left))
        ids[free] = len(segments)
    _add_stuff(ids, segments, semantic, stuff_area * (size[0] * size[1] / USUAL_AREA if scaled else 1))
    return ids, segments


def _add_stuff(ids: Tensor, segments: list[Segment], semantic: Tensor, least: float) -> None:
    """Give the pixels without a segment to those of stuff, in place."""
    height, width = ids.shape
    logits = semantic.float()
    if tuple(logits.shape[1:]) != (height, width):
        logits = F.interpolate(logits[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    probability, classes = logits.softmax(0).max(0)
    free = ids == 0
    count = len(semantic)
    areas = classes[free].bincount(minlength=count)[:-1]
    certainty = classes[free].bincount(probability[free].double(), minlength=count)[:-1]
    id_of = torch.zeros(count, dtype=torch.int64, device=ids.device)
    for label in (areas >= max(least, 1)).nonzero()[:, 0].tolist():
        area = int(areas[label])
        segments.append(_segment(len(segments) + 1, label, False, float(certainty[label]) / area, area))
        id_of[label] = len(segments)
    ids[free] = id_of[classes[free]]


def _segment(number: int, label: int | Tensor, thing: bool, score: float, area: int) -> Segment:
    return {"id": number, "label": int(label), "thing": thing, "score": score, "area": area}


def _check(detections: Mapping[str, Tensor], semantic: Tensor) -> None:
    shapes = {name: tuple(detections[name].shape) for name in ("boxes", "scores", "labels", "masks")}
    count = len(detections["scores"])
    fit = [shapes["boxes"] == (count, 4), shapes["labels"] == (count,), shapes["masks"][:1] == (count,)]
    if semantic.ndim != 3 or not all(fit) or detections["masks"].ndim != 3:
        raise InputError(
            f"Detections of shapes {shapes} and a semantic map {tuple(semantic.shape)} do not fit: give (m, 4), (m,), "
            "(m,) and (m, s, s), and (C, h, w)."
        )
