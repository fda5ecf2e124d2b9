"""Object detection: a box, a class and a score for each object; average precision as COCO or PASCAL VOC count it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from res2net.export.exporter import EXPORTERS
from res2net.report import Column, Table
from res2net.task.base import TASKS, Evaluation, Scoring
from res2net.tasks.objects.base import ObjectTask
from res2net.tasks.objects.detect.options import DetectOptions
from res2net.tasks.objects.exporter import DetectorExporter
from res2net.weights import Preprocessing

if TYPE_CHECKING:
    from torchmetrics import Metric

_HEADLINES = {
    "coco": ("box_AP", "box_AP50"),
    "voc07": ("box_AP50_11_point", "box_AP50_area"),
    "voc": ("box_AP50_area",),
}
"""The numbers that are shown of an epoch by the option `metric`; the first decides which checkpoint is the best."""


@TASKS.register("detect")
class Detect(ObjectTask):
    """Boxes around objects."""

    name = "detect"
    Options = DetectOptions
    labels = ("boxes", "labels", "crowd", "area", "difficult")

    scoring = Scoring(_HEADLINES["coco"][0], _HEADLINES["coco"])

    options: DetectOptions

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, options: Any, facts: Mapping[str, Any]) -> None:
        super().__init__(model, preprocessing, options, facts)
        self.measure_by(self.options.metric)

    def measure_by(self, metric: str) -> None:
        """Evaluate by "coco", "voc07" or "voc", whatever the training did; `InputError` for any other metric."""
        self.options = dataclasses.replace(self.options, metric=metric)  # type: ignore[arg-type] # it is checked
        headline = _HEADLINES[metric]
        self.scoring = Scoring(headline[0], headline)

    def metric(self) -> Metric:
        """The numbers of boxes by COCO, or both of PASCAL VOC."""
        from res2net.tasks.objects.metrics.coco import CocoAP
        from res2net.tasks.objects.metrics.voc import VocAP

        return CocoAP(("bbox",), self.class_names) if self.options.metric == "coco" else VocAP(self.class_names)

    def details(self, evaluation: Evaluation) -> Table:
        """Average precision by the size of objects, or both of PASCAL VOC."""
        if self.options.metric == "coco":
            return super().details(evaluation)
        columns = (Column("of"), Column("11 points", "%", digits=1), Column("area", "%", digits=1))
        values = (evaluation.metrics.get(name) for name in ("box_AP50_11_point", "box_AP50_area"))
        return Table("Average precision (%) at IoU 0.5, mean over classes, by PASCAL VOC", columns, [("box", *values)])


EXPORTERS.add("detect", DetectorExporter)
