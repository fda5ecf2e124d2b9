"""What the recipe of translation is compared with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from res2net.images.sources import DataSource
from res2net.task.base import Task
from res2net.weights import Preprocessing

__all__ = ["Copy", "copied"]


def copied(untrained: Task, source: DataSource) -> dict[str, Task]:
    """The task with a network that returns its input."""
    copy: Any = Copy(untrained.preprocessing)
    return {"copy": type(untrained)(copy, untrained.preprocessing, untrained.options, untrained.facts)}


class Copy(nn.Module):
    """Returns the image.

    Args:
        preprocessing: by which images were normalised.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        # The device of a task is that of its parameters.
        self.mean, self.std = (
            nn.Parameter(torch.tensor(values).view(-1, 1, 1), requires_grad=False)
            for values in (preprocessing.mean, preprocessing.std)
        )

    def forward(self, images: Tensor) -> Tensor:
        """`(N, 3, H, W)` to the same in 0 ... 1."""
        return (images * self.std + self.mean).clamp(0, 1)
