"""Our backbones for the detectors of torchvision (https://docs.pytorch.org/vision/stable/models.html)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.backbones.stages import check_stages
from res2net.nn import freeze_norms
from res2net.optional import needs
from res2net.zoo import create_model

with needs("This adapter", "torchvision", install="pip install torchvision"):
    from torchvision.ops import FeaturePyramidNetwork
    from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, LastLevelMaxPool


class BackboneWithFPN(nn.Module):
    """A backbone with torchvision's feature pyramid network (Lin et al., CVPR 2017).

    The detectors of torchvision accept it as their `backbone`: it has `out_channels`, and returns maps by name: "0",
    "1", ... for the chosen stages, finest first, and those of the extra block.

    Args:
        backbone: the network, whose classifier is not used; stages behind the last of `levels` are removed.
        levels: indices of the stages to use, where 0 is the stem; by default all but the stem.
        out_channels: number of channels of every map.
        extra_blocks: makes coarser maps; by default one of half the size, "pool" (`LastLevelMaxPool`).
        norm_layer: makes a normalisation of the pyramid from its channels; by default none, as in torchvision.

    Shape: `(N, in_channels, H, W)` to maps `(N, out_channels, ceil(H / stride), ceil(W / stride))`.

    Raises:
        InputError: a stage does not exist.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        levels: Sequence[int] | None = None,
        out_channels: int = 256,
        extra_blocks: ExtraFPNBlock | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.levels, fpn = pyramid_on(backbone, out_channels, levels, extra_blocks, norm_layer)
        self.body = backbone
        self.fpn = fpn
        self.out_channels = out_channels

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """`(N, in_channels, H, W)` to the maps by name, finest first."""
        pyramid = self.body.features(x)
        return self.fpn(OrderedDict((str(index), pyramid[level]) for index, level in enumerate(self.levels)))


def pyramid_on(
    backbone: Backbone,
    channels: int,
    levels: Sequence[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
    norm_layer: Callable[..., nn.Module] | None = None,
) -> tuple[tuple[int, ...], FeaturePyramidNetwork]:
    """Make a feature pyramid network of maps with `channels` channels, with the other arguments of `BackboneWithFPN`.

    Returns the levels, finest first, and the network, which takes their maps by name.
    """
    count = len(backbone.stages)
    chosen = tuple(range(1, count) if levels is None else levels)
    check_stages(chosen, count)
    backbone.keep_stages(max(chosen) + 1)
    widths = [backbone.stages[level].channels for level in chosen]
    extra = extra_blocks or LastLevelMaxPool()
    return chosen, FeaturePyramidNetwork(widths, channels, extra_blocks=extra, norm_layer=norm_layer)


def backbone_with_fpn(
    name: str,
    weights: str | Path | None = None,
    *,
    frozen_stages: int = 0,
    frozen_norms: bool = False,
    levels: Sequence[int] | None = None,
    out_channels: int = 256,
    extra_blocks: ExtraFPNBlock | None = None,
    norm_layer: Callable[..., nn.Module] | None = None,
    **options: Any,
) -> BackboneWithFPN:
    """Build a backbone by name with a feature pyramid network for the detectors of torchvision.

    Args:
        name: one of `res2net.list_models()`.
        weights: a tag or a file, as in `res2net.create_model`.
        frozen_stages: number of frozen stages, the stem first (`Backbone.freeze`).
        frozen_norms: whether to replace batch normalisations by `FrozenBatchNorm2d`, as in torchvision's own detectors,
            since the statistics of small batches are poor.
        levels: as in `BackboneWithFPN`.
        out_channels: as in `BackboneWithFPN`.
        extra_blocks: as in `BackboneWithFPN`.
        norm_layer: as in `BackboneWithFPN`.
        options: options of `res2net.create_model`, such as `in_channels` or `output_stride`.

    Raises:
        InputError: as in `res2net.create_model`, or a stage does not exist.
    """
    backbone = create_model(name, weights, num_classes=0, adapt_classifier=True, **options).freeze(frozen_stages)
    if frozen_norms:
        freeze_norms(backbone)
    return BackboneWithFPN(
        backbone, levels=levels, out_channels=out_channels, extra_blocks=extra_blocks, norm_layer=norm_layer
    )
