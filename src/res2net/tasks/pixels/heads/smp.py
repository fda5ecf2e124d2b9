"""The decoders of segmentation_models.pytorch (https://github.com/qubvel-org/segmentation_models.pytorch) as ours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from res2net.backbones.base import Stage
from res2net.tasks.pixels.heads.network import DECODERS, Decoder

__all__ = ["LibraryDecoder"]

ARCHITECTURES = ("unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "pan", "upernet")


class LibraryDecoder(Decoder):
    """A decoder of the library, with its own widths, and its last layers.

    Args:
        architecture: its name there.
        stages: of the backbone, of strides 2, 4, 8 and so on.
        num_classes: values of a pixel.

    Raises:
        InputError: the stages do not fit, or the library is not installed.
    """

    def __init__(self, architecture: str, stages: Sequence[Stage], num_classes: int) -> None:
        super().__init__()
        from res2net.adapters.smp import make_decoder  # it takes seconds, and is an extra

        # Maps have to double in size exactly, and the one halves its last map three times.
        self.size_multiple = 8 * stages[-1].stride if architecture == "pan" else 2 ** len(stages)
        self.decoder: nn.Module
        self.head: nn.Module
        self.decoder, self.head = make_decoder(architecture, stages, num_classes)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The pyramid to logits of the image's size."""
        unread: Any = maps[0]  # stands for the image, which no decoder reads
        return [self.head(self.decoder([unread, *maps]))]


def _build(stages: Sequence[Stage], num_classes: int, channels: int, architecture: str) -> LibraryDecoder:
    return LibraryDecoder(architecture, stages, num_classes)


for _architecture in ARCHITECTURES:
    DECODERS.add(_architecture, partial(_build, architecture=_architecture))
