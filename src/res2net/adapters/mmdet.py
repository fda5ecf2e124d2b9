"""Our backbones in the registry of MMDetection (https://github.com/open-mmlab/mmdetection), or of any MM library.

MMDetection has no release for current torch versions, so this is tested against a stand-in for its registry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from torch import Tensor, nn

from res2net.backbones.stages import check_stages
from res2net.nn import evaluate_norms
from res2net.zoo import create_model


class MultiScaleBackbone(nn.Module):
    """A backbone for the detectors of MMDetection, whose `forward` gives a tuple of feature maps, finest first.

    Args:
        name: one of `res2net.list_models()`.
        weights: a tag or a file, as in `res2net.create_model`.
        out_indices: indices of the stages to return; 0 is the stem.
        frozen_stages: number of frozen stages, the stem first.
        norm_eval: whether batch normalisations keep their statistics in training.
        options: options of the model, such as `{"output_stride": 16}`.

    Shape: `(N, in_channels, H, W)` to maps `(N, channels, ceil(H / stride), ceil(W / stride))`.

    Raises:
        InputError: as in `res2net.create_model`, or a stage does not exist.
    """

    def __init__(
        self,
        name: str,
        weights: str | Path | None = None,
        *,
        out_indices: Sequence[int] = (1, 2, 3, 4),
        frozen_stages: int = 0,
        norm_eval: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = create_model(name, weights, num_classes=0, adapt_classifier=True, **(options or {}))
        check_stages(out_indices, len(self.backbone.stages))
        self.out_indices = tuple(out_indices)
        self.norm_eval = norm_eval
        self.backbone.freeze(frozen_stages)

    def init_weights(self) -> None:
        """Do nothing, since the network already has its weights; MMDetection calls this before training."""

    def train(self, mode: bool = True) -> Self:
        """Set the training or evaluation mode; with `norm_eval`, batch normalisations stay in evaluation mode."""
        super().train(mode)
        if self.norm_eval:
            evaluate_norms(self)
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """`(N, in_channels, H, W)` to the maps of `out_indices`."""
        pyramid = self.backbone.features(x)
        return tuple(pyramid[index] for index in self.out_indices)


def register(registry: Any, name: str = "MultiScaleBackbone") -> None:
    """Add `MultiScaleBackbone` to a registry of MMEngine, such as `mmdet.registry.MODELS`.

    A configuration then has
    `backbone=dict(type="MultiScaleBackbone", name="res2net50_26w_4s", weights="in1k", frozen_stages=2)`, where the
    neck has `in_channels=[256, 512, 1024, 2048]`.
    """
    registry.register_module(name=name, module=MultiScaleBackbone)
