"""DSS: deeply supervised side outputs with short connections (Hou et al., CVPR 2017 and TPAMI 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.backbones.base import Stage
from res2net.errors import InputError
from res2net.task.maps import resized
from res2net.tasks.pixels.heads.network import DECODERS, Decoder, initialise_sides, side_channels


@DECODERS.register("dss")
class DSS(Decoder):
    """Side outputs on all stages, with short connections from coarser stages, and their fusion.

    The layout is that of the published network on a ResNet: two 3x3 convolutions on the stem, two 7x7 on the coarsest
    stage and two 5x5 on the others, each followed by a 1x1 convolution to a single map. Short connections lead from the
    two coarsest maps to all others, and from all maps to the finest, where a 1x1 convolution merges them. The fusion is
    a weighted sum of all side outputs. The prediction is the mean probability of the fusion and of all side outputs but
    the finest and the coarsest. Unlike in the published code, side outputs are fused at the size of the finest map, the
    1x1 layers do not have a tenth of the learning rate, and there is no conditional random field.

    Args:
        stages: stages of the backbone, finest first; 3 or more.
        num_classes: must be 1.
        channels: channels of the branches on the middle stages, 256 in the paper; half on the finest, twice as many on
            the last two.

    Shape: maps `(N, channels, h, w)`, finest first, to logits `(N, 1, h, w)`: the prediction, the fusion, and the side
        output of each stage, finest first.

    Raises:
        InputError: there are fewer than 3 stages, or `num_classes` is not 1.
    """

    def __init__(self, stages: Sequence[Stage], num_classes: int = 1, channels: int = 256) -> None:
        super().__init__()
        if num_classes != 1:
            raise InputError(f"DSS tells one thing of a pixel, and {num_classes} are asked for: take another decoder.")
        count = len(stages)
        kernels = (3, *[5] * (count - 2), 7)
        self.sides = nn.ModuleList(
            side_output(stage.channels, width, kernel)
            for stage, width, kernel in zip(stages, side_channels(stages, channels), kernels, strict=True)
        )
        last = range(max(0, count - 2), count)
        # For each stage, the coarser stages from which it has short connections.
        self.connections = tuple(
            tuple(range(1, count)) if index == 0 else tuple(last) if index < count - 2 else () for index in range(count)
        )
        self.joins = nn.ModuleList(
            nn.Conv2d(1 + len(sources), 1, 1) if sources else nn.Identity() for sources in self.connections
        )
        self.fuse = nn.Conv2d(count, 1, 1)
        self.learns = (None, *["mask"] * (1 + count))  # the prediction is an average of maps that have a loss
        initialise_sides(self, channels)
        if not self.fuse.weight.is_meta:
            nn.init.constant_(self.fuse.weight, 1 / count)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Decode maps, finest first, to the prediction and the outputs with a loss; see the class."""
        outputs = [side(x) for side, x in zip(self.sides, maps, strict=True)]
        # Start at the coarsest stage, so that finer stages get the merged outputs of coarser ones.
        for index, join in reversed(list(enumerate(self.joins))):
            coarser = [resized(outputs[source], outputs[index].shape[-2:]) for source in self.connections[index]]
            outputs[index] = join(torch.cat([outputs[index], *coarser], 1))
        fused = self.fuse(torch.cat([resized(output, outputs[0].shape[-2:]) for output in outputs], 1))
        middle = [resized(output, fused.shape[-2:]) for output in outputs[1:-1]]
        return [mean_logit([fused, *middle]), fused, *outputs]


def side_output(in_channels: int, channels: int, kernel: int) -> nn.Sequential:
    """Two convolutions, followed by a 1x1 convolution to a single map."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.Conv2d(channels, 1, 1),
    )


def mean_logit(logits: Sequence[Tensor]) -> Tensor:
    """The logit of the mean probability, computed from logits of equal shapes; accurate also for large logits."""
    stacked = torch.stack(list(logits))
    return F.logsigmoid(stacked).logsumexp(0) - F.logsigmoid(-stacked).logsumexp(0)
