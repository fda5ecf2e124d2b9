"""What every backbone offers: stages, a pyramid of features, logits, and freezing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from res2net.errors import InputError

__all__ = ["Backbone", "Stage", "usual_side"]


@dataclass(frozen=True)
class Stage:
    """One level of the pyramid: its channels, and its stride in positions of the input."""

    channels: int
    stride: int


class Backbone(nn.Module):
    """A network that turns an image into a pyramid of features, and with a classifier into logits.

    A family implements `stages` and `stage_modules`. Where it has `global_pool`, `dropout` and `fc`, which make logits
    of the last features, it needs no `forward` of its own.
    """

    global_pool: nn.Module
    dropout: nn.Module
    fc: nn.Module

    stages: tuple[Stage, ...]
    """The levels of the pyramid, finest first; the first is the stem."""
    in_channels: int
    num_classes: int
    """Classes of the classifier; 0 when there is none."""
    output_stride: int
    """Stride of the last stage."""
    dims: int = 2
    """Dimensions of the signal: 2 for images."""
    exact_sizes: bool = True
    """Whether features of any image have `ceil(size / stride)` positions; where not, about as many."""
    size_multiple: int = 1
    """What the sides of an image are multiples of."""
    variant_name: str = ""
    """The name it was built by, and with which options: so it can be built again."""
    variant_options: Mapping[str, Any] = MappingProxyType({})
    classifier_name: str = "fc"
    """Name of the layer that makes the logits."""

    def stage_modules(self) -> tuple[tuple[nn.Module, ...], ...]:
        """For each stage, the modules that lead to it from the stage before."""
        raise NotImplementedError

    def head_modules(self) -> tuple[nn.Module, ...]:
        """Modules with weights between the last stage and the classifier; most networks have none."""
        return ()

    @property
    def stage_names(self) -> tuple[str, ...]:
        """For each stage a name to show: `stem`, `layer1`, ..."""
        return ("stem", *(f"layer{index}" for index in range(1, len(self.stages))))

    @property
    def input_layer_name(self) -> str:
        """Name of the convolution that sees the image."""
        return "conv1"

    def features(self, x: Tensor) -> list[Tensor]:
        """The pyramid: for each of `stages`, `(N, channels, ceil(size / stride))`, finest first."""
        pyramid = []
        for modules in self.stage_modules():
            for module in modules:
                x = module(x)
            pyramid.append(x)
        return pyramid

    def forward(self, x: Tensor) -> Tensor:
        """`(N, in_channels, *size)` to logits `(N, num_classes)`, or to the last features without a classifier."""
        for modules in self.stage_modules():
            for module in modules:
                x = module(x)
        return self.classify(x) if self.num_classes else x

    def classify(self, x: Tensor) -> Tensor:
        """The last features to logits `(N, num_classes)`."""
        return self.fc(self.dropout(self.global_pool(x).flatten(1)))

    def freeze(self, stages: int) -> Self:
        """Stop training the first `stages` levels (the stem is the first): weights and statistics stay as they are.

        `freeze(0)` frees everything.
        """
        if not 0 <= stages <= len(self.stages):
            raise InputError(f"Cannot freeze {stages} stages: this network has {len(self.stages)}, the stem included.")
        self._frozen_stages = stages
        frozen = set(self._frozen_modules())
        for stage in self.stage_modules():
            for module in stage:
                module.requires_grad_(module not in frozen)
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation; normalisations of frozen stages stay in evaluation."""
        super().train(mode)
        for module in self._frozen_modules():
            for norm in module.modules():
                if isinstance(norm, _BatchNorm):
                    norm.eval()
        return self

    def _frozen_modules(self) -> Iterator[nn.Module]:
        for stage in self.stage_modules()[: getattr(self, "_frozen_stages", 0)]:
            yield from stage


def usual_side(model: Backbone) -> int:
    """Pixels of a side, where nothing is asked for."""
    if model.dims == 3:
        return 64
    return 32 if model.dims == 2 and model.stages[-1].stride < 8 else 224
