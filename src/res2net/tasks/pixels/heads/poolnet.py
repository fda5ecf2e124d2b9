"""PoolNet: a pooling-based decoder for salient object detection (Liu et al., CVPR 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.backbones.base import Stage
from res2net.tasks.pixels.heads.network import DECODERS, Decoder, initialise_sides, side_channels

POOLED = (1, 3, 5)
"""Output sizes of the pooling in the pyramid pooling module."""
RATES = (2, 4, 8)
"""Kernel sizes of the pooling in a feature aggregation module."""
EDGE_SHARE = 16
"""Ratio of the channels on the middle stages to those of edge maps: 256 and 16 in the paper."""


@DECODERS.register("poolnet")
class PoolNet(Decoder):
    """A top-down path with feature aggregation modules, which get global guidance from a pyramid pooling module.

    The layout is that of the published network on a ResNet of output stride 16. With `edges`, a branch also learns
    edges from the same features and passes them to the last layer, without gradients from there. The paper trains edges
    in turn with salient objects on an edge data set, or jointly on the outlines of the salient objects ("SalEdge"), as
    here.

    Args:
        stages: stages of the backbone, finest first; 3 or more.
        num_classes: number of values of a pixel.
        channels: channels on the middle stages, 256 in the paper; half on the finest, twice as many on the last two.
        edges: whether to learn edges, too.
        aligned: resize the prediction to the image with aligned corners, as the published code does.

    Shape: maps `(N, channels, h, w)`, finest first, to logits in the size of the finest: the prediction
        `(N, num_classes, h, w)`, and with `edges` the fused edges and those of each level, coarsest first,
        `(N, 1, h, w)`.

    Raises:
        InputError: there are fewer than 3 stages.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        num_classes: int = 1,
        channels: int = 256,
        *,
        edges: bool = False,
        aligned: bool = False,
    ) -> None:
        super().__init__()
        self.align_corners = aligned
        widths = side_channels(stages, channels)
        self.convert = nn.ModuleList(
            conv_relu(stage.channels, width, 1) for stage, width in zip(stages, widths, strict=True)
        )
        # From here on, the coarsest level comes first.
        levels = widths[::-1]
        self.ppm = PyramidPooling(stages[-1].channels, levels[0])
        self.infos = nn.ModuleList(conv_relu(levels[0], width, 3) for width in levels[1:])
        self.deep_pool = nn.ModuleList(
            FeatureAggregation(before, channels, merges=True) for before, channels in pairwise(levels)
        )
        self.deep_pool.append(FeatureAggregation(levels[-1], levels[-1], merges=False))
        self.edges = EdgeBranch(levels[1:], levels[-1], max(1, channels // EDGE_SHARE)) if edges else None
        self.score = (
            nn.Conv2d(2 * levels[-1], num_classes, 3, padding=1) if edges else nn.Conv2d(levels[-1], num_classes, 1)
        )
        self.learns = ("mask", *["edge"] * len(levels)) if edges else ("mask",)
        initialise_sides(self, channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Decode maps, finest first, to the prediction and edges; see the class."""
        context = self.ppm(maps[-1])
        guidance = [info(enlarged(context, x)) for info, x in zip(self.infos, maps[-2::-1], strict=True)]
        coarsest, *finer = [convert(x) for convert, x in zip(self.convert, maps, strict=True)][::-1]
        merged, levels = coarsest, []
        for aggregate, x, info in zip(list(self.deep_pool)[:-1], finer, guidance, strict=True):
            merged = aggregate(merged, x, info)
            levels.append(merged)
        merged = self.deep_pool[-1](merged)
        if self.edges is None:
            return [self.score(merged)]
        features = self.edges(levels)
        edge_features = self.edges.about([x.detach() for x in features], merged)
        return [self.score(torch.cat([merged, edge_features], 1)), *self.edges.logits(features, merged)]


DECODERS.add("poolnet_edges", partial(PoolNet, edges=True))
DECODERS.add("poolnet_aligned", partial(PoolNet, aligned=True))


class PyramidPooling(nn.Module):
    """Global context: the coarsest map concatenated with its averages over several grids (pyramid pooling module)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.before = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.parts = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(side), conv_relu(channels, channels, 1)) for side in POOLED
        )
        self.after = conv_relu((1 + len(POOLED)) * channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_channels, h, w)` to `(N, channels, h, w)`."""
        x = self.before(x)
        return self.after(torch.cat([x, *(enlarged(part(x), x) for part in self.parts)], 1))


class FeatureAggregation(nn.Module):
    """Pools a map at several scales and, if it `merges`, adds a finer map and guidance (feature aggregation module).

    Shape: `(N, in_channels, h, w)`, and with `merges` two of `(N, channels, h2, w2)`, to `(N, channels, h2, w2)`.
    """

    def __init__(self, in_channels: int, channels: int, *, merges: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=False) for _ in RATES)
        self.relu = nn.ReLU()
        self.conv_sum = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.conv_merged = nn.Conv2d(channels, channels, 3, padding=1, bias=False) if merges else None

    def forward(self, x: Tensor, finer: Tensor | None = None, info: Tensor | None = None) -> Tensor:
        """Aggregate the maps; see the class."""
        height, width = x.shape[-2:]
        total = x
        for rate, conv in zip(RATES, self.convs, strict=True):
            side = (min(rate, height), min(rate, width))  # the map can be smaller than the kernel
            total = total + enlarged(conv(F.avg_pool2d(x, side, side)), x)
        total = self.relu(total)
        if self.conv_merged is None:
            return self.conv_sum(total)
        assert finer is not None
        assert info is not None
        return self.conv_merged(self.conv_sum(enlarged(total, finer)) + finer + info)


class EdgeBranch(nn.Module):
    """Predicts edges from the maps of the top-down path, and computes edge features for the salient object.

    Each map has `edge_channels` of edge features, and all together `channels` of features for the salient object.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, edge_channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(ResidualBlock(width), ResidualBlock(width), nn.Conv2d(width, edge_channels, 1, bias=False))
            for width in in_channels
        )
        self.sides = nn.ModuleList(nn.Conv2d(edge_channels, 1, 1) for _ in in_channels)
        self.fuse = nn.Conv2d(len(in_channels), 1, 1)
        together = edge_channels * len(in_channels)
        widths = (together, together, channels, channels, channels)
        self.trans = nn.Sequential(*(conv_relu(before, after, 3) for before, after in pairwise(widths)))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The edge features `(N, edge_channels, h, w)` of each map of the top-down path."""
        return [block(x) for block, x in zip(self.blocks, maps, strict=True)]

    def about(self, features: Sequence[Tensor], like: Tensor) -> Tensor:
        """Edge features for the salient object, `(N, channels, h, w)` in the size of `like`."""
        return self.trans(torch.cat([enlarged(x, like) for x in features], 1))

    def logits(self, features: Sequence[Tensor], like: Tensor) -> list[Tensor]:
        """Logits of the fused edges and of the edges at each level, `(N, 1, h, w)` in the size of `like`."""
        levels = [enlarged(side(x), like) for side, x in zip(self.sides, features, strict=True)]
        return [self.fuse(torch.cat(levels, 1)), *levels]


class ResidualBlock(nn.Module):
    """A residual block with a bottleneck of a quarter of the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(1, channels // 4)
        self.branch = nn.Sequential(
            nn.Conv2d(channels, narrow, 1, bias=False),
            nn.Conv2d(narrow, narrow, 3, padding=1, bias=False),
            nn.Conv2d(narrow, channels, 1, bias=False),
        )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, channels, h, w)` to the same shape."""
        return self.relu(x + self.branch(x))


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    """Resize a map to the size of another, bilinearly with `align_corners=True` as in the paper."""
    if x.shape[-2:] == like.shape[-2:]:
        return x
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)


def conv_relu(in_channels: int, channels: int, kernel: int) -> nn.Sequential:
    """A convolution without a bias, followed by a ReLU."""
    return nn.Sequential(nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2, bias=False), nn.ReLU())
