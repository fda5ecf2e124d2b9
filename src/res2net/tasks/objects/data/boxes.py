"""Objects in boxes from files: COCO's results of a detector, or COCO's annotations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Dataset

from res2net.errors import InputError, check_range
from res2net.images.samples import Sample, Samples, true_targets
from res2net.images.text import BadText, read_json
from res2net.tasks.objects.formats.coco_files import xyxy
from res2net.tasks.objects.formats.collect import numbers

if TYPE_CHECKING:
    from res2net.engine.predict import InputSamples


@dataclass(frozen=True)
class ObjectBox:
    """A box around an object of an image."""

    box: tuple[float, float, float, float]
    """Left, top, right and bottom edge in pixels."""
    label: int
    """Index of its class."""
    score: float = 1.0
    """Score of the detector, 0 to 1; 1 for annotations."""

    def target(self) -> dict[str, Any]:
        """The `box` `(4,)` XYXY in pixels, its `label` and its `box_score`."""
        return {"box": torch.tensor(self.box), "label": self.label, "box_score": self.score}


class BoxedSamples(Dataset[Sample]):
    """The images of a data set as samples `(image, target)`, one per box.

    A target has the entries of `ObjectBox.target`, the `image_id`, the `index` in this data set, and as `truth` the
    target of the whole image. Images without boxes are left out.
    """

    def __init__(self, dataset: Samples, boxes: Sequence[Sequence[ObjectBox]]) -> None:
        self.dataset = dataset
        self.pairs = [(image, box) for image, found in enumerate(boxes) for box in found]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        image_index, found = self.pairs[index]
        image, truth = self.dataset[image_index]
        image_id = int(truth.get("image_id", image_index))
        return image, {**found.target(), "image_id": image_id, "index": index, "truth": dict(truth)}


class BoxedInputs(Dataset[Sample]):
    """Inputs of a prediction as samples `(image, target)`, one per box; a target is that of `ObjectBox.target`.

    Inputs without boxes are left out. A file that cannot be read raises `BadImage`.
    """

    reads_files = True

    def __init__(self, inputs: InputSamples, boxes: Sequence[Sequence[ObjectBox]]) -> None:
        self.inputs = inputs
        self.pairs = [(index, box) for index, found in enumerate(boxes) for box in found]
        self.paths = [inputs.paths[index] for index, _ in self.pairs]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        input_index, found = self.pairs[index]
        return self.inputs.read(input_index), found.target()


def image_numbers(dataset: Samples) -> list[int]:
    """The `image_id` of each image of a data set; its index if the targets have none."""
    return [int(target.get("image_id", index)) for index, target in enumerate(true_targets(dataset))]


def read_boxes(
    file: str | Path,
    image_ids: Sequence[int],
    categories: Sequence[int],
    min_score: float = 0.0,
    paths: Sequence[Path] | None = None,
) -> list[list[ObjectBox]]:
    """Read the boxes of some images from a file; those of other categories and of crowds are left out.

    Args:
        file: a file in COCO's results format, or if there are `paths`, with COCO annotations.
        image_ids: the id of each image in results.
        categories: the category id of each class in the file.
        min_score: minimum score of a box, 0 to 1.
        paths: paths of the images, which annotations identify by their names.

    Raises:
        InputError: the file cannot be read, has an invalid box, or has no box for any of the images.
    """
    check_range("box score", min_score, 0, 1)
    content = _content(file)
    whose = ""
    if isinstance(content, list):
        entries, index_of = content, {number: index for index, number in enumerate(image_ids)}
        origin = "that of the data set" if paths is None else "the number at the end of an image's name"
        whose = f", whose image_id is {origin}"
    elif paths is None:
        raise InputError(
            f"{file} has annotations: give COCO's results of a detector, or leave out --boxes, which looks into the "
            "boxes of the data set."
        )
    else:
        entries, index_of = content["annotations"], _by_name(content["images"], paths, file)
    label_of = {number: label for label, number in enumerate(categories)}
    boxes: list[list[ObjectBox]] = [[] for _ in image_ids]
    in_classes = in_images = 0
    for index, entry in enumerate(entries):
        found = _box(entry, f"Entry {index} of {file}", label_of, scored=bool(whose))
        in_classes += found is not None
        if found is not None and entry["image_id"] in index_of:
            in_images += 1
            if found.score >= min_score:
                boxes[index_of[entry["image_id"]]].append(found)
    if not in_classes:
        shown = ", ".join(map(str, categories))
        raise InputError(f"{file} has no box of the category {shown}: give boxes of the classes of the data.")
    if not in_images:
        raise InputError(f"{file} has no box in these images: give boxes of the same images{whose}.")
    if not any(boxes):
        raise InputError(
            f"{file} has no box with a score of {min_score:g} or more in these images: choose a smaller one, or give "
            "other boxes."
        )
    return boxes


def _content(file: str | Path) -> Any:
    """Read a list of results, or a dictionary with lists of images and annotations."""
    try:
        content = read_json(file)
    except BadText as error:
        raise InputError(
            f"Cannot read the boxes {file} ({error.reason}): give COCO's results of a detector or annotations."
        ) from error
    lists = [content.get(name) for name in ("images", "annotations")] if isinstance(content, dict) else [content]
    if not all(isinstance(one, list) for one in lists):
        raise InputError(
            f"{file} has no boxes: give COCO's annotations, or a list of image_id, category_id, bbox and score, as "
            "`res2net predict detect --coco` writes it."
        )
    return content


def _by_name(images: Sequence[Any], paths: Sequence[Path], file: str | Path) -> dict[int, int]:
    """The index in `paths` of each image with one of their names, by its id in the file.

    Of images with one name, those belong together whose paths have most folders in common, counted from the end.
    """
    indices: dict[str, list[int]] = {}
    for index, path in enumerate(paths):
        indices.setdefault(path.name, []).append(index)
    found: dict[int, list[tuple[int, int]]] = {}
    for image in images:
        if not isinstance(image, dict) or not isinstance(image.get("id"), int):
            raise InputError(f"An image of {file} has no id that is a whole number: fix it.")
        parts = re.split(r"[\\/]+", str(image.get("file_name")))
        for index in indices.get(parts[-1], ()):
            pairs = zip(reversed(parts), reversed(paths[index].parts), strict=False)
            common = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
            found.setdefault(index, []).append((common, image["id"]))
    number_of: dict[int, int] = {}
    for index, candidates in found.items():
        most = max(candidates)[0]
        best = [number for common, number in candidates if common == most]
        if len(best) > 1 or best[0] in number_of:
            raise InputError(
                f"The images of {file} and those given have the name {paths[index].name} several times, and their "
                "folders do not tell which belong together: give images with names of their own."
            )
        number_of[best[0]] = index
    return number_of


def _box(entry: Any, where: str, label_of: Mapping[int, int], *, scored: bool) -> ObjectBox | None:
    """The box of an entry; None if it is of another category or a crowd."""
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), int) for name in ("image_id", "category_id")):
        raise InputError(f"{where} has no image_id or no category_id that is a whole number: fix it.")
    if entry["category_id"] not in label_of or entry.get("iscrowd"):
        return None
    edges = xyxy(entry.get("bbox"))
    if not edges or edges[2] <= edges[0] or edges[3] <= edges[1]:
        raise InputError(
            f"{where} has the bbox {str(entry.get('bbox'))[:60]}: give left, top, width and height in pixels, both "
            "sides above 0."
        )
    score = numbers([entry.get("score")]) if scored else [1.0]
    if not score or not 0 <= score[0] <= 1:
        raise InputError(f"{where} has the score {entry.get('score')!r}: give a number from 0 to 1.")
    return ObjectBox((edges[0], edges[1], edges[2], edges[3]), label_of[entry["category_id"]], score[0])
