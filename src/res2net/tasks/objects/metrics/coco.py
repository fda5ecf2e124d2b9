"""COCO's average precision and recall of boxes and masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import box_convert

from res2net.errors import InputError, check_choice
from res2net.tasks.objects.metrics.cocoeval import BOX_NUMBERS, evaluate
from res2net.tasks.objects.metrics.image_metric import Field, ImageMetric, check_labels, entry, of_objects, pairs
from res2net.tasks.objects.metrics.masks import areas, encode, pack, unpack

__all__ = ["KINDS", "CocoAP", "area_of"]

KINDS = {"bbox": "box", "segm": "mask"}
"""What can be evaluated, by COCO's name, and the prefix of its metrics."""

_FIELDS: dict[str, Field] = {
    "scores": (torch.float32, ()),
    "labels": (torch.int64, ()),
    "object_labels": (torch.int64, ()),
    "crowd": (torch.uint8, ()),
    "area": (torch.float32, ()),
}
_BOXES: dict[str, Field] = {"boxes": (torch.float32, (4,)), "object_boxes": (torch.float32, (4,))}
_MASKS: dict[str, Field] = {
    "size": (torch.int64, ()),
    "masks": (torch.uint8, ()),
    "mask_lengths": (torch.int64, ()),
    "object_masks": (torch.uint8, ()),
    "object_mask_lengths": (torch.int64, ()),
}


class CocoAP(ImageMetric):
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
        kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        if not kinds:
            raise InputError("There are no kinds to measure: give 'bbox', 'segm' or both.")
        for kind in kinds:
            check_choice("Kind of average precision", kind, KINDS)
        super().__init__(
            _FIELDS | (_BOXES if "bbox" in kinds else {}) | (_MASKS if "segm" in kinds else {}),
        )
        self.kinds = kinds
        self.class_names = tuple(class_names)
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
        for image_id, result, target in pairs(results, targets):
            labels = entry(result, "labels", "result", (-1,))
            object_labels = entry(target, "labels", "target", (-1,))
            check_labels(labels, self.class_names, "result")
            check_labels(object_labels, self.class_names, "target")
            count = len(object_labels)
            crowd = of_objects(target, "crowd", "target", count) if "crowd" in target else torch.zeros(count)
            values = {
                "scores": of_objects(result, "scores", "result", len(labels)),
                "labels": labels,
                "object_labels": object_labels,
                "crowd": crowd,
            }
            if "bbox" in self.kinds:
                values["boxes"] = of_objects(result, "boxes", "result", len(labels), (4,))
                values["object_boxes"] = of_objects(target, "boxes", "target", count, (4,))
            masks = None
            if "segm" in self.kinds:
                masks = _masks(target, "target", count)
                values |= _packed(_masks(result, "result", len(labels)), masks)
            values["area"] = area_of(target, count, masks)
            self.keep(image_id, values)

    def compute(self) -> dict[str, float]:
        """The metrics by name, from 0 to 1 or NaN."""
        images: list[dict[str, Any]] = []
        objects: list[dict[str, Any]] = []
        detections: list[dict[str, Any]] = []
        for image_id, image in self.kept():
            images.append({"id": image_id})
            if "segm" in self.kinds:
                images[-1]["height"], images[-1]["width"] = image["size"].tolist()
            objects += self._annotations(images[-1], image, "object_")
            detections += self._annotations(images[-1], image, "")
        values: dict[str, float] = {}
        for kind in self.kinds:
            for one in detections:
                one["area"] = one[f"{kind}_area"]
            numbers, by_class = evaluate(kind, images, objects, detections, self.class_names)
            values |= {f"{KINDS[kind]}_{name}": numbers[name] for name in BOX_NUMBERS}
            if self.class_metrics:
                values |= {f"{KINDS[kind]}_AP/{name}": value for name, value in by_class.items()}
        return values

    def detections(self) -> Iterator[dict[str, Any]]:
        """Yield all detections in COCO's results format, except that `category_id` is the index of the class.

        The entries (https://cocodataset.org/#format-results) are `image_id`, `category_id`, `score`, and by kind `bbox`
        (left, top, width, height) and `segmentation` (run lengths).
        """
        for image_id, arrays in self.kept():
            image: dict[str, Any] = {"id": image_id}
            if "segm" in self.kinds:
                image["height"], image["width"] = arrays["size"].tolist()
            for one in self._annotations(image, arrays, ""):
                found: dict[str, Any] = {
                    name: one[name] for name in ("image_id", "category_id", "bbox", "score") if name in one
                }
                if "segmentation" in one:
                    found["segmentation"] = one["segmentation"] | {"counts": one["segmentation"]["counts"].decode()}
                yield found

    def _annotations(self, image: Mapping[str, Any], arrays: Mapping[str, Tensor], prefix: str) -> list[dict[str, Any]]:
        """The objects of an image, or its detections if the prefix is empty, in COCO's form."""
        columns: dict[str, list[Any]] = {"category_id": arrays[f"{prefix}labels"].tolist()}
        if prefix:
            columns |= {"iscrowd": arrays["crowd"].tolist(), "area": arrays["area"].tolist()}
        else:
            columns["score"] = arrays["scores"].tolist()
        if "bbox" in self.kinds:
            boxes = box_convert(arrays[f"{prefix}boxes"].double(), "xyxy", "xywh")
            columns |= {"bbox": boxes.tolist(), "bbox_area": boxes[:, 2:].prod(1).tolist()}
        if "segm" in self.kinds:
            size = (image["height"], image["width"])
            counts = unpack(arrays[f"{prefix}masks"], arrays[f"{prefix}mask_lengths"])
            columns["segmentation"] = [{"size": list(size), "counts": one} for one in counts]
            columns["segm_area"] = areas(size, counts).tolist()
        rows = zip(*columns.values(), strict=True)
        return [{"image_id": image["id"], **dict(zip(columns, row, strict=True))} for row in rows]


