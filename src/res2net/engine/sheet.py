"""Compare the predictions and scores of several models on individual validation images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from res2net.engine.module import evaluation_of
from res2net.engine.options import Pick
from res2net.errors import InputError, check_choice
from res2net.images.decode import BadImage
from res2net.images.loader import eval_loader
from res2net.images.sources import DataSource
from res2net.task.base import Evaluation, Task, device_of

BATCH = 32
"""Batch size for images that yield several samples, such as crops of people."""

Score = tuple[str, float] | None
"""Name and value in percent; None if the image has nothing to score."""
ImageScores = Callable[[int], list[Score]]
"""From the index of a validation image to the score of each model."""


@dataclass(frozen=True)
class Compared:
    """An image with its ground truth and the predictions of several models, drawn."""

    name: str
    image: Image.Image
    truth: Image.Image | None
    """The ground truth; None if it is unknown."""
    found: Sequence[Image.Image]
    """The prediction of each model."""
    scores: Sequence[Score]
    """The score of each model by `Scoring.score_of_one`; all None if the ground truth is unknown."""


def evaluate_image(task: Task, source: DataSource, index: int) -> Evaluation:
    """Evaluate a task on one validation image; raises `InputError` if it has nothing to score, such as no objects."""
    _, samples = task.eval().datasets(source.single(index))
    device = device_of(task)
    metric = task.metric().to(device)
    records = []
    for images, targets in eval_loader(samples, BATCH):
        targets.pop("skipped", None)
        moved = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in targets.items()}
        with torch.inference_mode():
            records.append(task.validate(images.to(device), moved, metric))
    return evaluation_of(task, records, metric)


def is_readable(source: DataSource, broken: dict[str, str], index: int) -> bool:
    """Whether the validation image at an index can be read; if not, its path and the reason are added to `broken`."""
    try:
        source.val[index]
    except BadImage as error:
        broken[error.path] = error.reason
        return False
    return True


def image_scores(tasks: Sequence[Task], source: DataSource) -> ImageScores:
    """A function that scores several models on the validation image at an index, and remembers the scores."""

    def score(task: Task, index: int) -> Score:
        try:
            evaluation = evaluate_image(task, source, index)
        except BadImage:
            raise
        except InputError:  # such as an image in which nobody has a keypoint
            return None
        name, value = task.scoring.score_of_one(evaluation)
        return None if math.isnan(value) else (name, value)

    return cache(lambda index: [score(task, index) for task in tasks])


def difference_of(scores: Sequence[Score]) -> float:
    """The difference between the best and the worst score of an image; -1 if a model has no score."""
    values = [score[1] for score in scores if score is not None]
    return max(values) - min(values) if len(values) == len(scores) else -1.0


def choose(
    count: int,
    total: int,
    pick: Pick,
    *,
    seed: int = 0,
    among: int = 200,
    difference: Callable[[int], float] | None = None,
    usable: Callable[[int], bool] = lambda _: True,
) -> list[int]:
    """Choose at most `count` of `total` images, and return their indices.

    "differ" are those on which `difference` says that the models differ most, the largest first, of at most `among`
    images chosen at random. Images that are not `usable` are never chosen.
    """
    check_choice("pick", pick, Pick)
    if pick == "first":
        return list(islice(filter(usable, range(total)), count))
    shuffled = torch.randperm(total, generator=torch.Generator().manual_seed(seed)).tolist()
    if pick == "random":
        return sorted(islice(filter(usable, shuffled), count))
    if difference is None:
        raise InputError("Nothing is known of these images by which models could differ: choose first or random.")
    differences = {index: difference(index) for index in filter(usable, sorted(shuffled[:among]))}
    return sorted(differences, key=lambda index: -differences[index])[:count]


def compare_images(
    tasks: Sequence[Task], source: DataSource, indices: Sequence[int], scores: ImageScores | None
) -> Iterator[Compared]:
    """Draw what trained tasks of one kind find in the validation images with these indices; yields each when drawn.

    `scores` is None where the ground truth is not known. Raises `InputError` if an image cannot be read.
    """
    for index in indices:
        image, target = source.val[index]
        truth = None if scores is None else tasks[0].truth(image, target)
        yield Compared(
            name_of(source.val, index),
            tasks[0].inputs.show(image, truth),
            None if truth is None else truth.panel(image, truth),
            [task.predict_sample(image, target).panel(image, truth) for task in tasks],
            [None] * len(tasks) if scores is None else scores(index),
        )


def name_of(samples: Any, index: int) -> str:
    """The name of the file of an image, or its index where it has none."""
    paths = getattr(samples, "paths", None)
    return f"image {index}" if paths is None else Path(paths[index]).name
