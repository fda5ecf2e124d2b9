"""What the recipe of clicks is compared with."""

from __future__ import annotations

from typing import Any

from res2net.images.sources import DataSource
from res2net.task.base import Task
from res2net.tasks.pixels.baselines import few_samples, without_looking
from res2net.tasks.pixels.click.network import ClickDiscs

__all__ = ["discs"]


def discs(untrained: Any, source: DataSource) -> dict[str, Task]:
    """A predictor that answers each click with a disc as large as the median object."""
    radius = float(untrained.constant(few_samples(source)))
    return without_looking(untrained, "disc", ClickDiscs(radius, untrained.options.sigma))
