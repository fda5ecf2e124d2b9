"""A U-Net for volumes on any backbone: a 3-D one, or a 2-D one on stacks of neighbouring slices (2.5-D)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.backbones.base import Backbone, Stage
from res2net.errors import InputError, check_range
from res2net.nn import Res2Bottleneck, initialise
from res2net.nn.layers import activation, conv, norm_layer

__all__ = ["UNetDecoder", "VolumeNetwork", "neighbouring_slices"]

NARROWER = 2
"""The number by which the channels of the decoder are divided from one level to the next finer one."""
FEWEST = 8
"""The least channels of a level."""
INTERPOLATION = {2: "bilinear", 3: "trilinear"}


class VolumeNetwork(nn.Module):
    """A backbone and a decoder that classify every voxel.

    A backbone of three dimensions sees the volume as it is. One of two dimensions sees every slice with its neighbours
    as channels (`neighbouring_slices`), as many as it has input channels.

    Args:
        backbone: of two or three dimensions; one of three has one input channel.
        classes: number of classes, the background included.
        channels: of the decoder's coarsest level; each finer one has half as many.

    Shape: `(N, 1, D, H, W)` to logits `(N, classes, D, H, W)`; D is the number of slices.

    Raises:
        InputError: the backbone is for signals of another kind, or a number is out of range.
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
        check_range("channels", channels, FEWEST)
        self.backbone = backbone
        self.decoder = UNetDecoder(
            backbone.stages, classes, channels, dims=backbone.dims, in_channels=backbone.in_channels, like=backbone
        )

    def forward(self, volumes: Tensor) -> Tensor:
        """The logits of every voxel."""
        if self.backbone.dims == 3:
            return self.decoder(volumes, self.backbone.features(volumes))
        slices = neighbouring_slices(volumes, self.backbone.in_channels)
        logits = self.decoder(slices, self.backbone.features(slices))
        return logits.unflatten(0, (volumes.shape[0], volumes.shape[2])).transpose(1, 2)


class UNetDecoder(nn.Module):
    """From a pyramid back to the size of the input, with a residual block at each level (Ronneberger et al., 2015).

    The coarser level is enlarged by interpolation and joined with the finer one of the pyramid; the last block sees the
    input itself.

    Args:
        stages: of the pyramid, finest first.
        classes: number of classes.
        channels: of the coarsest level.
        dims: dimensions of the signal.
        in_channels: of the input.
        like: a network whose first `Res2Bottleneck` gives the blocks here their scale and base width; they are plain
            where it has none.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        classes: int,
        channels: int,
        *,
        dims: int,
        in_channels: int,
        like: nn.Module,
    ) -> None:
        super().__init__()
        self.mode = INTERPOLATION[dims]
        options = block_options(like)
        skips = [in_channels, *(stage.channels for stage in stages[:-1])]
        coarser = stages[-1].channels
        blocks = []
        for skip in reversed(skips):
            width = max(FEWEST, channels)
            blocks.append(decoder_block(coarser + skip, width, dims=dims, **options))
            coarser, channels = width, channels // NARROWER
        self.blocks = nn.ModuleList(blocks)
        self.classifier = conv(dims, coarser, classes, bias=True)
        initialise(self, zero_init_last=False)

    def forward(self, x: Tensor, pyramid: Sequence[Tensor]) -> Tensor:
        """The input `(N, in_channels, *size)` and its features, finest first, to logits `(N, classes, *size)`."""
        *skips, y = [x, *pyramid]
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            y = F.interpolate(y, skip.shape[2:], mode=self.mode, align_corners=False)
            y = block(torch.cat([y, skip], 1))
        return self.classifier(y)


def block_options(network: nn.Module) -> dict[str, int]:
    """Scale and base width of a network's first `Res2Bottleneck`; those of a plain bottleneck where it has none."""
    for module in network.modules():
        if isinstance(module, Res2Bottleneck):
            return {"scale": module.scale, "base_width": module.base_width * module.cardinality}
    return {"scale": 1, "base_width": 64}


def decoder_block(in_channels: int, channels: int, *, dims: int, scale: int, base_width: int) -> nn.Module:
    """The block of a level, `(N, in_channels, *size)` to `(N, channels, *size)`, after a projection."""
    project = nn.Sequential(conv(dims, in_channels, channels), norm_layer("batch", channels, dims), activation("relu"))
    block = Res2Bottleneck(channels, channels, expansion=1, scale=scale, base_width=base_width, dims=dims)
    return nn.Sequential(project, block)


def neighbouring_slices(volumes: Tensor, count: int) -> Tensor:
    """Every slice with its neighbours on both sides as channels; beyond the ends the last slice is repeated.

    Args:
        volumes: `(N, 1, D, H, W)`.
        count: of slices that are seen together, an odd number.

    Returns:
        `(N * D, count, H, W)`.
    """
    side = count // 2
    padded = F.pad(volumes, (0, 0, 0, 0, side, side), mode="replicate")[:, 0]
    return torch.stack([padded[:, start : start + volumes.shape[2]] for start in range(count)], 2).flatten(0, 1)
