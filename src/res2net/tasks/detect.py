"""Object detection: a box, a class and a score for each object; COCO's average precision."""

from __future__ import annotations

from torchmetrics import Metric

from res2net.metrics.coco import CocoAP
from res2net.tasks.base import register_task
from res2net.tasks.options.detect import DetectOptions
from res2net.tasks.parts.objects import ObjectTask

__all__ = ["Detect", "DetectOptions"]


@register_task
class Detect(ObjectTask):
    """Boxes around objects."""

    name = "detect"
    Options = DetectOptions
    monitor = "box_AP"
    headline = ("box_AP", "box_AP50")
    outputs = ("boxes", "scores", "labels")

    def metric(self) -> Metric:
        """COCO's numbers of boxes."""
        return CocoAP(("bbox",), self.class_names)
