"""Options that several commands and functions share, and those of tasks. Nothing here needs torch.

A task defines its options in its `options.py`: `NAMEOptions`, and `PredictOptions` or `EvalOptions` where
`res2net predict` or `res2net eval` have options for this task alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from res2net.errors import check_choice
from res2net.registry import task_modules

if TYPE_CHECKING:
    from res2net.images.sources import DataSource
    from res2net.task.base import Task
    from res2net.task.result import Prediction

Precision = Literal["fp32", "bf16", "fp16"]
"""Numerical precision: 32 bits, or mixed precision with 16 bits."""
Accelerator = Literal["auto", "cpu", "gpu", "mps"]
"""The device that a network runs on."""
BadImages = Literal["stop", "skip"]
"""What to do with an image that cannot be read."""
BadAnnotations = Literal["stop", "skip"]
"""What to do with faulty annotations."""
Decode = Literal["full", "scaled"]
"""How JPEG files are decoded: in full, or at the scale that is needed, which is faster for large photos."""
ClassOrder = Literal["alphabetical", "natural"]
"""The order of classes that are folders."""
Pick = Literal["first", "random", "differ"]
"""The images that are compared: the first, random ones, or those where the scores of models differ most."""


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """Options of `res2net predict` that only some tasks have; here none."""

    def predict(self, task: Task, inputs: Sequence[Any], **settings: Any) -> Iterator[Prediction]:
        """Run a task over inputs as these options say; the settings are those of `res2net.engine.predict.predict`.

        Raises:
            InputError: the options do not fit the task or the inputs.
        """
        from res2net.engine.predict import predict

        return predict(task, inputs, **settings)


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """Options of `res2net eval` that only some tasks have; here none."""

    def prepare(self, task: Task) -> None:
        """Set up a trained task before it is evaluated; raises `InputError` if the options do not fit the task."""

    def samples(self, task: Task, source: DataSource) -> Any:
        """The samples to evaluate on, for a loader that uses `collate`."""
        # Training samples are not needed, and where all samples are evaluated there are none.
        return task.datasets(replace(source, train=source.val))[1]

    def finish(self, task: Task, source: DataSource, metric: Any) -> None:
        """Do what remains to be done after the evaluation that updated `metric`, such as writing a file."""


def options_type(task: str) -> type[Any]:
    """The dataclass of a task's options; raises `InputError` if there is no such task."""
    kind: type[Any] = getattr(_module(task), f"{task.title()}Options")
    return kind


def predict_options_type(task: str) -> type[PredictOptions]:
    """The dataclass of a task's options of `res2net predict`."""
    return getattr(_module(task), "PredictOptions", PredictOptions)


def eval_options_type(task: str) -> type[EvalOptions]:
    """The dataclass of a task's options of `res2net eval`."""
    return getattr(_module(task), "EvalOptions", EvalOptions)


def _module(task: str) -> Any:
    check_choice("Task", task, task_modules())
    return importlib.import_module(f"{task_modules()[task]}.options")