def area_of(
    target: Mapping[str, Any], count: int, masks: tuple[tuple[int, int] | None, list[bytes]] | None = None
) -> Tensor:
    """The area `(n,)` of each object: `area` of the target if present, else the area of its mask, else of its box.

    Args:
        target: the target of an image.
        count: the number of its objects.
        masks: the encoded masks of the target, if they are available already.
    """
    if "area" in target:
        return of_objects(target, "area", "target", count)
    if masks is not None or "masks" in target:
        size, counts = masks or _masks(target, "target", count)
        return torch.from_numpy(areas(size or (0, 0), counts)).float()
    boxes = of_objects(target, "boxes", "target", count, (4,))
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _masks(of: Mapping[str, Any], what: str, count: int) -> tuple[tuple[int, int] | None, list[bytes]]:
    if "masks" not in of:
        raise InputError(f"A {what} has no 'masks': it has {', '.join(of) or 'nothing'}.")
    size, counts = encode(of["masks"], what)
    if len(counts) != count:
        raise InputError(f"A {what} has {len(counts)} 'masks' for {count} labels: give one for each object.")
    return size, counts


def _packed(
    found: tuple[tuple[int, int] | None, list[bytes]], true: tuple[tuple[int, int] | None, list[bytes]]
) -> dict[str, Tensor]:
    """The values of the fields in `_MASKS`."""
    (size, counts), (true_size, true_counts) = found, true
    if counts and true_counts and size != true_size:
        raise InputError(f"Masks of a result are {size} and of its target {true_size}: give both the image's size.")
    masks, lengths = pack(counts)
    true_masks, true_lengths = pack(true_counts)
    return {
        "size": torch.tensor((size if counts else true_size) or (0, 0)),
        "masks": masks,
        "mask_lengths": lengths,
        "object_masks": true_masks,
        "object_mask_lengths": true_lengths,
    }
