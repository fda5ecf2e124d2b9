"""Panoptic segmentation: each pixel belongs to a thing, to stuff, or to nothing that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from res2net.errors import InputError
from res2net.export.exporter import EXPORTERS
from res2net.images.sources import DataSource
from res2net.report import Column, Table
from res2net.task.base import TASKS, CreateBackbone, Evaluation, Scoring, frozen
from res2net.tasks.objects.base import ObjectTask
from res2net.tasks.objects.exporter import DetectorExporter
from res2net.tasks.objects.panoptic.options import PanopticOptions
from res2net.tasks.objects.panoptic.panoptic_head import merge_segments, panoptic_fpn
from res2net.tasks.objects.segments import PanopticSegments, Segment

if TYPE_CHECKING:
    from torchmetrics import Metric


@TASKS.register("panoptic")
class Panoptic(ObjectTask):
    """Things, each a segment of its own, and stuff, of each class one segment; panoptic quality."""

    name = "panoptic"
    Options = PanopticOptions
    labels = ("boxes", "labels", "masks", "crowd", "area", "semantic")
    learned: ClassVar[Sequence[str]] = ("boxes", "labels", "masks", "semantic")
    scoring = Scoring("PQ", ("PQ", "PQ_things", "PQ_stuff"))

    options: PanopticOptions

    @classmethod
    def network(cls, create: CreateBackbone, options: Any, facts: Mapping[str, Any]) -> nn.Module:
        """Panoptic FPN; `InputError` without classes of stuff."""
        backbone = frozen(create(num_classes=0), options)
        things, stuff = len(facts["class_names"]), len(facts["stuff_names"])
        if not stuff:
            raise InputError(
                "The data have no classes of stuff: give panoptic ones, such as COCO panoptic, or train the task "
                "instance."
            )
        return panoptic_fpn(
            backbone, things, stuff, options.head, channels=options.stuff_channels, semantic_weight=options.stuff_weight
        )

    def metric(self) -> Metric:
        """Panoptic, segmentation and recognition quality."""
        from res2net.tasks.objects.panoptic.metric import PanopticQuality

        return PanopticQuality(self.class_names, self.stuff_names)

    def check_source(self, source: DataSource) -> None:
        """Raise `InputError` unless the source has the classes of stuff of the training."""
        if tuple(source.stuff_names) != self.stuff_names:
            raise InputError(
                f"The network knows the stuff {', '.join(self.stuff_names)}, and {source.name} has other stuff "
                f"({', '.join(source.stuff_names) or 'none'}): give data with the classes of the training."
            )

    def segments(self, images: Tensor, targets: Mapping[str, Any]) -> list[tuple[Tensor, list[Segment]]]:
        """For each image, in the size of its file, the ids of its pixels and the segments; see `merge_segments`."""
        merge = partial(
            merge_segments,
            score_threshold=self.options.segment_score,
            overlap=self.options.segment_overlap,
            stuff_area=self.options.stuff_area,
            scaled=self.options.scale_stuff_area,
        )
        found = self.detect(images, targets)
        merged = (merge(one, one["semantic"], size) for one, size in zip(found, targets["original_size"], strict=True))
        return [(ids.cpu(), segments) for ids, segments in merged]

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image the number of true things, `objects`, and of those `found`."""
        things = len(self.class_names)
        results, found = [], []
        for ids, segments in self.segments(images, targets):
            labels = [one["label"] + (0 if one["thing"] else things) for one in segments]
            results.append({"segments": ids - 1, "labels": torch.tensor(labels, dtype=torch.int64)})
            found.append(sum(one["thing"] for one in segments))
        indices = targets["index"].tolist()
        metric.update(results, [one | {"image_id": id_} for one, id_ in zip(targets["truth"], indices, strict=True)])
        objects = [len(one["labels"]) for one in targets["truth"]]
        return {"objects": torch.tensor(objects), "found": torch.tensor(found)}

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[PanopticSegments]:
        """The segments of each image, things first, the best before others."""
        assert targets is not None
        known = (*self.category_ids, *self.stuff_category_ids)
        classes = self.class_names, self.stuff_names
        categories = known if len(known) == len(self.class_names) + len(self.stuff_names) else ()
        return [
            PanopticSegments(ids, segments, *classes, categories) for ids, segments in self.segments(images, targets)
        ]

    def truth(self, image: Any, target: Mapping[str, Any]) -> PanopticSegments:
        """The stuff and the things that are there."""
        return PanopticSegments.from_target(target, self.class_names, self.stuff_names)

    @property
    def about_images(self) -> str:
        """A line about the images of a report."""
        return "Validation images with the segments that were found."

    def details(self, evaluation: Evaluation) -> Table:
        """Panoptic quality of everything, things and stuff, and what it is made of."""
        columns = (Column("of"), *(Column(name, "%", digits=1) for name in ("PQ", "SQ", "RQ")))
        rows = [
            (kind or "all", *(evaluation.metrics.get(f"{name}{kind and '_'}{kind}") for name in ("PQ", "SQ", "RQ")))
            for kind in ("", "things", "stuff")
        ]
        return Table("Panoptic quality (%): segmentation quality times recognition quality", columns, rows)

    def caption(self, result: Any, target: Mapping[str, Any]) -> str:
        """How many things were found and are there, and the stuff."""
        stuff = [self.stuff_names[one["label"]] for one in result.segments if not one["thing"]]
        things = sum(one["thing"] for one in result.segments)
        return "; ".join([f"{things} things found, {len(target['labels'])} there", *stuff])


@EXPORTERS.register("panoptic")
class PanopticExporter(DetectorExporter):
    """A detector with masks, and a branch for stuff; what follows is not a part of the exported network."""

    outputs = ("boxes", "scores", "labels", "masks", "semantic")
    required_facts = ("stuff_names",)
