"""Files in COCO's format of results, which pycocotools and other programs read.

The format: https://cocodataset.org/#format-results, a list with `image_id`, `category_id`, `score`, and what there is
of `bbox` (left, top, width, height), `segmentation` (run lengths) and `keypoints` (x, y and score of each, where x and
y count pixels from 0) for each object that was found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from res2net.errors import InputError
from res2net.images.keypoints import PIXEL_MIDDLE
from res2net.tasks.objects.result import Objects
from res2net.weights import atomic_write

_NAMES = {"box": "bbox", "mask": "segmentation"}
"""The entries of an object that COCO has as they are, and what COCO calls them."""


def category_numbers(classes: int, known: Sequence[int]) -> list[int]:
    """The `category_id` of each class: the data set's own numbers where they are known, else from 1."""
    return list(known) if len(known) == classes else list(range(1, classes + 1))


def image_numbers(paths: Sequence[Path]) -> list[int]:
    """The `image_id` of each image: the number at the end of its name, as COCO's files have it.

    Where a name has no number, or two images have the same, the images count from 0.
    """
    ends = [re.search(r"(\d{1,18})$", path.stem, re.ASCII) for path in paths]
    found = [int(end[1]) for end in ends if end]
    return found if len(set(found)) == len(paths) else list(range(len(paths)))


def listed_results(
    results: Sequence[tuple[int, Objects]], class_names: Sequence[str], categories: Sequence[int]
) -> list[dict[str, Any]]:
    """The objects of images as entries of COCO's format, with `image_id` and the `category_id` of their class."""
    listed = [
        (image_id, label, one)
        for image_id, result in results
        for label, one in zip(result.labels.tolist(), result.to_dict()["objects"], strict=True)
    ]
    if any(label >= len(class_names) for _, label, _ in listed):
        raise InputError("The class of these objects is not known, and COCO's format needs it: use --json instead.")
    return [
        {"image_id": image_id, "category_id": categories[label], "score": one["score"]}
        | {coco: one[name] for name, coco in _NAMES.items() if name in one}
        | ({"keypoints": _counted(one["keypoints"])} if "keypoints" in one else {})
        for image_id, label, one in listed
    ]


def _counted(points: Sequence[float]) -> list[float]:
    """Keypoints x, y and score in COCO's coordinates, in which the middle of the first pixel is at 0."""
    return [value if index % 3 == 2 else value - PIXEL_MIDDLE for index, value in enumerate(points)]


def write_results(path: str | Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write entries to a file, whole or not at all; `InputError` if it cannot be written."""
    if Path(path).is_dir():
        raise InputError(f"{path} is a folder: give the name of a file for the results.")
    atomic_write(path, lambda file: file.write(json.dumps(entries).encode()))
