"""Interactive segmentation: clicks as maps beside the image, and the attention to the first one.

FCANet (Lin et al., CVPR 2020, section 3; https://github.com/frazerlin/fcanet): the first click lies near the middle of
the object, so a branch of its own, in which that click is large, tells the decoder where the object is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from res2net.backbones.base import Backbone, Stage
from res2net.images.samples import UNLABELLED
from res2net.images.sources import DataSource
from res2net.nn import initialise
from res2net.task.base import Task
from res2net.task.maps import resized
from res2net.tasks.pixels.base import few_samples, without_looking
from res2net.tasks.pixels.heads.binary_losses import pixel_losses
from res2net.tasks.pixels.heads.network import Decoder, PixelNetwork, stage_of_stride

DETAIL_STRIDE = 4
STEPS = 3
"""Convolutions of each half of the branch."""
ON_CLICK, FAR_OFF, FAR = 2.0, 0.8, 100.0
"""Weights of a pixel on a click and far from all, and how many pixels are far (published code of FCANet)."""


def click_maps(clicks: Tensor, size: Sequence[int], sigma: float) -> Tensor:
    """Maps of positive and of negative clicks, `(N, 2, height, width)`: 1 at a click, 0.5 at a distance of sigma / 2.

    Args:
        clicks: `(N, K, 3)`: x and y in pixels, and 1 for positive, 0 for negative, anything else for no click.
        size: height and width.
        sigma: full width at half maximum of the bell curves, pixels.
    """
    return torch.exp(-4 * math.log(2) / sigma**2 * click_squares(clicks, size))


def click_squares(clicks: Tensor, size: Sequence[int]) -> Tensor:
    """The squared distance of each pixel from the nearest positive and from the nearest negative click.

    The arguments and the shape are those of `click_maps`; the distance is infinite without a click.
    """
    rows = torch.arange(size[0], device=clicks.device, dtype=torch.float32)
    columns = torch.arange(size[1], device=clicks.device, dtype=torch.float32)
    nearest = clicks.new_full((len(clicks), 2, *size), math.inf, dtype=torch.float32)
    for click in clicks.float().unbind(1):  # one after the other: all at once would be a large tensor
        x, y, kind = click.unbind(1)
        squares = (rows - y[:, None]).square()[:, :, None] + (columns - x[:, None]).square()[:, None, :]
        for index, wanted in enumerate((1.0, 0.0)):
            of_kind = squares.masked_fill((kind != wanted)[:, None, None], math.inf)
            nearest[:, index] = torch.minimum(nearest[:, index], of_kind)
    return nearest


def clicked_cross_entropy(logits: Tensor, wanted: Tensor, maps: Tensor, weight: float) -> Tensor:
    """The mean binary cross entropy of labelled pixels, where a click in `maps` `(N, 2, H, W)` adds to their weight.

    Without these weights, a network that finds most objects by the first click hardly learns from the others, which
    change few pixels. `logits` and `wanted` are as in `binary_losses`.
    """
    weights = (1 + weight * maps.amax(1)) * (wanted != UNLABELLED)
    return (pixel_losses(logits, wanted == 1) * weights).sum() / weights.sum().clamp(min=1e-6)


def distance_cross_entropy(logits: Tensor, wanted: Tensor, squares: Tensor) -> Tensor:
    """The click-based loss of FCANet: the mean binary cross entropy of labelled pixels, weighted by their distance.

    The weight is 2 on a click of the pixel's own kind and falls linearly to 0.8 at 100 pixels from it or more.
    `logits` and `wanted` are as in `binary_losses`, `squares` as from `click_squares`.
    """
    known = wanted != UNLABELLED
    away = torch.where(wanted == 1, squares[:, 0], squares[:, 1]).sqrt().clamp(max=FAR)
    weights = (ON_CLICK - (ON_CLICK - FAR_OFF) * away / FAR) * known
    return (pixel_losses(logits, wanted == 1) * weights).sum() / known.sum().clamp(min=1)


class FirstClickBranch(nn.Module):
    """The branch around the first click: six convolutions from stride 4 to 16, and a mask that supervises them.

    One of the stages has stride 4. The first three convolutions have `channels`, the others twice as many.
    """

    def __init__(self, stages: Sequence[Stage], channels: int = 256) -> None:
        super().__init__()
        self.fine = stage_of_stride(stages, DETAIL_STRIDE)
        self.out_channels = 2 * channels
        widths = [stages[self.fine].channels + 1] + [channels] * STEPS + [2 * channels] * STEPS
        self.layers = nn.Sequential(
            *(
                Conv2dNormActivation(before, after, 3, stride=1 if index % STEPS else 2)
                for index, (before, after) in enumerate(pairwise(widths))
            )
        )
        self.mask = nn.Sequential(
            Conv2dNormActivation(2 * channels, channels, 3),
            Conv2dNormActivation(channels, channels, 3),
            nn.Conv2d(channels, 1, 1),
        )
        initialise(self)

    def widened(self, stages: Sequence[Stage]) -> tuple[Stage, ...]:
        """The stages as the decoder sees them: the last one has the channels of the branch too."""
        return (*stages[:-1], Stage(stages[-1].channels + self.out_channels, stages[-1].stride))

    def forward(self, maps: Sequence[Tensor], first: Tensor) -> tuple[list[Tensor], Tensor]:
        """Map the pyramid and the map `(N, 1, H, W)` of the first click to a wider pyramid and the logits of a mask."""
        fine = maps[self.fine]
        found = self.layers(torch.cat([fine, resized(first, fine.shape[-2:])], 1))
        return [*maps[:-1], torch.cat([resized(found, maps[-1].shape[-2:]), maps[-1]], 1)], self.mask(found)


class FirstClickNetwork(PixelNetwork):
    """An encoder, a branch around the first click, and a decoder for the stages that the branch widens."""

    def __init__(self, backbone: Backbone, decoder: Decoder, branch: FirstClickBranch) -> None:
        super().__init__(backbone, decoder)
        self.branch = branch

    def decoded(self, images: Tensor) -> list[Tensor]:
        """The maps of the decoder, then the mask of the branch; the last channel of the input is the first click's."""
        maps, mask = self.branch(self.backbone.features(images[:, :-1]), images[:, -1:])
        return [*self.decoder(maps), mask]


class ClickDiscs(nn.Module):
    """A predictor that does not see the image: an object is a disc of a radius, pixels, around each click.

    The clicks in the maps have `sigma` as in `click_maps`.
    """

    def __init__(self, radius: float, sigma: float) -> None:
        super().__init__()
        least = math.exp(-4 * math.log(2) * (radius / sigma) ** 2)
        self.threshold = nn.Parameter(torch.tensor(least), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to logits `(N, 1, H, W)`: positive up to the radius, where no negative click is nearer."""
        positive, negative = images[:, 3], images[:, 4]
        inside = (positive >= self.threshold) & (positive > negative)
        return torch.where(inside, 1.0, -1.0)[:, None]


def discs(untrained: Any, source: DataSource) -> dict[str, Task]:
    """A baseline for recipes: it answers each click with a disc as large as the median object."""
    radius = float(untrained.constant(few_samples(source)))
    return without_looking(untrained, "disc", ClickDiscs(radius, untrained.options.sigma))
