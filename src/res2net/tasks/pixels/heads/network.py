"""Networks that predict values for each pixel: a backbone with a decoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.backbones.base import Backbone, Stage
from res2net.errors import InputError
from res2net.registry import Registry
from res2net.task.maps import resized

FULL = 256
"""Channels of the branches on the middle stages, as in the papers."""
STD = 0.01
"""Standard deviation of the initial weights with that many channels (published code of DSS and PoolNet)."""


class Decoder(nn.Module):
    """Turns a feature pyramid into one or several maps of logits."""

    size_multiple: int = 1
    """The sides of an image have to be multiples of this."""
    align_corners: bool = False
    """Whether its outputs are resized to the image with the centres of their corner pixels aligned."""
    learns: Sequence[str | None] = ()
    """The target of each map: "mask", its "edge", or None for no loss; empty if all maps have the same target."""

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Decode feature maps `(N, channels, h, w)`, finest first, to logits `(N, K, h, w)`.

        The first map of logits is the prediction; others are only used for deep supervision. Their sizes may differ.
        """
        raise NotImplementedError


DecoderBuilder = Callable[[Sequence[Stage], int, int], Decoder]
"""A function that builds a decoder from the stages of a backbone (finest first), the number of values of a pixel, and
the channels of the decoder. It raises `InputError` if the stages do not suit the decoder.
"""
DECODERS: Registry[DecoderBuilder] = Registry("Decoder", package=__package__)
"""All decoders by name; each module of this folder registers its own."""


class PixelNetwork(nn.Module):
    """A backbone without a classifier, and a decoder for its stages whose maps are resized to the image's size."""

    def __init__(self, backbone: Backbone, decoder: Decoder) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = decoder

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, C, H, W)` of any size to logits `(N, K, H, W)`."""
        return self.all_outputs(images, 1)[0]

    def all_outputs(self, images: Tensor, count: int | None = None) -> list[Tensor]:
        """The first `count` outputs of the decoder, the prediction first, each resized to `(N, K, H, W)`.

        Images are padded to the multiple that the decoder and the backbone require, and the outputs cropped.
        """
        height, width = images.shape[-2:]
        multiple = max(self.decoder.size_multiple, self.backbone.size_multiple)
        if multiple > 1:
            images = F.pad(images, (0, -width % multiple, 0, -height % multiple))
        aligned = self.decoder.align_corners
        outputs = [resized(one, images.shape[-2:], align_corners=aligned) for one in self.decoded(images)[:count]]
        return [one[..., :height, :width] for one in outputs]

    def decoded(self, images: Tensor) -> list[Tensor]:
        """The maps of the decoder, for images whose sides are multiples of the required size."""
        return self.decoder(self.backbone.features(images))


def stage_of_stride(stages: Sequence[Stage], stride: int) -> int:
    """The index of the last stage with a given stride; `InputError` if there is no such stage."""
    indices = [index for index, stage in enumerate(stages) if stage.stride == stride]
    if not indices:
        found = ", ".join(str(stage.stride) for stage in stages)
        raise InputError(f"The decoder needs a stage of stride {stride}, and the network has {found}: choose another.")
    return indices[-1]


def side_channels(stages: Sequence[Stage], channels: int) -> tuple[int, ...]:
    """Channels of the branch on each stage: `channels` on the middle ones, half on the finest, twice on the last two.

    With 256 channels, these are the numbers of DSS and PoolNet on the five stages of a ResNet.
    """
    if len(stages) < 3:
        raise InputError(f"A network of {len(stages)} stages has too few for this decoder: take one with 3 or more.")
    return (max(1, channels // 2), *(channels for _ in stages[3:]), 2 * channels, 2 * channels)


@torch.no_grad()
def initialise_sides(decoder: nn.Module, channels: int) -> None:
    """Initialise the weights of a decoder in place, with a variance that does not depend on its width.

    Modules on the meta device are left alone.
    """
    if any(parameter.is_meta for parameter in decoder.parameters()):
        return
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=STD * math.sqrt(FULL / channels))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
