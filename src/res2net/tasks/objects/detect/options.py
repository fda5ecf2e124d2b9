"""What a user can choose for the task detect; nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from res2net.errors import InputError
from res2net.tasks.objects.options import ObjectEvalOptions, ObjectOptions, ObjectPredictOptions


@dataclass(frozen=True)
class DetectOptions(ObjectOptions):
    """How objects are found, and how that is trained."""

    data_help: ClassVar[str] = (
        "images with boxes in COCO, PASCAL VOC, YOLO, LabelMe, Label Studio or Penn-Fudan format, "
        'or the synthetic data set "shapes"'
    )
    everyday: ClassVar[tuple[str, ...]] = ("detector", "max_size", "freeze", "freeze_norms", "metric")

    detector: Literal["faster_rcnn", "faster_rcnn_c4", "retinanet", "fcos", "cascade_rcnn"] = "faster_rcnn"
    """The network that finds the objects; faster_rcnn_c4 is the one in the paper of Res2Net."""
    metric: Literal["coco", "voc07", "voc"] = "coco"
    """How average precision is counted: as by COCO, by PASCAL VOC 2007 (at eleven points of recall), or by PASCAL VOC
    from 2010 on (the area below the curve)."""


PredictOptions = ObjectPredictOptions


@dataclass(frozen=True, kw_only=True)
class EvalOptions(ObjectEvalOptions):
    """Options of `res2net eval detect`."""

    metric: Literal["coco", "voc07", "voc"] | None = None
    """How average precision is counted; by default as in the training."""

    def prepare(self, task: Any) -> None:
        """Choose the metric; `InputError` if results in COCO's format are asked for with another one than COCO's."""
        super().prepare(task)
        if self.metric is not None:
            task.measure_by(self.metric)
        if self.results is not None and task.options.metric != "coco":
            raise InputError(
                f"The task detect has no results in COCO's format with the metric {task.options.metric}: leave out "
                "--results, or add --metric coco."
            )
