"""A generator, which makes an image of an image, and the discriminator that it learns to deceive.

The generator follows Johnson et al. (ECCV 2016), the discriminator pix2pix (Isola et al., CVPR 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.backbones.base import Stage
from res2net.errors import check_choice
from res2net.nn import Res2Bottleneck, initialise, shortcut_layers
from res2net.nn.layers import Norm, check_positive, conv, norm_layer
from res2net.tasks.pixels.heads.network import Decoder, PixelNetwork
from res2net.tasks.translate.options import AdversarialLoss

MIN_CHANNELS = 16
"""Minimum number of channels of a map."""
NORM: Norm = "instance"
SCALE, WIDTH = 4, 16
"""Scale and base width of the Res2 blocks."""


class ImageDecoder(Decoder):
    """Decodes the coarsest map of a pyramid to the image's resolution, with a Res2 block at each stride.

    Maps are enlarged by nearest-neighbour interpolation, which avoids the checkerboard artefacts of transposed
    convolutions (Odena et al., 2016), and with `skips` the encoder's map of the same stride is added, as in U-Net.
    """

    def __init__(self, stages: Sequence[Stage], channels: int = 3, *, skips: bool = True) -> None:
        super().__init__()
        # Of two maps of one stride, the deeper one is used.
        by_stride = {stage.stride: index for index, stage in enumerate(stages)}
        *finer, coarsest = (by_stride[stride] for stride in sorted(by_stride))
        # Instance normalisation needs more than one value, even for the smallest image.
        self.size_multiple = 2 * stages[coarsest].stride
        self.coarsest = coarsest
        self.steps = nn.ModuleList()
        self.skips: list[int | None] = [index if skips else None for index in reversed(finer)]
        self.skips += [None] * (min(by_stride).bit_length() - 1)
        width = stages[coarsest].channels
        for index in self.skips:
            narrow = max(MIN_CHANNELS, width // 2)
            self.steps.append(Doubled(width, narrow, 0 if index is None else stages[index].channels))
            width = narrow
        self.image = nn.Conv2d(width, channels, 3, padding=1)
        initialise(self, zero_init_last=False)
        # Small, so that no pixel begins where the sigmoid is flat.
        nn.init.normal_(self.image.weight, std=0.02)
        self.register_load_state_dict_pre_hook(rename_picture)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Decode maps, finest first, to one map `(N, channels, H, W)` with the resolution of the image."""
        x = maps[self.coarsest]
        for step, index in zip(self.steps, self.skips, strict=True):
            x = step(x, None if index is None else maps[index])
        return [self.image(x)]


def rename_picture(module: nn.Module, state: dict[str, Tensor], prefix: str, *_others: Any) -> None:
    """Accept weights of version 0.1.0, which called the last convolution `picture`; `state` is changed in place."""
    for name in ("weight", "bias"):
        if f"{prefix}picture.{name}" in state:
            state[f"{prefix}image.{name}"] = state.pop(f"{prefix}picture.{name}")


class Doubled(nn.Module):
    """Doubles the resolution of a map, adds the encoder's map if `skip_channels` is not 0, and applies a Res2 block."""

    def __init__(self, in_channels: int, channels: int, skip_channels: int) -> None:
        super().__init__()
        self.reduce = conv(2, in_channels, channels)
        self.skip = conv(2, skip_channels, channels) if skip_channels else None
        self.norm = norm_layer(NORM, channels, 2)
        self.act = nn.ReLU()
        self.block = Res2Bottleneck(channels, channels, base_width=WIDTH, scale=SCALE, expansion=1, norm=NORM)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """Map `(N, in_channels, h, w)` and `(N, skip_channels, 2 h, 2 w)` to `(N, channels, 2 h, 2 w)`."""
        x = F.interpolate(self.reduce(x), scale_factor=2.0, mode="nearest")
        if self.skip is not None:
            x = x + self.skip(skip)
        return self.block(self.act(self.norm(x)))


class Generator(PixelNetwork):
    """A backbone with an `ImageDecoder`."""

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, in_channels, H, W)` to images `(N, channels, H, W)` with values from 0 to 1."""
        return super().forward(images).sigmoid()


class PatchDiscriminator(nn.Module):
    """A verdict for each patch of a pair of images, which have `in_channels` together, one every 8 pixels.

    The first convolution is that of pix2pix, without a normalisation; its other convolutions are Res2 blocks here. The
    first map has `channels`, the next ones twice and four times as many.
    """

    def __init__(self, in_channels: int, channels: int = 64) -> None:
        super().__init__()
        check_positive("Channels of the discriminator", channels)
        self.first = nn.Sequential(conv(2, in_channels, channels, 3, stride=2, bias=True), nn.LeakyReLU(0.2))
        self.blocks = nn.Sequential(
            *(
                Res2Bottleneck(
                    width,
                    width,
                    base_width=WIDTH,
                    scale=SCALE,
                    expansion=2,
                    norm=NORM,
                    act=partial(nn.LeakyReLU, 0.2),
                    stride=2,
                    mode="stage",
                    downsample=shortcut_layers("avg_pool", width, 2 * width, stride=2, norm=NORM),
                )
                for width in (channels, 2 * channels)
            )
        )
        self.verdict = nn.Conv2d(4 * channels, 1, 3, padding=1)
        initialise(self, zero_init_last=False)
        # Small, so that no patch begins with a verdict that outweighs all other losses.
        nn.init.normal_(self.verdict.weight, std=0.02)

    def forward(self, given: Tensor, image: Tensor) -> Tensor:
        """Verdicts `(N, 1, ceil(H / 8), ceil(W / 8))` on images `(N, b, H, W)` made of `given` `(N, a, H, W)`."""
        return self.verdict(self.blocks(self.first(torch.cat([given, image], 1))))


def adversarial_loss(kind: AdversarialLoss, verdicts: Tensor, *, real: bool) -> Tensor:
    """The loss of a discriminator's verdicts on images that are real, or not.

    `kind` is "least-squares" (Mao et al., ICCV 2017) or "cross-entropy" (Goodfellow et al., 2014).
    """
    check_choice("Adversarial loss", kind, AdversarialLoss)
    wanted = torch.full_like(verdicts, float(real))
    if kind == "least-squares":
        return F.mse_loss(verdicts, wanted)
    return F.binary_cross_entropy_with_logits(verdicts, wanted)
