"""Options of `res2net predict` and `res2net eval` for tasks that find objects; nothing here needs torch at import."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from res2net.engine.options import EvalOptions, PredictOptions

if TYPE_CHECKING:
    from res2net.images.sources import DataSource
    from res2net.task.base import Task
    from res2net.task.result import Prediction

__all__ = ["ObjectEvalOptions", "ObjectPredictOptions"]


@dataclass(frozen=True, kw_only=True)
class ObjectPredictOptions(PredictOptions):
    """Options of prediction."""

    coco: Annotated[str | None, "FILE"] = None
    """Write the objects to this file in COCO results format; the number at the end of an image's name is its
    image_id."""

    def predict(self, task: Task, inputs: Sequence[Any], **settings: Any) -> Iterator[Prediction]:
        """Run a task over inputs, and after the last one write the file.

        Raises:
            InputError: the options do not fit the task or the inputs, or the file cannot be written.
        """
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
class ObjectEvalOptions(EvalOptions):
    """Options of evaluation."""

    results: Annotated[str | None, "FILE"] = None
    """Write the results to this file in COCO format."""

    def finish(self, task: Task, source: DataSource, metric: Any) -> None:
        """Write the file of results.

        Raises:
            InputError: it cannot be written.
        """
        if self.results is None:
            return
        from res2net.tasks.objects.coco_results import category_numbers, write_results

        categories = category_numbers(len(task.class_names), source.category_ids)
        entries = [one | {"category_id": categories[one["category_id"]]} for one in metric.detections()]
        write_results(self.results, entries)
