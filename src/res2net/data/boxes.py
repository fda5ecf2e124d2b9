"""Boxes to look into that somebody else found: COCO's results of a detector, or COCO's annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from res2net.data.decode import read_image
from res2net.data.objects.coco import xyxy
from res2net.data.objects.collect import numbers
from res2net.data.samples import Sample
from res2net.errors import InputError, check_range

__all__ = ["BoxedImages", "ObjectBox", "read_boxes"]


@dataclass(frozen=True)
class ObjectBox:
    """A box around an object of a picture."""

    box: tuple[float, float, float, float]
    """Left, top, right and bottom edge, pixels."""
    label: int
    """Index of its class."""
    score: float = 1.0
    """How sure it is, 0 to 1; 1 where people drew it."""


class BoxedImages(Dataset[Sample]):
    """The pictures of files, each once for every box: `(PIL.Image, target)`.

    A target holds the `box` `(4,)` XYXY in pixels, its `label` and its `box_score`. A picture that cannot be read
    raises `BadImage`.

    Args:
        pairs: a file, and a box in its picture.
    """

    def __init__(self, pairs: Sequence[tuple[Path, ObjectBox]]) -> None:
        self.pairs = list(pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        path, found = self.pairs[index]
        return read_image(path), {"box": torch.tensor(found.box), "label": found.label, "box_score": found.score}


def read_boxes(
    file: str | Path,
    paths: Sequence[Path],
    image_ids: Sequence[int],
    categories: Sequence[int],
    least_score: float = 0.0,
) -> list[list[ObjectBox]]:
    """The boxes of each picture.

    Pictures are found by their name in annotations, and by their number in results, which have no names. Boxes of other
    categories and of crowds are left out.

    Args:
        file: in COCO's format of results, or of annotations.
        paths: of the pictures.
        image_ids: the number of each picture in results.
        categories: the number of each class in the file.
        least_score: of a box, 0 to 1.

    Raises:
        InputError: the file cannot be read, has something that is no box, or has no box for any of the pictures.
    """
    check_range("box score", least_score, 0, 1)
    content = _content(file)
    if isinstance(content, list):
        entries, wanted = content, dict(zip(image_ids, range(len(paths)), strict=True))
    else:
        entries = content["annotations"]
        places = {path.name: place for place, path in enumerate(paths)}
        wanted = _named(content["images"], places, file)
    label_of = {number: label for label, number in enumerate(categories)}
    boxes: list[list[ObjectBox]] = [[] for _ in paths]
    for place, entry in enumerate(entries):
        found = _box(entry, place, file, label_of, scored=isinstance(content, list))
        if found is not None and found.score >= least_score and entry["image_id"] in wanted:
            boxes[wanted[entry["image_id"]]].append(found)
    if not any(boxes):
        shown = ", ".join(map(str, categories))
        raise InputError(
            f"{file} has no box of the category {shown} with a score of {least_score:g} or more in these pictures: "
            "give boxes of these pictures, whose image_id is the number at the end of a picture's name."
        )
    return boxes


def _content(file: str | Path) -> Any:
    """A list of results, or a dictionary with lists of images and annotations."""
    try:
        content = json.loads(Path(file).read_bytes())
    except OSError as error:
        raise InputError(f"Cannot read the boxes {file} ({error.strerror}): check the path.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is no JSON ({error}): give COCO's results of a detector or annotations.") from error
    annotated = isinstance(content, dict) and all(
        isinstance(content.get(name), list) for name in ("images", "annotations")
    )
    if not isinstance(content, list) and not annotated:
        raise InputError(
            f"{file} has no boxes: give COCO's annotations, or a list of image_id, category_id, bbox and score, as "
            "`res2net predict detect --coco` writes it."
        )
    return content


def _named(images: Sequence[Any], places: Mapping[str, int], file: str | Path) -> dict[int, int]:
    """The place of each picture by its number in the file."""
    found: dict[int, int] = {}
    for image in images:
        if not isinstance(image, dict) or not isinstance(image.get("id"), int):
            raise InputError(f"A picture of {file} has no id that is a whole number: mend it.")
        name = Path(str(image.get("file_name"))).name
        if name in places:
            found[image["id"]] = places[name]
    return found


def _box(entry: Any, place: int, file: str | Path, label_of: Mapping[int, int], *, scored: bool) -> ObjectBox | None:
    """The box of an entry; None where it is of another category or of a crowd."""
    known = isinstance(entry, dict) and all(isinstance(entry.get(name), int) for name in ("image_id", "category_id"))
    if not known:
        raise InputError(f"Entry {place} of {file} has no image_id or no category_id that is a whole number: mend it.")
    if entry["category_id"] not in label_of or entry.get("iscrowd"):
        return None
    edges = xyxy(entry.get("bbox"))
    if not edges or edges[2] <= edges[0] or edges[3] <= edges[1]:
        raise InputError(
            f"Entry {place} of {file} has the bbox {str(entry.get('bbox'))[:60]}: give left, top, width and height in "
            "pixels, both sides above 0."
        )
    score = numbers([entry.get("score")]) if scored else [1.0]
    if not score or not 0 <= score[0] <= 1:
        raise InputError(f"Entry {place} of {file} has the score {entry.get('score')!r}: give a number from 0 to 1.")
    return ObjectBox((edges[0], edges[1], edges[2], edges[3]), label_of[entry["category_id"]], score[0])
