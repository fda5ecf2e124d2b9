"""A discriminator of made and real images, patch by patch (Isola et al., CVPR 2017), and the adversarial loss."""

from __future__ import annotations

from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.errors import check_choice
from res2net.nn import Res2Bottleneck, initialise, shortcut_layers
from res2net.nn.layers import Norm, check_positive, conv
from res2net.tasks.translate.options import AdversarialLoss

__all__ = ["PatchDiscriminator", "adversarial_loss"]


class PatchDiscriminator(nn.Module):
    """A verdict for each patch of a pair of images, one every 8 pixels.

    The first convolution is that of pix2pix, without a normalisation; its other convolutions are Res2 blocks here.

    Args:
        in_channels: of both images together.
        channels: of the first map; twice and four times as many of the next.
        norm: as in `Res2Bottleneck`.
        scale: as in `Res2Bottleneck`; 1 makes plain blocks.

    Shape: `(N, a, H, W)` and `(N, b, H, W)` to verdicts `(N, 1, ceil(H / 8), ceil(W / 8))`, large for real ones.

    Raises:
        InputError: an option is out of range.
    """

    def __init__(self, in_channels: int, channels: int = 64, *, norm: Norm = "instance", scale: int = 4) -> None:
        super().__init__()
        check_positive("Channels of the discriminator", channels)
        self.first = nn.Sequential(conv(2, in_channels, channels, 3, stride=2, bias=True), nn.LeakyReLU(0.2))
        blocks = []
        for wide in (2 * channels, 4 * channels):
            block = Res2Bottleneck(
                wide // 2,
                wide // 2,
                base_width=64 // scale,
                scale=scale,
                expansion=2,
                norm=norm,
                act=leaky_relu,
                stride=2,
                mode="stage",
                downsample=shortcut_layers("avg_pool", wide // 2, wide, stride=2, norm=norm),
            )
            blocks.append(block)
        self.blocks = nn.Sequential(*blocks)
        last = conv(2, 4 * channels, 1, 3, bias=True)
        self.verdict = last
        initialise(self, zero_init_last=False)
        # Small, so that no patch begins with a verdict that weighs more than all else.
        assert isinstance(last.weight, Tensor)
        nn.init.normal_(last.weight, std=0.02)

    def forward(self, given: Tensor, image: Tensor) -> Tensor:
        """How real each patch of `image` looks beside `given`."""
        return self.verdict(self.blocks(self.first(torch.cat([given, image], 1))))


def leaky_relu() -> nn.Module:
    """The activation of pix2pix, with a slope of 0.2 below 0."""
    return nn.LeakyReLU(0.2)


def adversarial_loss(kind: AdversarialLoss, verdicts: Tensor, *, real: bool) -> Tensor:
    """How far verdicts are from "real" or from "made".

    Args:
        kind: "least-squares" (Mao et al., ICCV 2017) or "cross-entropy" (Goodfellow et al., 2014).
        verdicts: of a discriminator.
        real: whether they should be those of a real image.
    """
    check_choice("Adversarial loss", kind, get_args(AdversarialLoss))
    wanted = torch.full_like(verdicts, float(real))
    if kind == "least-squares":
        return F.mse_loss(verdicts, wanted)
    return F.binary_cross_entropy_with_logits(verdicts, wanted)
