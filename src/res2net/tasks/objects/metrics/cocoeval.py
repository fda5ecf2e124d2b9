"""COCO's evaluation of boxes, masks and keypoints, computed by faster-coco-eval, and the names of its metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

__all__ = ["BOX_NUMBERS", "KEYPOINT_NUMBERS", "evaluate"]

BOX_NUMBERS = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
)
"""Names of the metrics of boxes and masks, in the order of COCO's summary."""
KEYPOINT_NUMBERS = (
    *("AP", "AP50", "AP75", "AP_medium", "AP_large"),
    *("AR", "AR50", "AR75", "AR_medium", "AR_large"),
)
"""Names of the metrics of keypoints, in the order of COCO's summary."""


def evaluate(
    kind: str,
    images: Sequence[Mapping[str, Any]],
    objects: Sequence[dict[str, Any]],
    detections: Sequence[dict[str, Any]],
    class_names: Sequence[str],
    sigmas: Sequence[float] | None = None,
) -> tuple[dict[str, float], dict[str, float]]:
    """Compute COCO's summary of detections, and the AP of each class, all from 0 to 1.

    Args:
        kind: "bbox", "segm" or "keypoints".
        images: all images of the data set, also those without objects: `id`, and for masks `height` and `width`.
        objects: annotations in COCO's form, where `category_id` is the index of the class in `class_names`.
        detections: detections in COCO's form, with a `score`.
        class_names: names of all classes.
        sigmas: the OKS sigma of each keypoint.

    Returns:
        The metrics by name, and the AP by class; NaN if no object counts, for example for a size that no object has.
    """
    names = KEYPOINT_NUMBERS if kind == "keypoints" else BOX_NUMBERS
    if not objects:
        return dict.fromkeys(names, math.nan), dict.fromkeys(class_names, math.nan)
    categories = [{"id": index, "name": name} for index, name in enumerate(class_names)]
    truth, found = (
        # Ids of annotations start at 1, since 0 means no match.
        COCO(
            {
                "images": list(images),
                "categories": categories,
                "annotations": [{"id": number, **one} for number, one in enumerate(annotations, 1)],
            }
        )
        for annotations in (objects, detections)
    )
    evaluation = COCOeval_faster(truth, found, kind, kpt_oks_sigmas=None if sigmas is None else list(sigmas))
    evaluation.run()
    # (thresholds of IoU, levels of recall, classes, sizes, most detections)
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]
    by_class = dict.fromkeys(class_names, math.nan)
    for index, category in enumerate(evaluation.params.catIds):
        by_class[class_names[category]] = _mean(precision[:, :, index])
    numbers = evaluation.all_stats[: len(names)]
    return {name: _number(value) for name, value in zip(names, numbers, strict=True)}, by_class


def _number(value: float) -> float:
    """Convert COCO's -1, which means that there is no value, to NaN."""
    return math.nan if value == -1 else float(value)


def _mean(precision: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    counted = precision[precision > -1]
    return float(counted.mean()) if counted.size else math.nan
