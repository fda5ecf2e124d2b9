"""What a user can choose for the task instance; nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from res2net.options import check_ranges
from res2net.tasks.objects.options import ObjectEvalOptions, ObjectOptions, ObjectPredictOptions


@dataclass(frozen=True)
class InstanceOptions(ObjectOptions):
    """How objects and their masks are found, and how that is trained."""

    data_help: ClassVar[str] = (
        "images with object masks in COCO, PASCAL VOC, YOLO, LabelMe, Label Studio or Penn-Fudan format, "
        'or the synthetic data set "shapes"'
    )
    everyday: ClassVar[tuple[str, ...]] = ("detector", "max_size", "flip", "copy_paste", "freeze", "freeze_norms")

    detector: Literal["mask_rcnn", "cascade_mask_rcnn"] = "mask_rcnn"
    """The network that finds the objects."""
    copy_paste: float = 0.0
    """Probability of pasting objects of another image (Ghiasi et al., 2021)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, copy_paste=(0, 1))


PredictOptions = ObjectPredictOptions
EvalOptions = ObjectEvalOptions
