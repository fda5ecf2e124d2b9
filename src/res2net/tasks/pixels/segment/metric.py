"""Metrics of semantic segmentation: intersection over union of regions and of boundaries, and accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import multiclass_confusion_matrix

from res2net.errors import InputError
from res2net.images.samples import UNLABELLED
from res2net.images.text import distinct_names

BOUNDARY = 0.02
"""Width of a boundary as a share of the image's diagonal (section 4 of the paper on boundary IoU)."""


class SegmentationScores(Metric):
    """`mIoU`, `boundary_mIoU`, `pixel_accuracy` and `mean_accuracy` over all pixels of a data set, and IoU by class.

    The IoU of a class is computed over the pixels of all images together, as in PASCAL VOC; the mean is over the
    classes that occur in the ground truth or in the predictions. Boundary IoU (Cheng et al., CVPR 2021) is the same
    computed on the pixels of each class that are near the border of its region or of the image.

    torchmetrics' `MeanIoU` averages over images instead, and cannot ignore pixels.

    Args:
        class_names: names of the classes, in the order of their indices; the IoU of each is `IoU/NAME`.
    """

    full_state_update = False

    confusion: Tensor
    intersection: Tensor
    """Of the boundaries of each class; so is `union`."""
    union: Tensor

    def __init__(self, class_names: Sequence[str]) -> None:
        super().__init__()
        self.class_names = distinct_names(class_names)
        count = len(self.class_names)
        for name, shape in (("confusion", (count, count)), ("intersection", (count,)), ("union", (count,))):
            self.add_state(name, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, found: Tensor, true: Tensor) -> None:
        """Add an image: its predicted and its true class map, `(H, W)`; 255 in the true map means unlabelled.

        Raises:
            InputError: the sizes differ, or a class is out of range.
        """
        found, true = found.as_subclass(Tensor).long(), true.as_subclass(Tensor).long()
        if found.shape != true.shape or found.ndim != 2:
            raise InputError(
                f"Maps of {tuple(found.shape)} and {tuple(true.shape)} do not fit: give two of (height, width)."
            )
        count = len(self.class_names)
        for values in (found, true[true != UNLABELLED]):
            if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < count:
                raise InputError(
                    f"A map has classes from {int(values.min())} to {int(values.max())}: give 0 to {count - 1}, and "
                    f"{UNLABELLED} in the truth where nothing is known."
                )
        true = true.to(found.device)
        # Unlabelled pixels count neither as a class nor as a part of a boundary.
        labelled = true != UNLABELLED
        if count > 1:
            self.confusion += multiclass_confusion_matrix(found[labelled], true[labelled], count)
        else:
            self.confusion += labelled.sum()
        width = boundary_width(*true.shape)
        for label in torch.cat([found[labelled], true[labelled]]).unique().tolist():
            near = boundary((found == label) & labelled, width)
            true_near = boundary(true == label, width)
            self.intersection[label] += (near & true_near).sum()
            self.union[label] += (near | true_near).sum()

    def compute(self) -> dict[str, Any]:
        """The scores, 0 to 1; NaN if no pixel was labelled."""
        hits = self.confusion.diagonal().double()
        true, found = self.confusion.sum(1).double(), self.confusion.sum(0).double()
        iou = hits / (true + found - hits)
        values = {
            "mIoU": _mean(iou),
            "boundary_mIoU": _mean(self.intersection.double() / self.union.double()),
            "pixel_accuracy": float(hits.sum() / true.sum()) if true.sum() else math.nan,
            "mean_accuracy": _mean(hits / true),
        }
        return values | {f"IoU/{name}": float(one) for name, one in zip(self.class_names, iou, strict=True)}


def boundary_width(height: int, width: int) -> int:
    """The width of a boundary in pixels: 2 % of the image's diagonal, at least 1."""
    return max(1, round(BOUNDARY * math.hypot(height, width)))


def boundary(mask: Tensor, width: int) -> Tensor:
    """The pixels of a mask `(H, W)` that are at most `width` steps away from a pixel outside the mask or the image.

    This is the mask minus its erosion by `width` steps with a 3 x 3 square.
    """
    outside = F.pad((~mask)[None, None].float(), (width,) * 4, value=1.0)
    # `width` erosions by 3 x 3 equal one by a square of side 2 * width + 1, which is separable into two lines.
    side = 2 * width + 1
    near = F.max_pool2d(F.max_pool2d(outside, (side, 1), 1), (1, side), 1)
    return mask & near[0, 0].bool()


def _mean(values: Tensor) -> float:
    """The mean of the values that are not NaN; NaN if there are none."""
    valid = values[~values.isnan()]
    return float(valid.mean()) if len(valid) else math.nan
