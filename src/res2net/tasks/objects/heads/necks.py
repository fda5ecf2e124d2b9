"""Necks: what makes the maps of a detector from the features of its backbone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from res2net.adapters.torchvision import pyramid_on
from res2net.backbones.base import Backbone
from res2net.backbones.stages import check_stages
from res2net.tasks.objects.heads.options import DetectorOptions


class Neck(nn.Module):
    """A module from the features of all stages of a backbone to maps of one width, by name, finest first."""

    levels: tuple[int, ...]
    """The stages that it uses, finest first."""
    strides: list[int]
    """The strides of as many of its maps; coarser maps, each of half the size, follow them."""
    channels: int
    """The number of channels of every map."""


class PyramidNeck(Neck):
    """A feature pyramid network on stages of a backbone (Lin et al., CVPR 2017), with additional coarser maps.

    Args:
        backbone: the backbone; stages after the last one used are removed from it.
        channels: number of channels of every map.
        levels: the stages to use, by default all but the stem.
        extra_blocks: creates the coarser maps; by default a single one of half the size of the last, "pool".

    Shape: the features of all stages to maps `(N, channels, ceil(H / stride), ceil(W / stride))` by name: "0", "1", ...
    and the coarser ones, finest first.
    """

    def __init__(
        self,
        backbone: Backbone,
        channels: int,
        levels: Sequence[int] | None = None,
        extra_blocks: ExtraFPNBlock | None = None,
    ) -> None:
        super().__init__()
        self.levels, self.fpn = pyramid_on(backbone, channels, levels, extra_blocks)
        self.strides = [backbone.stages[level].stride for level in self.levels]
        self.channels = channels

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """The maps by name."""
        return self.fpn(OrderedDict((str(index), features[level]) for index, level in enumerate(self.levels)))


class HighResolutionNeck(Neck):
    """The neck HRFPN of an HRNet (Wang et al., TPAMI 2021, figure 4c): all stages are mixed at the finest resolution.

    The maps are upsampled to the finest (bilinear), concatenated and mixed by a 1x1 convolution; average pooling makes
    a pyramid of the result, with a 3x3 convolution for each of its maps. What the backbone has behind its parallel
    branches for classification alone is removed (`Backbone.keep_branches`).

    Args:
        backbone: the backbone; stages after the last one used are removed from it.
        channels: number of channels of every map.
        levels: the stages to use, by default all but the stem.
        stride: of the 3x3 convolutions; with 2, every map is half as large (as in MMDetection's FCOS).

    Shape: the features of all stages to maps `(N, channels, ceil(H / stride), ceil(W / stride))` by name: "0", "1",
    ..., one more than there are levels, finest first.

    Raises:
        InputError: a stage does not exist.
    """

    def __init__(
        self, backbone: Backbone, channels: int, levels: Sequence[int] | None = None, *, stride: int = 1
    ) -> None:
        super().__init__()
        count = len(backbone.stages)
        self.levels = tuple(range(1, count) if levels is None else levels)
        check_stages(self.levels, count)
        backbone.keep_stages(max(self.levels) + 1).keep_branches()
        used = [backbone.stages[level] for level in self.levels]
        self.strides = [used[0].stride * stride * 2**index for index in range(len(used))]
        self.channels = channels
        self.reduction = nn.Conv2d(sum(stage.channels for stage in used), channels, 1)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, stride, padding=1) for _ in range(len(used) + 1)
        )
        for convolution in (self.reduction, *self.convolutions):
            nn.init.kaiming_uniform_(convolution.weight, a=1)
            nn.init.zeros_(convolution.bias)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """The maps by name."""
        first, *others = (features[level] for level in self.levels)
        size = first.shape[-2:]
        mixed = self.reduction(torch.cat([first, *(F.interpolate(map_, size, mode="bilinear") for map_ in others)], 1))
        # Windows at the right and bottom may be cut off, as in other pyramids: a map is never empty.
        pyramid = [mixed, *(F.avg_pool2d(mixed, 2**i, ceil_mode=True) for i in range(1, len(self.convolutions)))]
        return {str(i): self.convolutions[i](map_) for i, map_ in enumerate(pyramid)}


def make_neck(backbone: Backbone, options: DetectorOptions) -> Neck:
    """The neck of a two-stage detector, by the option `neck`."""
    kind: Callable[..., Neck] = HighResolutionNeck if options.neck == "hrfpn" else PyramidNeck
    return kind(backbone, options.fpn_channels, options.levels)
