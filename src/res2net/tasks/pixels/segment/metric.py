"""Intersection over union of classes of pixels: of whole regions, and of their boundaries."""

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

__all__ = ["SegmentationScores", "boundary", "boundary_width"]

BOUNDARY = 0.02
"""Width of a boundary as a share of the image's diagonal (section 4 of the paper on boundary IoU)."""


class SegmentationScores(Metric):
    """`mIoU`, `boundary_mIoU`, `pixel_accuracy` and `mean_accuracy` of all pixels of a data set, and the IoU by class.

    An IoU is that of the pixels of all images together, as PASCAL VOC has it; the mean is over the classes that
    occur in the truth or in what was found. Boundary IoU (Cheng et al., CVPR 2021) is the same, of the pixels of each
    class that are near the border of its region or of the image.

    torchmetrics' `MeanIoU` takes the mean over images, and cannot leave out pixels.

    Args:
        class_names: of the values of maps.
        by_class: also give `IoU/NAME` for each class that occurs.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    confusion: Tensor
    shared: Tensor
    united: Tensor

    def __init__(self, class_names: Sequence[str], *, by_class: bool = False) -> None:
        super().__init__()
        self.class_names = tuple(class_names)
        self.by_class = by_class
        count = len(self.class_names)
        self.add_state("confusion", torch.zeros(count, count, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("shared", torch.zeros(count, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("united", torch.zeros(count, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, found: Tensor, true: Tensor) -> None:
        """Add an image: two maps of classes `(H, W)`; in the true one 255 is unlabelled.

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
        # A pixel that counts nowhere is no class of its own, and its boundary none.
        labelled = true != UNLABELLED
        if count > 1:
            self.confusion += multiclass_confusion_matrix(found[labelled], true[labelled], count)
        else:
            self.confusion += labelled.sum()
        width = boundary_width(*true.shape)
        for label in torch.cat([found[labelled], true[labelled]]).unique().tolist():
            near = boundary((found == label) & labelled, width)
            true_near = boundary(true == label, width)
            self.shared[label] += (near & true_near).sum()
            self.united[label] += (near | true_near).sum()

    def compute(self) -> dict[str, Any]:
        """The numbers, 0 to 1; NaN where no pixel was labelled."""
        hits = self.confusion.diagonal().double()
        true, found = self.confusion.sum(1).double(), self.confusion.sum(0).double()
        iou = hits / (true + found - hits)
        values = {
            "mIoU": _mean(iou),
            "boundary_mIoU": _mean(self.shared.double() / self.united.double()),
            "pixel_accuracy": float(hits.sum() / true.sum()) if true.sum() else math.nan,
            "mean_accuracy": _mean(hits / true),
        }
        if self.by_class:
            values |= {f"IoU/{name}": float(one) for name, one in zip(self.class_names, iou, strict=True)}
        return values


def boundary_width(height: int, width: int) -> int:
    """Pixels of the width of a boundary: 2 % of the diagonal, 1 at least."""
    return max(1, round(BOUNDARY * math.hypot(height, width)))


def boundary(mask: Tensor, width: int) -> Tensor:
    """The pixels of a mask `(H, W)` that are at most `width` steps away from what is outside of it, or of the image.

    It is the mask without what is left of it after `width` erosions by a square of 3 x 3.
    """
    outside = F.pad((~mask)[None, None].float(), (width,) * 4, value=1.0)
    # Two passes of lines are one of a square, and `width` erosions by 3 x 3 are one by 2 x width + 1.
    side = 2 * width + 1
    near = F.max_pool2d(F.max_pool2d(outside, (side, 1), 1), (1, side), 1)
    return mask & near[0, 0].bool()


def _mean(values: Tensor) -> float:
    """Of the numbers among them; NaN of none."""
    counted = values[~values.isnan()]
    return float(counted.mean()) if len(counted) else math.nan
