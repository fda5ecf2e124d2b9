"""What was found as a file in COCO's format of results, which pycocotools and other programs read.

The format: https://cocodataset.org/#format-results, a list with `image_id`, `category_id`, `score`, and what there is
of `bbox` (left, top, width, height), `segmentation` (run lengths) and `keypoints` (x, y and score of each, where x and
y count pixels from 0) for each object that was found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from res2net.errors import InputError
from res2net.images.keypoints import PIXEL_MIDDLE
from res2net.weights import atomic_write

__all__ = ["category_numbers", "image_numbers", "listed_results", "of_categories", "write_results"]

_NAMES = {"box": "bbox", "mask": "segmentation"}
"""Of an entry of a task's result that COCO has as it is, and what COCO calls it."""


def category_numbers(classes: int, known: Sequence[int]) -> list[int]:
    """The `category_id` of each class: the data set's own numbers where they are known, else from 1."""
    return list(known) if len(known) == classes else list(range(1, classes + 1))


def image_numbers(paths: Sequence[Path]) -> list[int]:
    """The `image_id` of each image: the number at the end of its name, as COCO's files have it.

    Where a name has none, or two images have the same, the places of all from 0 on.
    """
    ends = [re.search(r"(\d{1,18})$", path.stem, re.ASCII) for path in paths]
    found = [int(end[1]) for end in ends if end]
    return found if len(set(found)) == len(paths) else list(range(len(paths)))


def listed_results(
    results: Sequence[tuple[int, Sequence[Mapping[str, Any]]]], class_names: Sequence[str], categories: Sequence[int]
) -> list[dict[str, Any]]:
    """The results of a task that finds objects, as its `predict` gives them, each with the number of its image.

    Raises:
        InputError: an object has no class, as for networks that see one object at a time, and there are several.
    """
    numbers = dict(zip(class_names, categories, strict=True))
    if any(one["label"] not in numbers for _, objects in results for one in objects):
        raise InputError("Nobody looked for the class of these objects, which COCO's format needs: use --json instead.")
    return [
        {"image_id": image_id, "category_id": numbers[one["label"]], "score": one["score"]}
        | {coco: one[name] for name, coco in _NAMES.items() if name in one}
        | ({"keypoints": _counted(one["keypoints"])} if "keypoints" in one else {})
        for image_id, objects in results
        for one in objects
    ]


def _counted(points: Sequence[float]) -> list[float]:
    """Key points x, y and score as COCO's: between the numbers of pixels, not between edges."""
    return [value if place % 3 == 2 else value - PIXEL_MIDDLE for place, value in enumerate(points)]


def of_categories(detections: Iterable[Mapping[str, Any]], categories: Sequence[int]) -> list[dict[str, Any]]:
    """What a metric kept (`CocoAP.detections`), with the numbers of categories in place of indices of classes."""
    return [{**one, "category_id": categories[one["category_id"]]} for one in detections]


def write_results(path: str | Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write them, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    if Path(path).is_dir():
        raise InputError(f"{path} is a folder: give the name of a file for the results.")
    atomic_write(path, lambda file: file.write(json.dumps(entries).encode()))
