"""What a user can choose for the task panoptic; nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from res2net.options import check_ranges
from res2net.tasks.objects.options import ObjectOptions


@dataclass(frozen=True)
class PanopticOptions(ObjectOptions):
    """How images are divided into things and stuff, and how that is trained."""

    adjustable: ClassVar[tuple[str, ...]] = ("segment_score", "segment_overlap", "stuff_area", "scale_stuff_area")

    data_help: ClassVar[str] = (
        'images with things and stuff in COCO panoptic format, or the synthetic data set "shapes"'
    )

    detector: Literal["panoptic_fpn"] = "panoptic_fpn"
    """The network that finds things and stuff."""
    stuff_channels: int = 128
    """Channels of the branch for stuff."""
    stuff_weight: float = 0.5
    """Weight of the loss of stuff beside the losses of things."""
    segment_score: float = 0.5
    """Things with a lower score become no segment."""
    segment_overlap: float = 0.5
    """Nor do things of which a larger share of pixels belongs to things with higher scores."""
    stuff_area: int = 4096
    """Minimum area of a segment of stuff, pixels."""
    scale_stuff_area: bool = True
    """That area is for an image of 640 x 480 and shrinks and grows with the image; else it is the same for all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, stuff_channels=(1, 1 << 16), stuff_weight=(0, 1000))
        check_ranges(self, segment_score=(0, 1), segment_overlap=(0, 1), stuff_area=(0, 1 << 30))
