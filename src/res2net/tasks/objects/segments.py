"""The segments of an image: things one by one, and of each class of stuff all its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from faster_coco_eval.core import mask as coco_mask
from PIL import Image
from torch import Tensor

from res2net.images.run_lengths import run_lengths
from res2net.report import Column
from res2net.report.objects import draw_segments
from res2net.report.tables import Cell
from res2net.task.result import Result

__all__ = ["PanopticSegments", "Segment"]


Segment = dict[str, Any]
"""`id` of its pixels in the map; `label`, index of a class of things if `thing`, else of stuff; `score`; `area`."""


@dataclass(eq=False)
class PanopticSegments(Result):
    """An image divided into segments; those of a ground truth have no scores."""

    ids: Tensor
    """`(H, W)` int64: the id of the segment of each pixel, 0 where there is none."""
    segments: Sequence[Segment]
    """The `id`, `label`, `thing`, `area`, `score` and `crowd` of each segment, of which the last two may be missing;
    labels of things and of stuff both count from 0."""
    class_names: Sequence[str]
    """The names of the classes of things."""
    stuff_names: Sequence[str]
    """The names of the classes of stuff."""
    category_ids: Sequence[int] = ()
    """The number of each class in the data set of the training, first of things; by default they count from 1."""

    columns = (Column("segment"), Column("score", "%", digits=1), Column("area", "pixels"))

    @classmethod
    def from_target(
        cls, target: Mapping[str, Any], class_names: Sequence[str], stuff_names: Sequence[str], **options: Any
    ) -> Self:
        """Make the ground truth of an image from its target, as of `ObjectImages`.

        Stuff comes first; where things overlap, the last of them counts.
        """
        semantic = target["semantic"].as_subclass(Tensor)
        crowd = target["crowd"].tolist() if "crowd" in target else [False] * len(target["labels"])
        parts = [(semantic == label, {"label": label, "thing": False}) for label in range(len(stuff_names))]
        for mask, label, many in zip(target["masks"], target["labels"].tolist(), crowd, strict=True):
            parts.append((mask.as_subclass(Tensor).bool(), {"label": label, "thing": True, "crowd": many}))
        ids = torch.zeros(semantic.shape, dtype=torch.int64)
        present = [(mask, part) for mask, part in parts if mask.any()]
        for number, (mask, _) in enumerate(present, start=1):
            ids[mask] = number
        areas = ids.flatten().bincount(minlength=len(present) + 1).tolist()
        segments = [{"id": id_, **part, "area": areas[id_]} for id_, (_, part) in enumerate(present, start=1)]
        return cls(ids, segments, class_names, stuff_names, **options)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all classes: things, then stuff."""
        return (*self.class_names, *self.stuff_names)

    def class_index(self, segment: Segment) -> int:
        """The index in `names` of a segment's class."""
        return int(segment["label"]) + (0 if segment["thing"] else len(self.class_names))

    def to_dict(self) -> dict[str, Any]:
        """`segments_info` as in COCO's panoptic format, in the order of `segments`.

        Beside what COCO has (`id`, `category_id`, `area`, `bbox`, `iscrowd`) each segment has its `label`, `isthing`,
        its `score`, and its pixels as `segmentation`, in COCO's run lengths.
        """
        listed = []
        categories = self.category_ids or range(1, len(self.names) + 1)
        ids = self.ids.numpy()
        for segment in self.segments:
            index = self.class_index(segment)
            encoded = run_lengths(ids == segment["id"])
            listed.append(
                {
                    "id": segment["id"],
                    "category_id": categories[index],
                    "label": self.names[index],
                    "isthing": int(segment["thing"]),
                    **({"score": segment["score"]} if "score" in segment else {}),
                    "area": segment["area"],
                    "bbox": [int(value) for value in coco_mask.toBbox(encoded)],
                    "iscrowd": int(segment.get("crowd", False)),
                    "segmentation": encoded,
                }
            )
        return {"segments_info": listed}

    def rows(self) -> Sequence[Sequence[Cell]]:
        """A row for each segment."""
        return [
            (self.names[self.class_index(one)], 100 * one["score"] if "score" in one else None, one["area"])
            for one in self.segments
        ]

    def draw(self, image: Any = None) -> Image.Image:
        """The image divided into its segments."""
        image = self.image if image is None else image
        segments = [(self.ids == one["id"], self.class_index(one)) for one in self.segments]
        return draw_segments(image, segments, self.names)
