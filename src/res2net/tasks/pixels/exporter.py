"""Export of networks that predict values for each pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from res2net.export.exporter import Exporter
from res2net.tasks.pixels.base import PixelTask
from res2net.tasks.pixels.data.pixel_transforms import pixel_eval_transform
from res2net.tasks.pixels.heads.fixed import FixedPixels

__all__ = ["PixelExporter"]


class PixelExporter(Exporter):
    """Exports a network with a map of logits for a fixed image size; smaller images are padded, larger ones resized."""

    task: PixelTask

    def set_size(self, size: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Fix the input size, by default to that of the training crops."""
        side = self.task.preprocessing.size
        height, width = size or self.task.options.crop or (side, side)
        self.task.within = (height, width)
        return self.task.within

    def transform(self) -> Callable[[Any], Tensor]:
        """The transform that scales large images down and pads images to the input size with zeros."""
        task = self.task
        return pixel_eval_transform(task.preprocessing, task.options.resize, task.within, padded=True)

    def adapt(self, network: nn.Module, size: tuple[int, ...]) -> nn.Module:
        """Wrap the network so that it accepts images up to its input size."""
        return FixedPixels(network, (size[0], size[1]))
