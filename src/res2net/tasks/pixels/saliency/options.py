"""What a user can choose for the task saliency."""

from __future__ import annotations

from dataclasses import dataclass

from res2net.errors import check_choice, check_range
from res2net.tasks.pixels.options import PixelOptions

__all__ = ["SaliencyOptions"]

REDUCTIONS = ("mean", "sum")


@dataclass(frozen=True)
class SaliencyOptions(PixelOptions):
    """How salient objects are found, and how that is trained."""

    decoder: str = "poolnet"
    """poolnet, poolnet_edges (which learns outlines too), dss, or one that the task segment has."""
    reduction: str = "mean"
    """The cross entropy of an image is the mean over its pixels, or their sum as in the papers."""
    iou_weight: float = 0.0
    """Weight of one less the intersection over union beside the cross entropy; 0 leaves it out."""
    edge_weight: float = 1.0
    """Weight of outlines beside masks, where a decoder learns both."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("Reduction", self.reduction, REDUCTIONS)
        check_range("iou weight", self.iou_weight, 0, 1e9)
        check_range("edge weight", self.edge_weight, 0, 1e9)
