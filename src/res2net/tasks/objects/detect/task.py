"""Object detection: a box, a class and a score for each object; average precision as COCO or PASCAL VOC count it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torchmetrics import Metric

from res2net.report import Column, Table
from res2net.task.base import Evaluation, register_task
from res2net.tasks.objects.base import ObjectTask
from res2net.tasks.objects.detect.options import DetectOptions
from res2net.tasks.objects.metrics.coco import CocoAP
from res2net.tasks.objects.metrics.voc import VocAP

__all__ = ["Detect", "DetectOptions"]

_HEADLINES = {
    "coco": ("box_AP", "box_AP50"),
    "voc07": ("box_AP50_11_point", "box_AP50_area"),
    "voc": ("box_AP50_area",),
}
"""By metric, the numbers that are shown of an epoch, the one that decides first."""


@register_task
class Detect(ObjectTask):
    """Boxes around objects."""

    name = "detect"
    Options = DetectOptions
    labels = ("boxes", "labels", "crowd", "area", "difficult")
    outputs = ("boxes", "scores", "labels")

    options: DetectOptions

    @property
    def monitor(self) -> str:
        """The first number of the metric that was chosen."""
        return self.headline[0]

    @property
    def headline(self) -> Sequence[str]:
        """Those of the metric that was chosen."""
        return _HEADLINES[self.options.metric]

    def metric(self) -> Metric:
        """The numbers of boxes by COCO, or both of PASCAL VOC."""
        return CocoAP(("bbox",), self.class_names) if self.options.metric == "coco" else VocAP(self.class_names)

    def measure_by(self, metric: str) -> None:
        """Evaluate by "coco", "voc07" or "voc"."""
        self.options = dataclasses.replace(self.options, metric=metric)

    def numbers(self, evaluation: Evaluation) -> Table:
        """Average precision by the size of objects, or both of PASCAL VOC."""
        if self.options.metric == "coco":
            return super().numbers(evaluation)
        columns = (Column("of"), Column("11 points", "%", digits=1), Column("area", "%", digits=1))
        values = (evaluation.metrics.get(name) for name in ("box_AP50_11_point", "box_AP50_area"))
        return Table("Average precision (%) at IoU 0.5, mean over classes, by PASCAL VOC", columns, [("box", *values)])
