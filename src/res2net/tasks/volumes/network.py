"""A U-Net for volumes on any backbone: a 3-D one, or a 2-D one on stacks of neighbouring slices (2.5-D)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.errors import InputError, check_range
from res2net.nn import Res2Bottleneck, initialise
from res2net.nn.layers import activation, conv, norm_layer

MIN_CHANNELS = 8
"""Minimum number of channels of a level of the decoder."""
INTERPOLATION = {2: "bilinear", 3: "trilinear"}


class VolumeNetwork(nn.Module):
    """A backbone and a decoder that classify every voxel.

    A 3-D backbone sees the volume as it is. A 2-D one sees every slice with its neighbours as channels
    (`neighbouring_slices`), as many as it has input channels. The decoder's coarsest level has `channels`, each finer
    one half as many.
    """

    def __init__(self, backbone: Backbone, classes: int, *, channels: int = 256) -> None:
        super().__init__()
        if backbone.dims not in INTERPOLATION:
            raise InputError(
                f"{backbone.variant_name or 'This backbone'} is for signals of {backbone.dims} dimensions: choose one "
                "of three, or one of two, which then sees stacks of slices."
            )
        if backbone.dims == 3 and backbone.in_channels != 1:
            raise InputError(
                f"A backbone with {backbone.in_channels} input channels does not fit volumes, which have one: "
                "build it with in_channels=1."
            )
        check_range("classes", classes, 2)
        check_range("channels", channels, MIN_CHANNELS)
        self.backbone = backbone
        self.decoder = UNetDecoder(backbone, classes, channels)

    def forward(self, volumes: Tensor) -> Tensor:
        """Map `(N, 1, slices, H, W)` to logits `(N, classes, slices, H, W)`."""
        if self.backbone.dims == 3:
            return self.decoder(volumes, self.backbone.features(volumes))
        slices = neighbouring_slices(volumes, self.backbone.in_channels)
        logits = self.decoder(slices, self.backbone.features(slices))
        return logits.unflatten(0, (volumes.shape[0], volumes.shape[2])).transpose(1, 2)


class UNetDecoder(nn.Module):
    """From a pyramid back to the size of the input, with a residual block at each level (Ronneberger et al., 2015).

    The coarser level is enlarged by interpolation and concatenated with the finer one of the pyramid; the last block
    sees the input itself. The blocks have the scale and the base width of the backbone's first `Res2Bottleneck`, and
    are plain if it has none.
    """

    def __init__(self, backbone: Backbone, classes: int, channels: int) -> None:
        super().__init__()
        dims = backbone.dims
        self.mode = INTERPOLATION[dims]
        scale, base_width = block_options(backbone)
        skips = [backbone.in_channels, *(stage.channels for stage in backbone.stages[:-1])]
        coarser = backbone.stages[-1].channels
        blocks = []
        for skip in reversed(skips):
            width = max(MIN_CHANNELS, channels)
            act = activation("relu")
            project = nn.Sequential(conv(dims, coarser + skip, width), norm_layer("batch", width, dims), act)
            block = Res2Bottleneck(width, width, expansion=1, scale=scale, base_width=base_width, dims=dims)
            blocks.append(nn.Sequential(project, block))
            coarser, channels = width, channels // 2
        self.blocks = nn.ModuleList(blocks)
        self.classifier = conv(dims, coarser, classes, bias=True)
        initialise(self, zero_init_last=False)

    def forward(self, x: Tensor, pyramid: Sequence[Tensor]) -> Tensor:
        """Map the input `(N, in_channels, *size)` and its features, finest first, to logits `(N, classes, *size)`."""
        *skips, y = [x, *pyramid]
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            y = F.interpolate(y, skip.shape[2:], mode=self.mode, align_corners=False)
            y = block(torch.cat([y, skip], 1))
        return self.classifier(y)


def block_options(network: nn.Module) -> tuple[int, int]:
    """Scale and base width of a network's first `Res2Bottleneck`; those of a plain bottleneck if it has none."""
    for module in network.modules():
        if isinstance(module, Res2Bottleneck):
            return module.scale, module.base_width * module.cardinality
    return 1, 64


def neighbouring_slices(volumes: Tensor, count: int) -> Tensor:
    """Every slice with its neighbours on both sides as channels; beyond the ends the last slice is repeated.

    Maps `(N, 1, D, H, W)` to `(N * D, count, H, W)`, with an odd `count`.
    """
    side = count // 2
    padded = F.pad(volumes, (0, 0, 0, 0, side, side), mode="replicate")[:, 0]
    return torch.stack([padded[:, start : start + volumes.shape[2]] for start in range(count)], 2).flatten(0, 1)
