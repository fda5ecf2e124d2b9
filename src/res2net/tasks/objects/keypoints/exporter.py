"""How a network for heat maps is exported: what finds the points in them is not a part of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from res2net.errors import InputError
from res2net.export.exporter import Exporter
from res2net.tasks.objects.base import ObjectTask
from res2net.tasks.objects.keypoints.options import KeypointsOptions

__all__ = ["HeatmapExporter"]


class HeatmapExporter(Exporter):
    """Heat maps of crops of the size of the training."""

    outputs = ("heatmaps",)
    required_facts = ("keypoints",)

    task: ObjectTask

    def set_size(self, size: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """The size of the crops; `InputError` for any other."""
        options = self.task.options
        assert isinstance(options, KeypointsOptions)
        height, width = options.crop
        if size is not None and tuple(size) != (height, width):
            raise InputError(
                f"The network sees crops of {height} x {width} pixels, as it was trained: leave out --size."
            )
        return height, width

    def transform(self) -> Callable[[Any], Tensor]:
        """A whole image as a crop."""
        prepare = self.task.transform(False)
        return lambda image: prepare(image, {})[0]
