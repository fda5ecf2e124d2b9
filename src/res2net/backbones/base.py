"""The contract of every backbone: stages, a pyramid of features, logits, and freezing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

from torch import Tensor, nn
from torch.fx import symbolic_trace

from res2net.errors import InputError
from res2net.nn import evaluate_norms, initialise
from res2net.nn.layers import check_input, check_probability, layer_class


@dataclass(frozen=True)
class Stage:
    """One level of the pyramid: its channels, and its stride in positions of the input."""

    channels: int
    stride: int


class Backbone(nn.Module):
    """A network that turns an image into a pyramid of features and, with a classifier, into logits.

    A family calls this constructor, adds its layers, and ends with `finish`, which declares the stages and adds the
    head; or it calls `declare` and implements `forward` itself.

    Args:
        num_classes: number of classes of the classifier; 0 for no classifier: `forward` returns the last features.
        in_channels: number of channels of the image.
        dims: number of dimensions of the signal: 1, 2 (images) or 3.
        dropout: probability of dropping a feature before the classifier in training.

    Raises:
        InputError: a number is out of range.
    """

    stages: tuple[Stage, ...]
    """The levels of the pyramid, finest first; the first is the stem."""
    stage_parts: Mapping[str, Sequence[str]]
    """For each stage, by its name for people, the names of the modules between the stage before it and its output."""
    output_stride: int
    """Stride of the last stage."""
    exact_sizes: bool = True
    """Whether the features of any image have exactly `ceil(size / stride)` positions."""
    size_multiple: int = 1
    """The sides of an image must be multiples of this."""
    variant_name: str = ""
    """The name in the registry that it was built by."""
    variant_options: Mapping[str, Any] = MappingProxyType({})
    """The options that it was built with, so that it can be built again."""
    classifier_name: str = "fc"
    """Name of the layer that makes the logits."""
    input_layer_name: str = "conv1"
    """Name of the convolution that sees the image."""

    def __init__(self, num_classes: int, in_channels: int, *, dims: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        if num_classes < 0 or in_channels < 1:
            raise InputError(f"{num_classes} classes and {in_channels} input channels: give at least 0 and at least 1.")
        check_probability("Dropout", dropout)
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.dims = dims
        self._dropout = dropout

    def declare(self, stages: Iterable[Stage], parts: Mapping[str, Sequence[str]]) -> None:
        """Set the stages, and for each, by its name, the names of its modules in order."""
        self.stages = tuple(stages)
        self.stage_parts = parts
        self.output_stride = self.stages[-1].stride

    def finish(
        self, stages: Iterable[Stage], parts: Mapping[str, Sequence[str]], *, zero_init_last: bool = True
    ) -> None:
        """Declare the stages, add the head (global average, dropout, classifier), and draw the initial weights."""
        self.declare(stages, parts)
        self.global_pool = layer_class("AdaptiveAvgPool", self.dims)(1)
        self.dropout = nn.Dropout(self._dropout)
        self.fc = self.classifier(self.stages[-1].channels, self.num_classes) if self.num_classes else nn.Identity()
        initialise(self, zero_init_last=zero_init_last)

    def classifier(self, channels: int, num_classes: int) -> nn.Module:
        """Make the layer that turns pooled features into logits."""
        return nn.Linear(channels, num_classes)

    def stage_modules(self) -> tuple[tuple[nn.Module, ...], ...]:
        """For each stage, the modules between the stage before it and its output, in order."""
        return tuple(tuple([self.get_submodule(name) for name in names]) for names in self.stage_parts.values())

    @property
    def stage_names(self) -> tuple[str, ...]:
        """A name of each stage for people: `stem`, `layer1`, ..."""
        return tuple(self.stage_parts)

    def features(self, x: Tensor) -> list[Tensor]:
        """The pyramid: for each of `stages` a map `(N, channels, *ceil(size / stride))`, finest first."""
        self.check_input(x)
        pyramid = []
        for modules in self.stage_modules():
            for module in modules:
                x = module(x)
            pyramid.append(x)
        return pyramid

    def forward(self, x: Tensor) -> Tensor:
        """`(N, in_channels, *size)` to logits `(N, num_classes)`, or to the last features without a classifier."""
        self.check_input(x)
        for modules in self.stage_modules():
            for module in modules:
                x = module(x)
        return self.classify(x) if self.num_classes else x

    def check_input(self, x: Tensor) -> None:
        """Raise `InputError` unless `x` is a batch of what the network takes."""
        check_input(self.variant_name or type(self).__name__, x, self.in_channels, self.dims)

    def classify(self, x: Tensor) -> Tensor:
        """The last features to logits `(N, num_classes)`."""
        return self.fc(self.dropout(self.global_pool(x).flatten(1)))

    def __prepare_scriptable__(self) -> nn.Module:
        """What `torch.jit.script` compiles in place of the network: its graph, whose code is plain."""
        traced = symbolic_trace(self)
        for node in traced.graph.nodes:
            node.type = None  # annotations that are text do not compile
        traced.recompile()
        return traced

    def freeze(self, stages: int) -> Self:
        """Freeze the weights and the statistics of the first `stages` levels (the stem is the first).

        `freeze(0)` unfreezes everything.
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
        """Set the training or evaluation mode; normalisations of frozen stages stay in evaluation mode."""
        super().train(mode)
        evaluate_norms(*self._frozen_modules())
        return self

    def _frozen_modules(self) -> Iterator[nn.Module]:
        for stage in self.stage_modules()[: getattr(self, "_frozen_stages", 0)]:
            yield from stage

    def keep_stages(self, count: int) -> Self:
        """Remove the modules behind the first `count` stages; `features` then repeats the last map that is kept.

        A family with its own `features` keeps all of its modules.
        """
        if type(self).features is Backbone.features:
            unused = {module for modules in self.stage_modules()[count:] for module in modules}
            for name in [name for name, module in self.named_modules() if module in unused]:
                self.set_submodule(name, nn.Identity())
        return self

    def keep_branches(self) -> Self:
        """Remove what widens the maps of parallel branches for a classifier; other families have no such modules."""
        return self


def numbered(parts: Iterable[Sequence[str]]) -> dict[str, Sequence[str]]:
    """Name stages, each given by the names of its modules: `stem`, `layer1`, `layer2`, ..."""
    return {f"layer{index}" if index else "stem": names for index, names in enumerate(parts)}


def default_image_size(model: Backbone) -> int:
    """The side of an image in pixels where the user gives none."""
    if model.dims == 3:
        return 64
    return 32 if model.dims == 2 and model.stages[-1].stride < 8 else 224
