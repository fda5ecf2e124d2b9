"""DSS: deeply supervised side outputs with short connections (Hou et al., CVPR 2017 and TPAMI 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.backbones.base import Stage
from res2net.errors import InputError
from res2net.task.maps import resized
from res2net.tasks.pixels.heads.network import DECODERS, Decoder
from res2net.tasks.pixels.heads.sides import initialise_sides, side_channels

__all__ = ["DSS", "mean_logit"]


@DECODERS.register("dss")
class DSS(Decoder):
    """A side output on each stage, which sees those of coarser stages, and their fusion.

    The layout is that of the published network on a ResNet: on the stem two convolutions of 3x3 pixels, on the
    coarsest stage of 7x7, on the others of 5x5, each followed by a 1x1 convolution to one map. Short connections lead
    from the two coarsest maps to all others, and from all to the finest; a 1x1 convolution joins what comes in. The
    fusion is a weighted sum of all side outputs. The answer is the mean of the fusion's and the middle sides'
    probabilities (as the published code; all but the finest and the coarsest).

    Side outputs are fused in the size of the finest map, not of the image. What the published code does beside is
    left out: it learns its 1x1 layers at a tenth of the rate, and refines maps with a conditional random field.

    Args:
        stages: of the backbone, finest first; 3 or more.
        num_classes: 1.
        channels: of the branches on the middle stages; 256 in the paper. The finest has half, the last two have twice
            as many.

    Shape: maps `(N, channels, h, w)`, finest first, to logits `(N, 1, h, w)`: the answer, the fusion, and a side output
        for each stage, finest first.

    Raises:
        InputError: there are fewer than 3 stages, or more than one value of a pixel is asked for.
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
        # From which coarser stages a stage is told what they see.
        self.connections = tuple(
            tuple(range(1, count)) if place == 0 else tuple(last) if place < count - 2 else () for place in range(count)
        )
        self.joins = nn.ModuleList(
            nn.Conv2d(1 + len(sources), 1, 1) if sources else nn.Identity() for sources in self.connections
        )
        self.fuse = nn.Conv2d(count, 1, 1)
        self.learns = (None, *["mask"] * (1 + count))  # the answer is made of what is learnt
        initialise_sides(self, channels)
        if not self.fuse.weight.is_meta:
            nn.init.constant_(self.fuse.weight, 1 / count)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps, finest first, to the answer and what is learnt from; see the class."""
        outputs = [side(x) for side, x in zip(self.sides, maps, strict=True)]
        # The coarsest first: a finer stage is told what came in at the others.
        for place, join in reversed(list(enumerate(self.joins))):
            told = [resized(outputs[source], size_of(outputs[place])) for source in self.connections[place]]
            outputs[place] = join(torch.cat([outputs[place], *told], 1))
        fused = self.fuse(torch.cat([resized(output, size_of(outputs[0])) for output in outputs], 1))
        middle = [resized(output, size_of(fused)) for output in outputs[1:-1]]
        return [mean_logit([fused, *middle]), fused, *outputs]


def side_output(in_channels: int, channels: int, kernel: int) -> nn.Sequential:
    """Two convolutions and one to a single map."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.Conv2d(channels, 1, 1),
    )


def size_of(x: Tensor) -> tuple[int, int]:
    """Height and width of a map."""
    return x.shape[-2], x.shape[-1]


def mean_logit(logits: Sequence[Tensor]) -> Tensor:
    """The logit of the mean of probabilities, from their logits, all of one shape; exact also far from 0."""
    every = torch.stack(list(logits))
    return F.logsigmoid(every).logsumexp(0) - F.logsigmoid(-every).logsumexp(0)
