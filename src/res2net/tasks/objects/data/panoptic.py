"""Convert segments to and from COCO's panoptic format: a PNG whose colours are ids, and a list of segments.

The format is described at https://cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from res2net.errors import InputError

__all__ = ["segments_from_coco", "segments_to_coco"]

BASE = 256
"""The id of a colour is R + 256 G + 256^2 B."""


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
        entries.append(
            {
                "id": number,
                "category_id": _category(segment, thing_categories if segment["thing"] else stuff_categories),
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


def _category(segment: Mapping[str, Any], categories: Sequence[int]) -> int:
    label = int(segment["label"])
    if not 0 <= label < len(categories):
        kind = "things" if segment["thing"] else "stuff"
        raise InputError(f"Label {label} has no category: {len(categories)} of {kind} are given.")
    return int(categories[label])
