"""COCO's average precision and recall of boxes and masks, computed by faster-coco-eval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as coco_mask
from torch import Tensor
from torchvision.ops import box_convert

from res2net.errors import InputError, check_choice
from res2net.images.run_lengths import run_lengths
from res2net.images.text import distinct_names
from res2net.tasks.objects.metrics.image_metric import ImageMetric, object_entries, objects_entry, pairs

KINDS = {"bbox": "box", "segm": "mask"}
"""What can be evaluated, by COCO's name, and the prefix of its metrics."""
ENTRIES = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints"}
"""The entry of COCO's results that is evaluated."""
BOX_NUMBERS = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
)
"""Names of the metrics of boxes and masks, in the order of COCO's summary."""
KEYPOINT_NUMBERS = tuple(f"{kind}{part}" for kind in ("AP", "AR") for part in ("", "50", "75", "_medium", "_large"))
"""Names of the metrics of keypoints, in the order of COCO's summary."""


class CocoMetric(ImageMetric):
    """A metric of COCO. The record of an image has its `size`, and its `objects` and `detections` in COCO's form.

    There, `category_id` is the index of the class in `class_names`.
    """

    class_names: tuple[str, ...]

    def detections(self) -> Iterator[dict[str, Any]]:
        """Yield all detections in COCO's results format, except that `category_id` is the index of the class.

        The entries (https://cocodataset.org/#format-results) are `image_id`, `category_id`, `score`, and what there is
        of `bbox` (left, top, width, height), `segmentation` (run lengths) and `keypoints` (x, y, 1), which count pixels
        from 0.
        """
        for image_id, image in self.kept():
            for one in image["detections"]:
                yield {"image_id": image_id, **one}

    def evaluate(
        self, kept: Iterable[tuple[int, Mapping[str, Any]]], kind: str, sigmas: Sequence[float] = ()
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Compute COCO's summary of all images, and the AP of each class, all from 0 to 1.

        Args:
            kept: what `kept` yields, which takes long enough to be asked for once.
            kind: "bbox", "segm" or "keypoints".
            sigmas: the OKS sigma of each keypoint.

        Returns:
            The metrics by name, and the AP by class; NaN if no object counts, for example for a size that no object
            has.
        """
        names = KEYPOINT_NUMBERS if kind == "keypoints" else BOX_NUMBERS
        by_class = dict.fromkeys(self.class_names, math.nan)
        # One entry alone, since the size of a detection is that of its box if it has one.
        entries = ("category_id", "score", ENTRIES[kind])
        images, objects, detections = [], [], []
        for image_id, image in kept:
            height, width = image["size"]
            images.append({"id": image_id, "height": height, "width": width})
            objects += [{"image_id": image_id, **one} for one in image["objects"]]
            detections += [
                {"image_id": image_id, **{name: one[name] for name in entries}} for one in image["detections"]
            ]
        if not objects:
            return dict.fromkeys(names, math.nan), by_class
        truth = COCO(
            {
                "images": images,
                "categories": [{"id": index, "name": name} for index, name in enumerate(self.class_names)],
                # Ids of annotations start at 1, since 0 means no match.
                "annotations": [{"id": number, **one} for number, one in enumerate(objects, 1)],
            }
        )
        evaluation = COCOeval_faster(truth, truth.loadRes(detections), kind, kpt_oks_sigmas=list(sigmas) or None)
        evaluation.run()
        # (thresholds of IoU, levels of recall, classes, sizes, most detections)
        precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]
        for index, category in enumerate(evaluation.params.catIds):
            counted = precision[:, :, index][precision[:, :, index] > -1]
            by_class[self.class_names[category]] = float(counted.mean()) if counted.size else math.nan
        # COCO writes -1 where there is no value
        numbers = (math.nan if value == -1 else float(value) for value in evaluation.all_stats[: len(names)])
        return dict(zip(names, numbers, strict=True)), by_class


class CocoAP(CocoMetric):
    """COCO's twelve metrics of boxes, of masks, or of both, computed by faster-coco-eval.

    `compute` returns fractions from 0 to 1: `box_AP` (mean over IoU 0.50 to 0.95), `box_AP50`, `box_AP75`,
    `box_AP_small`, `box_AP_medium`, `box_AP_large` (areas up to 32², up to 96², and larger), `box_AR_1`, `box_AR_10`,
    `box_AR_100` (recall with at most that many detections per image), `box_AR_small`, `box_AR_medium` and
    `box_AR_large`; and the same for masks with the prefix `mask_`. A metric without any object to compute it on, where
    COCO writes -1, is NaN, so that tables and logs keep their columns.

    As in COCO, a `crowd` object does not have to be detected, and detections that match it are ignored. The size of an
    object is its `area`; the size of a detection is that of its box or mask. The metrics only equal COCO's if results
    and targets are in pixels of the original image.

    torchmetrics' MeanAveragePrecision is not used because for masks alone it ignores images without objects and their
    detections, it rounds thresholds to float32, and it only takes masks as whole images.

    Args:
        kinds: "bbox", "segm" or both.
        class_names: names of all classes.
        class_metrics: also compute the AP of each class, named `box_AP/dog`.
    """

    def __init__(self, kinds: Sequence[str], class_names: Sequence[str], class_metrics: bool = False) -> None:
        super().__init__()
        self.kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        if not self.kinds:
            raise InputError("There are no kinds to measure: give 'bbox', 'segm' or both.")
        for kind in self.kinds:
            check_choice("Kind of average precision", kind, KINDS)
        self.class_names = distinct_names(class_names)
        self.class_metrics = class_metrics

    def update(self, results: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Add images, a result and a target for each.

        Args:
            results: `scores` `(m,)`, `labels` `(m,)` from 0, and by kind `boxes` `(m, 4)` XYXY and `masks`: bool
                `(m, H, W)` or a list of COCO's run lengths `{"size", "counts"}`.
            targets: `image_id`, `labels` `(n,)`, `boxes` and `masks` as in results, and optionally `crowd` `(n,)` and
                `area` `(n,)`; by default the area is that of the mask or of the box.

        Raises:
            InputError: an entry is missing or has a wrong shape.
        """
        shapes = {"boxes": (4,)} if "bbox" in self.kinds else {}
        for image_id, result, target in pairs(results, targets):
            found = object_entries(result, "result", self.class_names, {"scores": (), **shapes})
            true = object_entries(target, "target", self.class_names, shapes)
            detections: dict[str, Any] = {"category_id": found["labels"]}
            objects: dict[str, Any] = {"category_id": true["labels"], "iscrowd": true["crowd"].int()}
            size: Sequence[int] = (0, 0)
            if "bbox" in self.kinds:
                for columns, given in ((detections, found), (objects, true)):
                    columns["bbox"] = box_convert(given["boxes"].float().double(), "xyxy", "xywh")
            detections["score"] = found["scores"].float()
            if "segm" in self.kinds:
                masks = _masks(result, "result", len(found["labels"]))
                true_masks = _masks(target, "target", len(true["labels"]))
                sizes = [group[0]["size"] for group in (masks, true_masks) if group]
                if len(sizes) > 1 and sizes[0] != sizes[1]:
                    raise InputError(
                        f"Masks of a result are {tuple(sizes[0])} and of its target {tuple(sizes[1])}: give both the "
                        "image's size."
                    )
                size = sizes[0] if sizes else size
                detections["segmentation"], objects["segmentation"] = masks, true_masks
                target = {**target, "masks": true_masks}
            objects["area"] = area_of(target, len(true["labels"]))
            self.keep(image_id, {"size": size, "objects": rows(objects), "detections": rows(detections)})

    def compute(self) -> dict[str, float]:
        """The metrics by name, from 0 to 1 or NaN."""
        values: dict[str, float] = {}
        kept = list(self.kept())
        for kind in self.kinds:
            numbers, by_class = self.evaluate(kept, kind)
            values |= {f"{KINDS[kind]}_{name}": value for name, value in numbers.items()}
            if self.class_metrics:
                values |= {f"{KINDS[kind]}_AP/{name}": value for name, value in by_class.items()}
        return values


def rows(columns: Mapping[str, Tensor | Sequence[Any]]) -> list[dict[str, Any]]:
    """A dictionary for each object, with its value in each column."""
    lists = [column.tolist() if isinstance(column, Tensor) else column for column in columns.values()]
    return [dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True)]


