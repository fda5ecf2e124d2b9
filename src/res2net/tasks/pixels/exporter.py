"""Export of networks that predict values for each pixel, with a fixed input size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from res2net.errors import InputError
from res2net.export.exporter import Exporter
from res2net.tasks.pixels.base import PixelTask


class PixelExporter(Exporter):
    """Exports a network with a map of logits for a fixed image size; smaller images are padded, larger ones resized."""

    task: PixelTask

    def set_size(self, size: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Fix the input size, by default to that of the training crops."""
        height, width = size or self.task.crop
        self.task.fixed_size = (height, width)
        return self.task.fixed_size

    def transform(self) -> Callable[[Any], Tensor]:
        """The transform that scales large images down and pads images to the input size with zeros."""
        return self.task.eval_transform(padded=True)

    def adapt(self, network: nn.Module, size: tuple[int, ...]) -> nn.Module:
        """Wrap the network so that it accepts images up to its input size."""
        return FixedPixels(network, (size[0], size[1]))


class FixedPixels(nn.Module):
    """Pads images to the input size of a network, and crops its logits to the size of the images.

    Images are padded with zeros at the right and bottom. For an image that is smaller than the input size, logits near
    these edges differ from those without padding, and so do all logits of a decoder with global context. The network
    maps `(N, C, *size)` to `(N, K, *size)`.
    """

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, C, H, W)`, none larger than the input size, to logits `(N, K, H, W)`."""
        height, width = images.shape[-2:]
        if height > self.size[0] or width > self.size[1]:
            raise InputError(
                f"An image of {height} x {width} pixels does not fit into the {self.size[0]} x {self.size[1]} of the "
                "exported network: resize it, export with a larger --size, or leave out scales above 1."
            )
        padded = F.pad(images, (0, self.size[1] - width, 0, self.size[0] - height))
        logits = self.network(padded)
        assert isinstance(logits, Tensor)
        return logits[..., :height, :width]
