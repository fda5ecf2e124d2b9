"""Export of networks that give a value to each pixel."""

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
    """A network with a map of logits, of images of one size; smaller images are padded, larger ones are resized."""

    task: PixelTask

    def set_size(self, size: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Fix the size: by default that of the training's crops."""
        side = self.task.preprocessing.size
        height, width = size or self.task.options.crop or (side, side)
        self.task.within = (height, width)
        return self.task.within

    def transform(self) -> Callable[[Any], Tensor]:
        """Resize where an image is too large, and pad with zeros up to the size of the network."""
        task = self.task
        return pixel_eval_transform(task.preprocessing, task.options.resize, task.within, padded=True)

    def adapt(self, network: nn.Module, size: tuple[int, ...]) -> nn.Module:
        """The network for images of any size that fit into its own."""
        return FixedPixels(network, (size[0], size[1]))
