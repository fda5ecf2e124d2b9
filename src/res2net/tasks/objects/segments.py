"""The segments of an image: things one by one, and of each class of stuff all its pixels.

COCO's panoptic format (https://cocodataset.org/#format-data) has a PNG whose colours are ids, and a list of segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from faster_coco_eval.core import mask as coco_mask
from PIL import Image
from torch import Tensor

from res2net.errors import InputError
from res2net.images.run_lengths import run_lengths
from res2net.report import Column
from res2net.report.objects import draw_segments
from res2net.report.tables import Cell
from res2net.task.result import Result

BASE = 256
"""The id of a colour is R + 256 G + 256^2 B."""


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

    columns = (Column("segment"), Column("score", "%", digits=1), Column("area", "px"))

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


def segments_to_coco(
    ids: Tensor,
    segments: Sequence[Mapping[str, Any]],
    thing_categories: Sequence[int],
    stuff_categories: Sequence[int],
    *,
    image_id: int,
    file_name: str,
) -> tuple[Image.Image, dict[str, Any]]:
    """Convert segments to an image of ids, to be saved as a PNG, and its entry of `annotations`.

    Args:
        ids: the segment id of each pixel, `(H, W)`; 0 for pixels without a segment.
        segments: for each segment its `id`, `label`, whether it is a `thing`, as from `merge_segments`, and optionally
            whether it is a `crowd`.
        thing_categories: the category id of each thing label.
        stuff_categories: the category id of each stuff label.
        image_id: id of the image.
        file_name: name of the PNG file.

    Raises:
        InputError: an id of the map has no segment, an id is not a valid colour, or a label has no category.
    """
    numbers = ids.detach().cpu().numpy()
    known = {int(segment["id"]): segment for segment in segments}
    _check_ids(numbers, known)
    entries = []
    for number, segment in known.items():
        rows, columns = np.nonzero(numbers == number)
        if not rows.size:
            continue  # the format does not allow segments without pixels
        left, top = int(columns.min()), int(rows.min())
        label, categories = int(segment["label"]), thing_categories if segment["thing"] else stuff_categories
        if not 0 <= label < len(categories):
            kind = "things" if segment["thing"] else "stuff"
            raise InputError(f"Label {label} has no category: {len(categories)} of {kind} are given.")
        entries.append(
            {
                "id": number,
                "category_id": int(categories[label]),
                "area": int(rows.size),
                "bbox": [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top],
                "iscrowd": int(segment.get("crowd", False)),
            }
        )
    colours = np.stack([numbers // BASE**digit % BASE for digit in range(3)], -1).astype(np.uint8)
    return Image.fromarray(colours), {"image_id": image_id, "file_name": file_name, "segments_info": entries}


def segments_from_coco(
    image: Image.Image,
    annotation: Mapping[str, Any],
    thing_categories: Sequence[int],
    stuff_categories: Sequence[int],
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Convert a PNG and its entry to a map of ids `(H, W)` int64 and a list of segments; undoes `segments_to_coco`.

    A segment has `id`, `label`, `thing`, `area` and `crowd`.

    Raises:
        InputError: the image is not RGB, one of its ids is not in the entry, or a category is unknown.
    """
    if image.mode != "RGB":
        raise InputError(f"An image of mode {image.mode} has no ids of segments: give a PNG with red, green and blue.")
    numbers = np.asarray(image).astype(np.int64) @ np.array([BASE**digit for digit in range(3)])
    classes = {category: (True, label) for label, category in enumerate(thing_categories)}
    classes |= {category: (False, label) for label, category in enumerate(stuff_categories)}
    found, areas = np.unique(numbers, return_counts=True)
    area_of = dict(zip(found.tolist(), areas.tolist(), strict=True))
    segments = []
    for entry in annotation["segments_info"]:
        if entry["category_id"] not in classes:
            raise InputError(
                f"Segment {entry['id']} has the category {entry['category_id']}, which is not known: give the "
                f"categories of its data set ({len(thing_categories)} of things and {len(stuff_categories)} of stuff "
                "are given)."
            )
        thing, label = classes[entry["category_id"]]
        segments.append(
            {
                "id": int(entry["id"]),
                "label": label,
                "thing": thing,
                "area": area_of.get(entry["id"], 0),
                "crowd": bool(entry.get("iscrowd", 0)),
            }
        )
    _check_ids(numbers, {segment["id"]: segment for segment in segments})
    return torch.from_numpy(numbers), segments


def _check_ids(numbers: np.ndarray[Any, Any], known: Mapping[int, Any]) -> None:
    unknown = sorted(set(np.unique(numbers).tolist()) - {0} - set(known))
    if unknown:
        raise InputError(f"Pixels have the id {unknown[0]}, which is no segment's: list one for each id.")
    wrong = [number for number in known if not 0 < number < BASE**3]
    if wrong:
        raise InputError(f"A segment has the id {wrong[0]}, which is no colour: give 1 to {BASE**3 - 1}.")
