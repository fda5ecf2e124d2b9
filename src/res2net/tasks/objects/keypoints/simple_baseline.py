"""SimpleBaseline: keypoints of one person as the largest values of heat maps (Xiao, Wu, Wei, ECCV 2018)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.errors import InputError

STRIDE = 4
"""Pixels of the image for each of a heat map, unless asked for otherwise."""
STD = 0.001
"""Standard deviation of the initial weights of the head (the published code)."""


class SimpleBaseline(nn.Module):
    """A backbone, transposed convolutions that double the size of its last features, and a 1x1 convolution.

    Each of the transposed convolutions is 4x4 of stride 2, with batch normalisation and ReLU (section 2 of the paper).
    The head's layers have the names of the published code.

    Args:
        backbone: a network for images, without classifier.
        num_keypoints: heat maps.
        channels: of each transposed convolution: 256 for all, or a number for each. By default there are as many as
            lead from the backbone's output stride to 1/4 of the image: three from 32, two from 16.

    Shape: `(N, in_channels, H, W)` to heat maps `(N, num_keypoints, H / stride, W / stride)`, where H and W are
        multiples of the backbone's output stride.

    Raises:
        InputError: the backbone has a classifier or is not for images, its stride leads to no whole number of
            transposed convolutions, or there is no keypoint.
    """

    def __init__(self, backbone: Backbone, num_keypoints: int, *, channels: int | Sequence[int] = 256) -> None:
        super().__init__()
        if backbone.num_classes or backbone.dims != 2:
            raise InputError(
                f"A backbone with {backbone.num_classes} classes and {backbone.dims} dimensions has no features for "
                "heat maps: make one for images with num_classes=0."
            )
        if num_keypoints < 1:
            raise InputError(f"{num_keypoints} keypoints cannot be learnt: give 1 or more.")
        last = backbone.stages[-1]
        if isinstance(channels, int):
            widths = (channels,) * max(0, int(math.log2(last.stride / STRIDE)))
            fits = last.stride == STRIDE * 2 ** len(widths)
        else:
            widths = tuple(channels)
            fits = last.stride % 2 ** len(widths) == 0
        if not fits or min(widths, default=1) < 1:
            raise InputError(
                f"Transposed convolutions of {list(widths)} channels do not fit a backbone of stride {last.stride}: "
                f"choose one whose output_stride is {STRIDE} times a power of 2, or give channels for as many as halve "
                "that stride, at most down to 1."
            )
        self.backbone = backbone
        self.num_keypoints = num_keypoints
        self.stride = last.stride // 2 ** len(widths)
        layers: list[nn.Module] = []
        width_in = last.channels
        for width in widths:
            layers += [
                nn.ConvTranspose2d(width_in, width, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            width_in = width
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(width_in, num_keypoints, 1)
        for layer in (*self.deconv_layers, self.final_layer):
            if isinstance(layer, nn.ConvTranspose2d | nn.Conv2d) and not layer.weight.is_meta:
                nn.init.normal_(layer.weight, std=STD)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, in_channels, H, W)` to heat maps `(N, num_keypoints, H / stride, W / stride)`."""
        features = self.backbone.features(images)[-1]
        return self.final_layer(self.deconv_layers(features))


def heatmap_loss(heatmaps: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Half of the mean squared error of all values of all maps, those of a map without weight counting as right.

    The half and the mean over all maps, whether they have weight or not, are those of the published code: they set how
    a learning rate of it is to be read.

    Args:
        heatmaps: `(N, k, h, w)`.
        wanted: of the same shape, as `HeatmapCodec.encode` makes them.
        weights: `(N, k)`: 1 for points that are labelled and within the crop, else 0.
    """
    return 0.5 * ((heatmaps - wanted) * weights[..., None, None]).square().mean()
