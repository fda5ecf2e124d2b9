"""What a user can choose for the task detect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from res2net.errors import check_choice
from res2net.tasks.objects.options import ObjectOptions

__all__ = ["DetectOptions"]


@dataclass(frozen=True)
class DetectOptions(ObjectOptions):
    """How objects are found, and how that is trained."""

    detectors: ClassVar[tuple[str, ...]] = ("faster_rcnn", "faster_rcnn_c4", "retinanet", "fcos", "cascade_rcnn")
    metrics: ClassVar[tuple[str, ...]] = ("coco", "voc07", "voc")

    detector: str = "faster_rcnn"
    """faster_rcnn, faster_rcnn_c4 (the paper's), retinanet, fcos, or cascade_rcnn."""
    metric: str = "coco"
    """Average precision as it is counted by coco, by voc07 (PASCAL VOC 2007, at eleven points of recall), or by voc
    (from 2010, the area below the curve)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("Metric", self.metric, self.metrics)
