"""Options of `res2net predict` and `res2net eval` that only some tasks have. Nothing here needs torch.

A task that has any defines `PredictOptions` or `EvalOptions` in its `options.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from res2net.images.sources import DataSource
    from res2net.task.base import Task
    from res2net.task.result import Prediction

__all__ = ["EvalOptions", "PredictOptions"]


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """Nothing beyond what all tasks have."""

    def predict(
        self,
        task: Task,
        inputs: Sequence[Any],
        *,
        batch_size: int | None = None,
        bad_images: str = "stop",
        accelerator: str = "auto",
        precision: str = "fp32",
    ) -> Iterator[Prediction]:
        """Run a task over inputs as these options say; see `res2net.engine.predict.predict`.

        Raises:
            InputError: the options do not fit the task or the inputs.
        """
        from res2net.engine.predict import predict

        return predict(
            task, inputs, batch_size=batch_size, bad_images=bad_images, accelerator=accelerator, precision=precision
        )


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """Nothing beyond what all tasks have."""

    def prepare(self, task: Task) -> None:
        """Set up a trained task before its data are opened.

        Raises:
            InputError: the options do not fit the task.
        """

    def samples(self, task: Task, source: DataSource) -> Any:
        """The samples to evaluate on, for a loader that uses `collate`."""
        return task.datasets(source)[1]

    def finish(self, task: Task, source: DataSource, metric: Any) -> None:
        """Do what remains to be done after the evaluation that updated `metric`, such as writing a file."""
