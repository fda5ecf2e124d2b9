"""VecRoad: maps of roads and junctions, and of the next points of a walk (Tan et al., CVPR 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.task.maps import resized

SIDES = 4
"""Maximum number of stages that are used, the last ones."""
RARE = 0.01
"""Initial probability in the maps of junctions and next points, whose pixels are few."""
POINT_SIGMA = 2.0
"""Standard deviation of the mark on the current point, pixels."""
MARGIN = 128
"""Pixels around a tile that are seen with it."""


class RoadNetwork(nn.Module):
    """Side outputs of a backbone, fused at the finest of their strides, and three branches on them.

    Each stage behind the stem is brought to `channels` by a 3x3 convolution, and all to the size of the finest; a 3x3
    convolution fuses them (section 3.3 of the paper). Two branches predict the maps of roads and of junctions, and an
    hourglass that of next points from a window of the fused features and of both branches, the lines walked there and
    the current point. Unlike in the published code, the features are computed once for an image rather than for each
    window, and the hourglass marks all next points in one map. In training, the side outputs are supervised, too.

    The arguments are those of `RoadsOptions`; a backbone that is not for images, or whose strides the window does not
    fit, raises `InputError`.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        channels: int = 128,
        branch_channels: int = 64,
        next_channels: int = 128,
        window: int = 256,
    ) -> None:
        super().__init__()
        if backbone.dims != 2 or len(backbone.stages) < 2:
            raise InputError(f"Roads are found in images: {backbone.variant_name} makes no pyramid of them.")
        self.backbone = backbone
        self.used = range(max(1, len(backbone.stages) - SIDES), len(backbone.stages))
        stages = [backbone.stages[index] for index in self.used]
        self.stride = stages[0].stride
        if window % (8 * self.stride):
            raise InputError(
                f"A window of {window} pixels does not fit features of stride {self.stride}: give a multiple of "
                f"{8 * self.stride}."
            )
        self.window = window
        self.sides = nn.ModuleList(Conv2dNormActivation(stage.channels, channels, 3) for stage in stages)
        self.side_maps = nn.ModuleList(nn.Conv2d(channels, 2, 1) for _ in stages)
        self.fuse = Conv2dNormActivation(len(stages) * channels, channels, 3)
        self.roads = branch(channels, branch_channels)
        self.junctions = branch(channels, branch_channels)
        self.road_map = nn.Conv2d(branch_channels, 1, 1)
        self.junction_map = nn.Conv2d(branch_channels, 1, 1)
        seen = channels + 2 * branch_channels + 2 * self.stride**2
        self.next_points = Hourglass(seen, next_channels, self.stride)
        start_rare(self.junction_map)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, in_channels, H, W)` to logits of roads and of junctions, `(N, 2, H, W)`."""
        return self.explored(images)[0]

    def explored(self, images: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The logits `(N, 2, H, W)`, the features for steps `(N, C, h, w)`, and the side outputs `(N, K, h, w)`."""
        pyramid = self.backbone.features(images)
        size = pyramid[self.used[0]].shape[-2:]
        sides = [resized(side(pyramid[index]), size) for side, index in zip(self.sides, self.used, strict=True)]
        fused = self.fuse(torch.cat(sides, 1))
        roads, junctions = self.roads(fused), self.junctions(fused)
        logits = torch.cat([self.road_map(roads), self.junction_map(junctions)], 1)
        return resized(logits, images.shape[-2:]), torch.cat([fused, roads, junctions], 1), sides

    def all_outputs(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The logits, and those of the side outputs, each `(N, 2, H, W)`; and the features for steps."""
        logits, features, sides = self.explored(images)
        maps = [resized(layer(side), images.shape[-2:]) for layer, side in zip(self.side_maps, sides, strict=True)]
        return [logits, *maps], features

    def padded(self, features: Tensor) -> Tensor:
        """Pad features `(N, C, h, w)` of `explored` with zeros, since windows reach beyond the image."""
        return F.pad(features, (self.window // (2 * self.stride),) * 4)

    def corners(self, origins: Tensor) -> Tensor:
        """The column and row of windows in padded features; `origins` are their corners in pixels."""
        return origins // self.stride + self.window // (2 * self.stride)

    def windows(self, features: Tensor, origins: Tensor) -> Tensor:
        """The windows `(N k, C, side, side)` of features `(N, C, h, w)` at `origins` `(N, k, 2)`."""
        padded, side = self.padded(features), self.window // self.stride
        corners = self.corners(origins).to(features.device)[..., None, None]
        inside = torch.arange(side, device=features.device)
        # One gather for all windows: slices would each give a gradient in the size of the whole.
        pixels = (corners[:, :, 1] + inside[:, None]) * padded.shape[-1] + corners[:, :, 0] + inside
        pixels = pixels.flatten(1)[:, None].expand(-1, padded.shape[1], -1)
        return padded.flatten(2).gather(2, pixels).unflatten(2, (-1, side, side)).transpose(1, 2).flatten(0, 1)

    def step(self, windows: Tensor, currents: Tensor, walked: Tensor) -> Tensor:
        """Logits of the next points of steps, `(m, window, window)`, from windows of features `(m, C, side, side)`.

        `currents` `(m, 2)` are the current points within their windows in pixels, `walked` `(m, window, window)` the
        lines that were walked, 0 to 1.
        """
        centres = torch.arange(self.window, device=windows.device) + 0.5
        apart = (centres - currents[:, :1]) ** 2, (centres - currents[:, 1:]) ** 2
        here = torch.exp(-(apart[0][:, None, :] + apart[1][:, :, None]) / (2 * POINT_SIGMA**2))
        lines = F.pixel_unshuffle(torch.stack([walked, here.to(walked)], 1), self.stride)
        return self.next_points(torch.cat([windows, lines.to(windows)], 1))[:, 0]


class Hourglass(nn.Module):
    """Down to an eighth and up again, with sums across; `(N, in_channels, h, w)` to `(N, 1, scale h, scale w)`."""

    def __init__(self, in_channels: int, channels: int, scale: int) -> None:
        super().__init__()
        self.enter = Conv2dNormActivation(in_channels, channels, 3)
        self.down = nn.ModuleList(Conv2dNormActivation(channels, channels, 3) for _ in range(3))
        self.up = nn.ModuleList(Conv2dNormActivation(channels, channels, 3) for _ in range(3))
        self.out = nn.Conv2d(channels, scale**2, 1)
        self.scale = scale
        start_rare(self.out)

    def forward(self, x: Tensor) -> Tensor:
        """Map features to the logits of a map."""
        across = [self.enter(x)]
        for down in self.down:
            across.append(down(F.max_pool2d(across[-1], 2)))
        x = across.pop()
        for up in self.up:
            x = up(F.interpolate(x, scale_factor=2.0, mode="nearest") + across.pop())
        return F.pixel_shuffle(self.out(x), self.scale)


def branch(in_channels: int, channels: int) -> nn.Sequential:
    """The two convolutions before the map of roads or of junctions."""
    return nn.Sequential(Conv2dNormActivation(in_channels, channels, 3), Conv2dNormActivation(channels, channels, 1))


def start_rare(layer: nn.Conv2d) -> None:
    """Let a map begin with a small probability everywhere."""
    assert layer.bias is not None
    nn.init.constant_(layer.bias, math.log(RARE / (1 - RARE)))


def road_losses(
    maps: Sequence[Tensor], roads: Tensor, junctions: Tensor, steps: Tensor, wanted: Tensor, *, side_weight: float
) -> dict[str, Tensor]:
    """Binary cross entropy of all maps, as in the paper.

    Junctions and next points are few: their losses are sums over an image, by the number of pixels that are marked in
    the whole batch. Of the `maps` of logits `(N, 2, H, W)` the first are the network's and the others its sides'; the
    true `roads` and `junctions` are `(N, H, W)`, the logits of `steps` and the true ones, `wanted`, `(m, w, w)`.
    """
    weights = [1.0] + [side_weight / max(1, len(maps) - 1)] * (len(maps) - 1)
    truth = torch.stack([roads, junctions], 1)
    losses = torch.zeros(2, device=roads.device)
    for weight, logits in zip(weights, maps, strict=True):
        every = F.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none")
        losses = losses + weight * every.sum((0, 2, 3))
    marked = junctions.sum().clamp(min=1)
    step = F.binary_cross_entropy_with_logits(steps.float(), wanted, reduction="sum") / wanted.sum().clamp(min=1)
    return {"loss_road": losses[0] / roads.numel(), "loss_junction": 0.1 * losses[1] / marked, "loss_step": 0.1 * step}


def explored_in_tiles(network: RoadNetwork, images: Tensor, tile: int) -> tuple[Tensor, Tensor]:
    """The logits `(N, 2, H, W)` and the features of `RoadNetwork.explored`, computed tile by tile.

    The side of a `tile` is a multiple of 32 pixels, as the margin is, so that the strides of tiles align.
    """
    height, width = images.shape[-2:]
    if max(height, width) <= tile:
        return network.explored(images)[:2]
    logits: Tensor | None = None
    features: Tensor | None = None
    for top, left in product(range(0, height, tile), range(0, width, tile)):
        first = max(0, top - MARGIN), max(0, left - MARGIN)
        part = images[..., first[0] : top + tile + MARGIN, first[1] : left + tile + MARGIN]
        some_logits, some_features, _ = network.explored(part)
        if logits is None or features is None:
            logits = images.new_zeros((len(images), 2, height, width))
            size = (-(-height // network.stride), -(-width // network.stride))
            features = some_features.new_zeros((len(images), some_features.shape[1], *size))
        for whole, one, scale in ((logits, some_logits, 1), (features, some_features, network.stride)):
            y, x = top // scale, left // scale
            kept = one[..., (top - first[0]) // scale :, (left - first[1]) // scale :]
            kept = kept[..., : tile // scale, : tile // scale]
            whole[..., y : y + kept.shape[-2], x : x + kept.shape[-1]] = kept
    assert logits is not None
    assert features is not None
    return logits, features
