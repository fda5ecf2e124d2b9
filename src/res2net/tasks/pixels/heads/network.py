"""A backbone with a decoder: an image to a value for each of its pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from res2net.backbones.base import Backbone, Stage
from res2net.errors import InputError
from res2net.registry import Registry
from res2net.task.maps import resized

__all__ = ["DECODERS", "Decoder", "DecoderBuilder", "PixelNetwork", "stage_of_stride"]


class Decoder(nn.Module):
    """From a pyramid to maps of values, one or several of which are learnt from.

    A decoder is constructed from the stages of a backbone and the number of values of a pixel.
    """

    size_multiple: int = 1
    """What the sides of an image are multiples of."""
    learns: Sequence[str | None] = ()
    """What each of the maps is learnt from: the "mask", the "edge" of it, or None for nothing; empty: all the same."""

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps `(N, channels, h, w)`, finest first, to logits `(N, K, h, w)`.

        The first is the answer; others are only learnt from (deep supervision). Each may have a size of its own.
        """
        raise NotImplementedError


DecoderBuilder = Callable[[Sequence[Stage], int, int], Decoder]
"""Makes a decoder from the stages of a backbone, finest first, the number of values of a pixel, and its channels.

Raises `InputError` where it cannot read these stages.
"""

DECODERS: Registry[DecoderBuilder] = Registry("Decoder", package=__package__)
"""All decoders by name; each module of this folder registers its own."""


class PixelNetwork(nn.Module):
    """Encoder, decoder, and the maps enlarged to the image.

    Args:
        backbone: without classifier.
        decoder: for its stages.
    """

    def __init__(self, backbone: Backbone, decoder: Decoder) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = decoder

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)`, of any size, to logits `(N, K, H, W)`."""
        return self._enlarged(images, self._maps(images)[:1])[0]

    def every(self, images: Tensor) -> list[Tensor]:
        """The answer and what is learnt from beside it, each `(N, K, H, W)`."""
        return self._enlarged(images, self._maps(images))

    def decoded(self, images: Tensor) -> list[Tensor]:
        """The maps of the decoder, of an image whose sides are multiples of what it needs."""
        return self.decoder(self.backbone.features(images))

    def _maps(self, images: Tensor) -> list[Tensor]:
        multiple = max(self.decoder.size_multiple, self.backbone.size_multiple)
        if multiple > 1:
            height, width = images.shape[-2:]
            images = F.pad(images, (0, -width % multiple, 0, -height % multiple))
        return self.decoded(images)

    def _enlarged(self, images: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
        height, width = images.shape[-2:]
        multiple = max(self.decoder.size_multiple, self.backbone.size_multiple)
        padded = (height + -height % multiple, width + -width % multiple)
        return [resized(one, padded)[..., :height, :width] for one in maps]


def stage_of_stride(stages: Sequence[Stage], stride: int) -> int:
    """The index of the last stage that has a stride.

    Raises:
        InputError: there is none.
    """
    places = [place for place, stage in enumerate(stages) if stage.stride == stride]
    if not places:
        found = ", ".join(str(stage.stride) for stage in stages)
        raise InputError(f"The decoder needs a stage of stride {stride}, and the network has {found}: choose another.")
    return places[-1]
