"""An image made of an image: the second half of a generator (Johnson et al., ECCV 2016; Isola et al., CVPR 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from res2net.backbones.base import Backbone, Stage
from res2net.nn import Res2Bottleneck, initialise
from res2net.nn.layers import Norm, check_positive, conv, norm_layer
from res2net.tasks.pixels.heads.network import Decoder, PixelNetwork

__all__ = ["Generator", "ImageDecoder"]

LEAST = 16
"""Channels of the finest map at least."""


class ImageDecoder(Decoder):
    """From the coarsest map of a pyramid to the image's resolution, with a Res2 block of stride 1 at each stride.

    Maps are doubled by their nearest values, which leaves no chequered traces as transposed convolutions do (Odena et
    al., 2016), and what the encoder saw at that stride is added (the skip connections of U-Net).

    Args:
        stages: of the backbone.
        channels: of the image.
        skips: whether the encoder's finer maps are added.
        scale: of the Res2 blocks; 1 makes plain ones.
        norm: as in `Res2Bottleneck`.

    Shape: maps to one map `(N, channels, H, W)` with the resolution of the image.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        channels: int = 3,
        *,
        skips: bool = True,
        scale: int = 4,
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        check_positive("Scale", scale)
        # Of two maps of one stride the deeper knows more.
        by_stride = {stage.stride: index for index, stage in enumerate(stages)}
        *finer, coarsest = (by_stride[stride] for stride in sorted(by_stride))
        # Instance normalisation needs more than one value, also of the smallest image.
        self.size_multiple = 2 * stages[coarsest].stride
        self.coarsest = coarsest
        self.steps = nn.ModuleList()
        self.seen: list[int | None] = [index if skips else None for index in reversed(finer)]
        self.seen += [None] * (min(by_stride).bit_length() - 1)
        width = stages[coarsest].channels
        for index in self.seen:
            narrow = max(LEAST, width // 2)
            self.steps.append(Doubled(width, narrow, 0 if index is None else stages[index].channels, scale, norm))
            width = narrow
        last = conv(2, width, channels, 3, bias=True)
        self.image = last
        initialise(self, zero_init_last=False)
        # Small, so that no pixel begins where the sigmoid is flat.
        assert isinstance(last.weight, Tensor)
        nn.init.normal_(last.weight, std=0.02)
        self.register_load_state_dict_pre_hook(rename_picture)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps, finest first, to a value for each channel and pixel."""
        x = maps[self.coarsest]
        for step, index in zip(self.steps, self.seen, strict=True):
            x = step(x, None if index is None else maps[index])
        return [self.image(x)]


def rename_picture(module: nn.Module, state: dict[str, Tensor], prefix: str, *_others: Any) -> None:
    """Accept weights of version 0.1.0, which called the last convolution `picture`; `state` is changed in place."""
    for name in ("weight", "bias"):
        if f"{prefix}picture.{name}" in state:
            state[f"{prefix}image.{name}"] = state.pop(f"{prefix}picture.{name}")


class Doubled(nn.Module):
    """Twice the resolution, what was seen there before, and a Res2 block.

    Args:
        in_channels: of the map to be doubled.
        channels: of what comes out.
        seen: channels of the encoder's map; 0 for none.
        scale: as in `Res2Bottleneck`.
        norm: as in `Res2Bottleneck`.
    """

    def __init__(self, in_channels: int, channels: int, seen: int, scale: int, norm: Norm) -> None:
        super().__init__()
        self.reduce = conv(2, in_channels, channels)
        self.skip = conv(2, seen, channels) if seen else None
        self.norm = norm_layer(norm, channels, 2)
        self.act = nn.ReLU()
        # As wide within as outside at scale 1; with more splits the width of one makes up for their number.
        base_width = 32 if scale == 1 else 64 // scale
        self.block = Res2Bottleneck(channels, channels, base_width=base_width, scale=scale, expansion=1, norm=norm)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """`(N, in_channels, h, w)` and `(N, seen, 2 h, 2 w)` to `(N, channels, 2 h, 2 w)`."""
        x = F.interpolate(self.reduce(x), scale_factor=2.0, mode="nearest")
        if self.skip is not None:
            x = x + self.skip(seen)
        return self.block(self.act(self.norm(x)))


class Generator(PixelNetwork):
    """A network that makes an image of an image.

    Args:
        backbone: sees the image.
        decoder: makes the new one.

    Shape: `(N, in_channels, H, W)` to values 0 ... 1 `(N, channels, H, W)`.
    """

    decoder: ImageDecoder

    def __init__(self, backbone: Backbone, decoder: ImageDecoder) -> None:
        super().__init__(backbone, decoder)

    def forward(self, images: Tensor) -> Tensor:
        """The image that is made."""
        return super().forward(images).sigmoid()
