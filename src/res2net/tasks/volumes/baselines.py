"""What the recipe of volumes is compared with."""

from __future__ import annotations

import torch

from res2net.images.sources import DataSource
from res2net.task.base import Task
from res2net.task.constant import Constant

__all__ = ["constant"]


def constant(untrained: Task, source: DataSource) -> dict[str, Task]:
    """A predictor that gives every voxel the largest class but the background, which would have a Dice of 0."""
    counts = torch.zeros(len(source.class_names), dtype=torch.int64)
    for index in range(len(source.train)):
        _, target = source.train[index]
        counts += target["label_map"].flatten().bincount(minlength=len(counts))
    largest = 1 + int(counts[1:].argmax())
    values = torch.zeros(len(counts)).index_fill_(0, torch.tensor(largest), 1.0)
    return {"constant": type(untrained)(Constant(values), untrained.preprocessing, untrained.options, untrained.facts)}
