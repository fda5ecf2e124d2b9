"""The options of the task saliency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from res2net.options import check_ranges
from res2net.tasks.pixels.options import MaskPredictOptions, PixelOptions


@dataclass(frozen=True)
class SaliencyOptions(PixelOptions):
    """The decoder and the loss of salient object detection."""

    adjustable: ClassVar[tuple[str, ...]] = (*PixelOptions.adjustable, "mask_threshold")

    data_help: ClassVar[str] = (
        "folders images/ and masks/ (white is salient) with files of the same names, as in DUTS, ECSSD, HKU-IS, "
        'MSRA-B and SOD, or the synthetic data set "shapes"'
    )

    decoder: str = "poolnet"
    """poolnet, poolnet_aligned (resized as in its code), poolnet_edges (which also learns outlines), dss, or a
    decoder of the task segment."""
    reduction: Literal["mean", "sum"] = "mean"
    """Reduction of the cross entropy over the pixels of an image: mean, or sum as in the papers."""
    iou_weight: float = 0.0
    """Weight of the IoU loss (1 - IoU) that is added to the cross entropy; 0 leaves it out."""
    edge_weight: float = 1.0
    """Weight of the loss of outlines, where a decoder learns them too."""

    mask_threshold: float = 0.5
    """Saliency from which a pixel belongs to the mask and the box of results; maps and measures have all values."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, mask_threshold=(0.001, 1), iou_weight=(0, 1e9), edge_weight=(0, 1e9))


PredictOptions = MaskPredictOptions
