"""DLA, DLA-X and their Res2 versions: deep layer aggregation (Yu et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from res2net.backbones.base import Backbone, Stage
from res2net.backbones.dilated import DilatedMaxPool
from res2net.backbones.registry import add_aliases, register
from res2net.backbones.stages import StageSteps, check_layers, rising, stage_steps
from res2net.errors import InputError
from res2net.kernels import SplitOrder
from res2net.nn import Res2Bottleneck
from res2net.nn.layers import Activation, LayerStyle, Norm, conv, layer_class

EXPANSION = 2
"""Ratio of the output channels of a block to its planes."""


class Root(nn.Module):
    """The aggregation node of a tree: concatenation, 1x1 convolution, normalisation and activation."""

    def __init__(self, in_channels: int, out_channels: int, style: LayerStyle) -> None:
        super().__init__()
        self.conv, self.bn, self.act = style.conv_norm_act(in_channels, out_channels)

    def forward(self, gathered: Sequence[Tensor]) -> Tensor:
        """Maps of the same size with `in_channels` in total to `(N, out_channels, *size)`."""
        return self.act(self.bn(self.conv(torch.cat(tuple(gathered), 1))))


class Tree(nn.Module):
    """Hierarchical deep aggregation (Yu et al., section 3.2, Fig. 2f): `2 ** depth` blocks, aggregated by roots.

    A tree of depth 1 is two blocks and a root; a deeper one is two trees, the second of which also aggregates the
    output of the first, and with `keeps_input` the input. The residual of the first block is the input, pooled and
    projected. `gathered_channels` is the number of channels of the maps that `forward` is given in addition.

    Shape: `(N, in_channels, *size)` to `(N, out_channels, *ceil(size / step))`.
    """

    def __init__(
        self,
        depth: int,
        block: Callable[..., Res2Bottleneck],
        style: LayerStyle,
        in_channels: int,
        out_channels: int,
        steps: StageSteps,
        drop_paths: Iterator[float],
        *,
        keeps_input: bool = False,
        gathered_channels: int = 0,
    ) -> None:
        super().__init__()
        self.depth = depth
        self.keeps_input = keeps_input
        gathered_channels += in_channels if keeps_input else 0
        self.downsample: nn.Module = nn.Identity()
        if steps.reduces and (depth == 1 or keeps_input):
            self.downsample = tree_pool(style.dims, steps)
        if depth > 1:
            tree = partial(Tree, depth - 1, block, style, out_channels=out_channels, drop_paths=drop_paths)
            self.tree1: nn.Module = tree(in_channels, steps=steps)
            self.tree2: nn.Module = tree(
                out_channels, steps=steps.after_first(), gathered_channels=gathered_channels + out_channels
            )
            return
        planes = out_channels // EXPANSION
        self.project: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.project = nn.Sequential(*style.conv_norm(in_channels, out_channels))
        self.tree1 = block(
            in_channels,
            planes,
            stride=steps.step,
            dilation=steps.first_dilation,
            mode="stage" if steps.reduces else "hierarchical",
            drop_path=next(drop_paths),
        )
        self.tree2 = block(out_channels, planes, dilation=steps.dilation, drop_path=next(drop_paths))
        self.root = Root(2 * out_channels + gathered_channels, out_channels, style)

    def forward(self, x: Tensor, gathered: Sequence[Tensor] = ()) -> Tensor:
        """Compute the output of the tree; `gathered` are maps of its size from the trees around it."""
        bottom = self.downsample(x)
        if self.keeps_input:
            gathered = (*gathered, bottom)
        if self.depth > 1:
            first = self.tree1(x)
            return self.tree2(first, (*gathered, first))
        first = self.tree1(x, self.project(bottom))
        return self.root((self.tree2(first), first, *gathered))


def tree_pool(dims: int, steps: StageSteps) -> nn.Module:
    """Make the pooling that brings the input of a tree to the size of its output, with incomplete windows kept."""
    if steps.step == 1:
        return DilatedMaxPool(dims, steps.first_dilation)
    return layer_class("MaxPool", dims)(steps.step, stride=steps.step, ceil_mode=True)


class DLA(Backbone):
    """Deep layer aggregation: three levels of convolutions, trees of `Res2Bottleneck`s, and a classifier.

    Parameters have the names of timm and of the official code, whose unused projections are left out. Where a tree
    halves the size, its first block is a "stage" block, without additions between the splits; all others are
    hierarchical (official Res2Net-DLA). Unlike the official code it accepts images of any size, since poolings keep
    incomplete windows. Other options are those of `Res2Bottleneck` and `Backbone`; `norm` and `act` are also used
    outside of blocks.

    Args:
        levels: number of convolutions of each of the first two levels, and depth of the tree of each other level.
        channels: number of output channels of each level; even for trees.
        output_stride: stride of the last level (32, 16, 8, 4); dilation replaces the strides beyond it. The weights
            are the same at any output stride.
        base_width: as in `Res2Bottleneck`; a block has half as many planes as output channels.
        drop_path_rate: probability of dropping the last block in training; it rises linearly from 0 at the first.
        zero_init_last: start every residual branch at zero; the official code does not.

    Shape: `(N, in_channels, *size)` to `(N, num_classes)`.

    Raises:
        InputError: an option is out of range, or two options do not fit together.
    """

    input_layer_name = "base_layer.0"

    def __init__(
        self,
        levels: Sequence[int] = (1, 1, 1, 2, 3, 1),
        *,
        channels: Sequence[int] = (16, 32, 128, 256, 512, 1024),
        num_classes: int = 1000,
        in_channels: int = 3,
        output_stride: int | None = None,
        dims: int = 2,
        scale: int = 1,
        base_width: int = 64,
        cardinality: int = 1,
        split_order: SplitOrder = "official",
        norm: Norm = "batch",
        act: Activation = "relu",
        recompute: bool = False,
        drop_path_rate: float = 0.0,
        dropout: float = 0.0,
        zero_init_last: bool = False,
    ) -> None:
        super().__init__(num_classes, in_channels, dims=dims, dropout=dropout)
        check_layers(levels, channels, least=3, what="levels")
        for count in channels[2:]:
            if count % EXPANSION:
                raise InputError(f"{count} channels of a tree do not fit: give an even number.")
        style = LayerStyle(dims, norm, act)
        self.base_layer = nn.Sequential(*style.conv_norm_act(in_channels, channels[0], 7))
        self.level0 = convolution_level(levels[0], channels[0], channels[0], style)
        self.level1 = convolution_level(levels[1], channels[0], channels[1], style, stride=2)

        steps = stage_steps([2**index for index in range(2, len(levels))], 2, output_stride)
        block = partial(
            Res2Bottleneck,
            base_width=base_width,
            scale=scale,
            cardinality=cardinality,
            expansion=EXPANSION,
            split_order=split_order,
            norm=norm,
            act=act,
            dims=dims,
            recompute=recompute,
        )
        drop_paths = rising(drop_path_rate, sum(2**depth for depth in levels[2:]))
        parts: dict[str, Sequence[str]] = {"stem": ("base_layer", "level0", "level1")}
        for index, step in enumerate(steps, start=2):
            widths = channels[index - 1], channels[index]
            tree = Tree(levels[index], block, style, *widths, step, drop_paths, keeps_input=index > 2)
            self.add_module(f"level{index}", tree)
            parts[f"level{index}"] = (f"level{index}",)
        strides = (2, *(step.stride for step in steps))
        self.finish(map(Stage, channels[1:], strides), parts, zero_init_last=zero_init_last)

    def classifier(self, channels: int, num_classes: int) -> nn.Module:
        """Make the classifier, a 1x1 convolution."""
        return conv(self.dims, channels, num_classes, bias=True)

    def classify(self, x: Tensor) -> Tensor:
        """The last features to logits `(N, num_classes)`, by a 1x1 convolution."""
        return self.fc(self.dropout(self.global_pool(x))).flatten(1)


def convolution_level(
    count: int, in_channels: int, out_channels: int, style: LayerStyle, *, stride: int = 1
) -> nn.Sequential:
    """Make 3x3 convolutions, each with its normalisation and activation; the first has the stride."""
    layers = style.conv_norm_act(in_channels, out_channels, 3, stride=stride)
    for _ in range(count - 1):
        layers += style.conv_norm_act(out_channels, out_channels, 3)
    return nn.Sequential(*layers)


_RES2 = {"res2net": {"base_width": 28, "scale": 4}, "res2next": {"base_width": 4, "cardinality": 8, "scale": 4}}
register(
    DLA,
    "DLA and DLA-X: deep layer aggregation (Yu et al., CVPR 2018)",
    {"dla60": {}, "dla60x": {"base_width": 4, "cardinality": 32}},
)
register(
    DLA,
    "Res2Net-DLA and Res2NeXt-DLA: deep layer aggregation of Res2 blocks (Gao et al., TPAMI 2021)",
    {f"dla60_{name}": options for name, options in _RES2.items()},
)
add_aliases({f"{kind}_dla60{size}": f"dla60_{kind}" for kind in _RES2 for size in ("", "_4s")})
