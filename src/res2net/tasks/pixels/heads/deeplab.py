"""DeepLabv3+ (Chen et al., ECCV 2018): spatial pyramid pooling on the last map, refined by a map of stride 4."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP
from torchvision.ops import Conv2dNormActivation

from res2net.backbones.base import Stage
from res2net.nn import initialise
from res2net.task.maps import resized
from res2net.tasks.pixels.heads.network import DECODERS, Decoder, stage_of_stride

RATES = (6, 12, 18)
"""Dilation rates of the 3x3 convolutions for maps of stride 16; doubled for stride 8 (section 4 of the paper)."""
DETAIL_STRIDE = 4
DETAIL_CHANNELS = 48
"""Channels of the finer map per 256 channels of the decoder (section 4.1 of the paper)."""


@DECODERS.register("deeplabv3plus")
class DeepLabV3Plus(Decoder):
    """Atrous spatial pyramid pooling, then two 3x3 convolutions together with a finer map (figure 2 of the paper).

    Args:
        stages: stages of the backbone; one has stride 4, and the dilation rates depend on the stride of the last.
        num_classes: number of values of a pixel.
        channels: channels of the pooled and of the refined map.

    Raises:
        InputError: no stage has stride 4.
    """

    def __init__(self, stages: Sequence[Stage], num_classes: int, channels: int = 256) -> None:
        super().__init__()
        self.fine = stage_of_stride(stages, DETAIL_STRIDE)
        detail = max(1, round(channels * DETAIL_CHANNELS / 256))
        rates = [max(1, rate * 16 // stages[-1].stride) for rate in RATES]
        self.aspp = ASPP(stages[-1].channels, rates, channels)
        self.reduce = Conv2dNormActivation(stages[self.fine].channels, detail, 1)
        self.refine = nn.Sequential(
            Conv2dNormActivation(channels + detail, channels, 3),
            Conv2dNormActivation(channels, channels, 3),
            nn.Dropout(0.1),
            nn.Conv2d(channels, num_classes, 1),
        )
        initialise(self)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Decode the feature maps to logits of stride 4."""
        fine = self.reduce(maps[self.fine])
        coarse = resized(self.aspp(maps[-1]), fine.shape[-2:])
        return [self.refine(torch.cat([coarse, fine], 1))]
