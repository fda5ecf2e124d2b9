"""Instance segmentation: a box, a mask, a class and a score for each object; COCO's average precision of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from res2net.export.exporter import EXPORTERS
from res2net.images.sources import DataSource
from res2net.task.base import TASKS, Scoring
from res2net.tasks.objects.base import ObjectTask
from res2net.tasks.objects.data.copy_paste import CopyPaste
from res2net.tasks.objects.exporter import DetectorExporter
from res2net.tasks.objects.instance.options import InstanceOptions

if TYPE_CHECKING:
    from torchmetrics import Metric


@TASKS.register("instance")
class Instance(ObjectTask):
    """Boxes around objects, and the pixels of each."""

    name = "instance"
    Options = InstanceOptions
    labels = ("boxes", "labels", "masks", "crowd", "area")
    learned = ("boxes", "labels", "masks")
    scoring = Scoring("mask_AP", ("box_AP50", "mask_AP", "mask_AP50"))

    options: InstanceOptions

    def datasets(self, source: DataSource) -> tuple[Any, Any]:
        """The samples, in training with objects pasted in if so chosen."""
        train, val = super().datasets(source)
        if self.options.copy_paste:
            train = CopyPaste(
                source.train,
                self.train_transform(),
                probability=self.options.copy_paste,
                bad_images=source.bad_images,
                decode=source.decode,
            )
        return train, val

    def metric(self) -> Metric:
        """COCO's numbers of boxes and masks."""
        from res2net.tasks.objects.metrics.coco import CocoAP

        return CocoAP(("bbox", "segm"), self.class_names)


@EXPORTERS.register("instance")
class InstanceExporter(DetectorExporter):
    """A detector with a mask of 28 x 28 pixels within each box."""

    outputs = ("boxes", "scores", "labels", "masks")