def area_of(target: Mapping[str, Any], count: int) -> Tensor:
    """The area `(count,)` of each object: `area` of the target if present, else that of its mask, else of its box."""
    if "area" in target:
        return objects_entry(target, "area", "target", count).float()
    if "masks" in target:
        return torch.tensor([float(coco_mask.area(mask)) for mask in _masks(target, "target", count)])
    boxes = objects_entry(target, "boxes", "target", count, (4,))
    return ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).float()


def _masks(of: Mapping[str, Any], what: str, count: int) -> list[dict[str, Any]]:
    """The masks of a result or a target as COCO's run lengths, which take some hundred bytes instead of an image."""
    if "masks" not in of:
        raise InputError(f"A {what} has no 'masks': it has {', '.join(of) or 'nothing'}.")
    masks = of["masks"]
    if isinstance(masks, Tensor):
        if masks.ndim != 3 or masks.dtype not in (torch.bool, torch.uint8):
            raise InputError(
                f"Masks of a {what} are {masks.dtype} of shape {tuple(masks.shape)}: "
                "give bool of shape (objects, height, width), in the size of the image."
            )
        masks = [run_lengths(mask) for mask in masks.as_subclass(Tensor).cpu().numpy()]
    elif not all(isinstance(one, Mapping) and isinstance(one.get("counts"), str | bytes) for one in masks):
        raise InputError(
            f"Masks of a {what} are neither a tensor nor compressed run lengths: give COCO's size and counts."
        )
    sizes = {tuple(map(int, one["size"])) for one in masks}
    if len(sizes) > 1:
        raise InputError(f"Masks of a {what} have sizes {sorted(sizes)}: give all the size of the image.")
    if len(masks) != count:
        raise InputError(f"A {what} has {len(masks)} 'masks' for {count} labels: give one for each object.")
    return [
        {
            "size": [int(side) for side in one["size"]],
            "counts": one["counts"] if isinstance(one["counts"], str) else one["counts"].decode(),
        }
        for one in masks
    ]
