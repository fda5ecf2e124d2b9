"""The decoders of segmentation_models.pytorch (https://github.com/qubvel-org/segmentation_models.pytorch)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from res2net.backbones.base import Stage
from res2net.tasks.pixels.heads.network import DECODERS, Decoder

ARCHITECTURES = ("unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "pan", "upernet")


class LibraryDecoder(Decoder):
    """A decoder and head of segmentation_models.pytorch, with the default widths of that library.

    Args:
        stages: stages of the backbone, with strides 2, 4, 8 and so on.
        num_classes: number of values of a pixel.
        channels: not used.
        architecture: the name of the decoder in the library.

    Raises:
        InputError: the strides of the stages are unsuitable, or the library is not installed.
    """

    def __init__(self, stages: Sequence[Stage], num_classes: int, channels: int, *, architecture: str) -> None:
        super().__init__()
        from res2net.adapters.smp import make_decoder  # slow to import, and an optional dependency

        # Each map has to be exactly twice as large as the next, and PAN halves the last map three more times.
        self.size_multiple = 8 * stages[-1].stride if architecture == "pan" else 2 ** len(stages)
        self.decoder: nn.Module
        self.head: nn.Module
        self.decoder, self.head = make_decoder(architecture, stages, num_classes)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Decode the feature maps to logits of the size of the image."""
        placeholder: Any = maps[0]  # takes the position of the image, which no decoder uses
        return [self.head(self.decoder([placeholder, *maps]))]


for _architecture in ARCHITECTURES:
    DECODERS.add(_architecture, partial(LibraryDecoder, architecture=_architecture))
