"""What the recipes of tasks with a value for each pixel are compared with: predictors that see no image."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Subset

from res2net.images.sources import DataSource
from res2net.task.base import Task
from res2net.task.maps import Constant

__all__ = ["constant", "few_samples", "without_looking"]

SEEN = 200
"""Training images from which a predictor that sees no image takes what is usual."""


def constant(untrained: Any, source: DataSource) -> dict[str, Task]:
    """A predictor that gives every pixel of every image the same values, those that are usual in the training."""
    return without_looking(untrained, "constant", Constant(untrained.constant(few_samples(source))))


def few_samples(source: DataSource) -> Any:
    """The first training samples of a source."""
    return Subset(source.train, range(min(SEEN, len(source.train))))  # type: ignore[arg-type]


def without_looking(untrained: Task, name: str, model: Any) -> dict[str, Task]:
    """The task with another model."""
    return {name: type(untrained)(model, untrained.preprocessing, untrained.options, untrained.facts)}
