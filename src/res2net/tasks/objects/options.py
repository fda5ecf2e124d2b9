"""What a user can choose for every task that finds objects; nothing here needs torch."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from res2net.engine.options import EvalOptions, PredictOptions
from res2net.errors import check_range
from res2net.options import check_literals, check_ranges
from res2net.tasks.objects.heads.options import DetectorOptions

if TYPE_CHECKING:
    from res2net.images.sources import DataSource
    from res2net.task.base import Task
    from res2net.task.result import Prediction


@dataclass(frozen=True)
class ObjectOptions:
    """How images with objects are prepared, and what of the network is trained.

    Raises:
        InputError: a value is out of range or not known.
    """

    size_help: ClassVar[str] = "One number, the shorter side of images, pixels."
    adjustable: ClassVar[tuple[str, ...]] = (
        "score_threshold",
        "nms_threshold",
        "detections",
        "max_size",
        "min_score",
    )
    """The options that may change after training."""

    everyday: ClassVar[tuple[str, ...]] = ("detector", "max_size", "flip", "freeze", "freeze_norms")

    detector: str = ""
    """The network that finds the objects."""
    head: DetectorOptions = field(default_factory=DetectorOptions)
    """Sizes and thresholds of the detector."""
    max_size: int = 1333
    """Longest side of an image, pixels; --size is the shorter side."""
    min_sizes: tuple[int, ...] = ()
    """Shorter sides to draw from in training; by default --size alone."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    jitter: tuple[float, float] | None = None
    """Large-scale jitter: the least and the largest factor of the size, such as 0.1 2.0, before a crop to a square."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation."""
    photometric_distort: float = 0.0
    """Probability of each of SSD's changes: brightness, contrast, saturation, hue, order of channels; 0.5 in SSD."""
    min_score: float = 0.5
    """Score from which objects are drawn, listed in tables and counted in reports; scores do not change metrics."""
    freeze: int = 0
    """How many stages of the backbone are not trained, the stem first."""
    freeze_norms: bool = False
    """Batch normalisations of the backbone never learn, as is usual with published weights and small batches."""

    def __post_init__(self) -> None:
        check_literals(self)
        check_ranges(self, max_size=(16, 16384), min_sizes=(16, 16384), flip=(0, 1))
        check_ranges(self, min_score=(0, 1), color_jitter=(0, 1), photometric_distort=(0, 1), freeze=(0, 100))


@dataclass(frozen=True, kw_only=True)
class DetectionLimits:
    """Which detections are kept, in prediction and in evaluation."""

    score_threshold: float | None = None
    """Minimum score of an object. By default results have all objects above the threshold of the training (usually
    0.05), of which tables and drawings show those from 0.5."""
    nms_threshold: float | None = None
    """Intersection over union of two detections of a class above which only the higher-scoring one is kept; by default
    as in the training."""
    detections: int | None = None
    """Maximum detections per image; by default as in the training."""

    def limits(self) -> dict[str, Any]:
        """The options of the task that change, with their values."""
        names = ("score_threshold", "nms_threshold", "detections")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, kw_only=True)
class ObjectPredictOptions(DetectionLimits, PredictOptions):
    """Options of prediction."""

    coco: Annotated[str | None, "FILE"] = None
    """Write the objects to this file in COCO results format; the number at the end of an image's name is its
    image_id."""

    def predict(self, task: Task, inputs: Sequence[Any], **settings: Any) -> Iterator[Prediction]:
        """Run a task over inputs, and after the last one write the file."""
        from res2net.engine.restore import adjust

        finder: Any = copy.copy(task)  # the next prediction may have other limits
        changes = self.limits()
        if self.score_threshold is not None:
            check_range("score threshold", self.score_threshold, 0, 1)
            finder.least_score = changes["min_score"] = self.score_threshold
            if "min_score" not in task.options.adjustable:  # the boxes are given, and what is found in them has scores
                del changes["min_score"], changes["score_threshold"]
        adjust(finder, changes)
        task = finder
        found = self._predict(task, inputs, **settings)
        return found if self.coco is None else self._written(task, found, self.coco)

    def _predict(self, task: Task, inputs: Sequence[Any], **settings: Any) -> Iterator[Prediction]:
        return super().predict(task, inputs, **settings)

    def _written(self, task: Any, found: Iterator[Prediction], path: str) -> Iterator[Prediction]:
        from res2net.tasks.objects.coco_results import category_numbers, image_numbers, listed_results, write_results
        from res2net.tasks.objects.result import Objects

        kept = []
        for one in found:
            kept.append(one)
            yield one
        image_ids = image_numbers([Path(one.name) for one in kept])
        results = [
            (image_id, one.result)
            for image_id, one in zip(image_ids, kept, strict=True)
            if isinstance(one.result, Objects)
        ]
        categories = category_numbers(len(task.class_names), task.category_ids)
        write_results(path, listed_results(results, task.class_names, categories))


@dataclass(frozen=True, kw_only=True)
class ObjectEvalOptions(DetectionLimits, EvalOptions):
    """Options of evaluation."""

    results: Annotated[str | None, "FILE"] = None
    """Write the results to this file in COCO format."""

    def prepare(self, task: Task) -> None:
        """Set which detections are kept; `InputError` if a value is out of range or does not apply."""
        from res2net.engine.restore import adjust

        adjust(task, self.limits())

    def finish(self, task: Task, source: DataSource, metric: Any) -> None:
        """Write the file of results."""
        if self.results is None:
            return
        from res2net.tasks.objects.coco_results import category_numbers, write_results

        categories = category_numbers(len(task.class_names), source.category_ids)
        entries = [one | {"category_id": categories[one["category_id"]]} for one in metric.detections()]
        write_results(self.results, entries)
