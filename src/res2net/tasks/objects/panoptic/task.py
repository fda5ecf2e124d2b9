"""Panoptic segmentation: each pixel belongs to a thing, to stuff, or to nothing that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from faster_coco_eval.core import mask as coco_mask
from PIL import Image
from torch import Tensor
from torchmetrics import Metric

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.images.run_lengths import decoded_masks
from res2net.images.sources import DataSource
from res2net.report import Column, Table
from res2net.report.objects import draw_segments
from res2net.report.tables import Cell
from res2net.task.base import Evaluation, register_task
from res2net.tasks.objects.base import ObjectTask
from res2net.tasks.objects.drawing import draw_true_segments
from res2net.tasks.objects.panoptic.metric import PanopticQuality
from res2net.tasks.objects.panoptic.options import PanopticOptions
from res2net.tasks.objects.panoptic.panoptic_head import PanopticFPN, panoptic_fpn
from res2net.tasks.objects.panoptic.segments_head import Segment, merge_segments

__all__ = ["Panoptic", "PanopticOptions"]


@register_task
class Panoptic(ObjectTask):
    """Things, each a segment of its own, and stuff, of each class one segment; panoptic quality."""

    name = "panoptic"
    Options = PanopticOptions
    labels = ("boxes", "labels", "masks", "crowd", "area", "semantic")
    parts = ("boxes", "labels", "masks")
    adjustable = ("segment_score", "segment_overlap", "stuff_area", "scale_stuff_area")
    tells = ("stuff_names",)
    outputs = ("boxes", "scores", "labels", "masks", "semantic")
    monitor = "PQ"
    headline = ("PQ", "PQ_things", "PQ_stuff")
    result_name = "segments_info"
    columns = (Column("segment"), Column("score", "%", digits=1), Column("area", "pixels"))

    model: PanopticFPN

    @classmethod
    def network(cls, backbone: Backbone, options: Any, facts: Mapping[str, Any]) -> Any:
        """Panoptic FPN; `InputError` without classes of stuff."""
        things, stuff = len(facts["class_names"]), len(facts["stuff_names"])
        if not stuff:
            raise InputError(
                "The data have no classes of stuff: give panoptic ones, such as COCO panoptic, or train the task "
                "instance."
            )
        return panoptic_fpn(
            backbone,
            things,
            stuff,
            options.head,
            channels=options.stuff_channels,
            semantic_weight=options.stuff_weight,
        )

    @property
    def segment_names(self) -> tuple[str, ...]:
        """All classes: things, then stuff."""
        return (*self.class_names, *self.stuff_names)

    @property
    def segment_categories(self) -> tuple[int, ...]:
        """The `category_id` of each of them: the data set's own number where it has any, else counted from 1."""
        known = (*self.category_ids, *self.stuff_category_ids)
        count = len(self.segment_names)
        return known if len(known) == count else tuple(range(1, count + 1))

    def metric(self) -> Metric:
        """Panoptic, segmentation and recognition quality."""
        return PanopticQuality(self.class_names, self.stuff_names)

    def check_source(self, source: DataSource) -> None:
        """`InputError` unless it has the stuff of the training."""
        if tuple(source.stuff_names) != self.stuff_names:
            raise InputError(
                f"The network knows the stuff {', '.join(self.stuff_names)}, and {source.name} has other stuff "
                f"({', '.join(source.stuff_names) or 'none'}): give data with the classes of the training."
            )

    def objects(self, targets: Mapping[str, Any], device: torch.device) -> list[dict[str, Tensor]]:
        """For each image what the network learns from: its things and, in `semantic`, its stuff."""
        things = super().objects(targets, device)
        stuff = [one.as_subclass(Tensor).to(device) for one in targets["semantic"]]
        return [one | {"semantic": semantic} for one, semantic in zip(things, stuff, strict=True)]

    def segments(self, images: Tensor, targets: Mapping[str, Any]) -> list[tuple[Tensor, list[Segment]]]:
        """For each image, in the size of its file, the ids of its pixels and the segments; see `merge_segments`."""
        options = self.options
        merged = []
        for one, size in zip(self.model.detect(images, targets["size_now"]), targets["original_size"], strict=True):
            ids, segments = merge_segments(
                one,
                one["semantic"],
                size,
                score_threshold=options.segment_score,
                overlap=options.segment_overlap,
                stuff_area=options.stuff_area,
                scaled=options.scale_stuff_area,
            )
            merged.append((ids.cpu(), segments))
        return merged

    def validate(self, images: Tensor, targets: Mapping[str, Any], metric: Any) -> dict[str, Tensor]:
        """For each image the number of true things, `objects`, and of those `found`."""
        things = len(self.class_names)
        results, found = [], []
        for ids, segments in self.segments(images, targets):
            labels = [one["label"] + (0 if one["thing"] else things) for one in segments]
            results.append({"segments": ids - 1, "labels": torch.tensor(labels, dtype=torch.int64)})
            found.append(sum(one["thing"] for one in segments))
        places = targets["index"].tolist()
        metric.update(results, [one | {"image_id": it} for one, it in zip(targets["truth"], places, strict=True)])
        objects = [len(one["labels"]) for one in targets["truth"]]
        return {"objects": torch.tensor(objects), "found": torch.tensor(found)}

    def predict(self, images: Tensor, targets: Mapping[str, Any] | None = None) -> list[list[dict[str, Any]]]:
        """The segments of each image as in COCO's `segments_info`, things first.

        Beside what COCO has (`id`, `category_id`, `area`, `bbox`, `iscrowd`) each has its `label`, `isthing`, its
        `score`, and its pixels as `segmentation`, in COCO's run lengths. The `category_id` is that of the data set of
        the training; where it had none, things and then stuff count from 1.
        """
        assert targets is not None
        return [self._described(ids.numpy(), segments) for ids, segments in self.segments(images, targets)]

    def _described(self, ids: Any, segments: Sequence[Segment]) -> list[dict[str, Any]]:
        described = []
        for segment in segments:
            place = segment["label"] + (0 if segment["thing"] else len(self.class_names))
            encoded = coco_mask.encode(np.asfortranarray(ids == segment["id"], dtype=np.uint8))
            counts = encoded["counts"]
            described.append(
                {
                    "id": segment["id"],
                    "category_id": self.segment_categories[place],
                    "label": self.segment_names[place],
                    "isthing": int(segment["thing"]),
                    "score": segment["score"],
                    "area": segment["area"],
                    "bbox": [int(value) for value in coco_mask.toBbox(encoded)],
                    "iscrowd": 0,
                    "segmentation": {
                        "size": [int(side) for side in encoded["size"]],
                        "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
                    },
                }
            )
        return described

    def tabulate(self, result: list[dict[str, Any]]) -> Sequence[Sequence[Cell]]:
        """The segments."""
        return [(one["label"], 100 * one["score"], one["area"]) for one in result]

    def draw(self, image: Image.Image, result: list[dict[str, Any]]) -> Image.Image:
        """The image divided into its segments."""
        if not result:
            return draw_segments(image, [], self.segment_names)
        masks = decoded_masks([one["segmentation"] for one in result])
        places = [self.segment_categories.index(one["category_id"]) for one in result]
        return draw_segments(image, list(zip(masks, places, strict=True)), self.segment_names)

    def draw_truth(self, image: Any, target: Mapping[str, Any]) -> Image.Image:
        """The image divided into what is there."""
        return draw_true_segments(image, target, self.class_names, self.stuff_names)

    def numbers(self, evaluation: Evaluation) -> Table:
        """Panoptic quality of everything, things and stuff, and what it is made of."""
        columns = (Column("of"), *(Column(name, "%", digits=1) for name in ("PQ", "SQ", "RQ")))
        rows = [
            (kind or "all", *(evaluation.metrics.get(f"{name}{kind and '_'}{kind}") for name in ("PQ", "SQ", "RQ")))
            for kind in ("", "things", "stuff")
        ]
        return Table("Panoptic quality (%): segmentation quality times recognition quality", columns, rows)

    def caption(self, result: list[dict[str, Any]], target: Mapping[str, Any]) -> str:
        """How many things were found and are there, and the stuff."""
        stuff = [one["label"] for one in result if not one["isthing"]]
        things = sum(one["isthing"] for one in result)
        return "; ".join([f"{things} things found, {len(target['labels'])} there", *stuff])

    @property
    def shown(self) -> str:
        """A line on the images of a report."""
        return "Validation images with the segments that were found."
