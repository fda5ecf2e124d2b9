"""Networks for 32x32 images: the rows of Table 4 of the Res2Net paper (section 4.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from res2net.backbones.base import Backbone, Stage, numbered
from res2net.backbones.dilated import DilatedAvgPool
from res2net.backbones.registry import register
from res2net.backbones.resnet import ResNet
from res2net.backbones.stages import StageSteps, check_no_drop_path, rising, stage_steps
from res2net.errors import InputError
from res2net.nn.layers import (
    activation,
    check_positive,
    check_probability,
    conv,
    norm_layer,
    stochastic_depth,
)

CHANNELS = (16, 32, 64)
"""Number of channels of each stage of a Wide ResNet at widening factor 1."""
STRIDES = (1, 2, 4)
"""Strides of the three stages of every network here."""


def blocks_per_stage(depth: int, layers: int, others: int, examples: str) -> int:
    """Number of blocks in each of three stages whose networks have `depth = layers * n + others` layers."""
    if not isinstance(depth, int) or depth < layers + others or (depth - others) % layers:
        raise InputError(f"Depth {depth} does not fit: choose {layers} n + {others}, such as {examples}.")
    return (depth - others) // layers


def cifar_resnext(
    depth: int = 29,
    *,
    cardinality: int = 8,
    base_width: int = 64,
    scale: int = 1,
    se_reduction: int | None = None,
    num_classes: int = 100,
    in_channels: int = 3,
    output_stride: int | None = None,
    stem_channels: int = 64,
    drop_path_rate: float = 0.0,
    dropout: float = 0.0,
    recompute: bool = False,
    zero_init_last: bool = True,
) -> ResNet:
    """Build a (SE-) ResNeXt or Res2NeXt of `depth = 9 n + 2` layers, in 3 stages of n blocks at strides 1, 2 and 4.

    A split has `cardinality * base_width` channels, doubled from stage to stage. The first block of each stage
    convolves all of its splits independently, which gives the numbers of parameters in Table 4 (with 10 classes). Other
    options are those of `ResNet`.
    """
    return ResNet(
        (blocks_per_stage(depth, 9, 2, "29, 56 or 164"),) * 3,
        channels=(64, 128, 256),
        num_classes=num_classes,
        in_channels=in_channels,
        output_stride=output_stride,
        stem="conv3",
        stem_channels=stem_channels,
        scale=scale,
        base_width=base_width,
        cardinality=cardinality,
        se_reduction=se_reduction,
        stage_pass_through="conv",
        drop_path_rate=drop_path_rate,
        dropout=dropout,
        recompute=recompute,
        zero_init_last=zero_init_last,
    )


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each after its normalisation and ReLU, and a residual connection (Fig. 1d of the source).

    Both have the dilation of `steps`, and the first has its stride. Where the channels change, the shortcut is a 1x1
    convolution of the activated input.

    Shape: `(N, in_channels, H, W)` to `(N, out_channels, ceil(H / step), ceil(W / step))`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, steps: StageSteps, *, dropout: float = 0.0, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.bn1 = norm_layer("batch", in_channels, 2)
        self.act1 = activation("relu")
        self.conv1 = conv(2, in_channels, out_channels, 3, stride=steps.step, dilation=steps.first_dilation)
        self.bn2 = norm_layer("batch", out_channels, 2)
        self.act2 = activation("relu")
        self.dropout = nn.Dropout(dropout)
        self.conv2 = conv(2, out_channels, out_channels, 3, dilation=steps.dilation)
        self.drop_path = stochastic_depth(drop_path)
        self.shortcut: nn.Module | None = None
        if steps.reduces or in_channels != out_channels:
            self.shortcut = conv(2, in_channels, out_channels, stride=steps.step)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, in_channels, H, W)` to `(N, out_channels, ...)`."""
        y = self.act1(self.bn1(x))
        residual = x if self.shortcut is None else self.shortcut(y)
        y = self.conv2(self.dropout(self.act2(self.bn2(self.conv1(y)))))
        return residual + self.drop_path(y)


class WideResNet(Backbone):
    """WRN-`depth`-`widen`: a 3x3 convolution, three stages of blocks at strides 1, 2 and 4, and a linear classifier.

    The normalisation and the ReLU after the last block belong to the last stage. WRN-28-10 has 36.48 M parameters with
    10 classes and 36.54 M with 100: both are the published 36.5 M. Other options are those of `Backbone`.

    Args:
        depth: number of layers, 6 n + 4 for n blocks in each stage.
        widen: widening factor of the channels 16, 32, 64 of the stages.
        output_stride: stride of the last stage (4, 2, 1); below 4, dilation replaces strides.
        drop_path_rate: probability of dropping the last block in training; it rises linearly from 0 at the first.
        block_dropout: probability of dropping a value inside the blocks in training (the paper uses 0 or 0.3).

    Shape: `(N, in_channels, H, W)` to `(N, num_classes)`.

    Raises:
        InputError: an option is out of range.
    """

    def __init__(
        self,
        depth: int = 28,
        *,
        widen: int = 10,
        num_classes: int = 100,
        in_channels: int = 3,
        output_stride: int | None = None,
        drop_path_rate: float = 0.0,
        block_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, dropout=dropout)
        blocks = blocks_per_stage(depth, 6, 4, "16, 28 or 40")
        check_positive("Widening factor", widen)
        check_probability("Dropout", block_dropout)
        self.conv1 = conv(2, in_channels, CHANNELS[0], 3)
        rates = rising(drop_path_rate, 3 * blocks)
        channels = CHANNELS[0]
        levels = [Stage(channels, 1)]
        for stage, (width, steps) in enumerate(zip(CHANNELS, stage_steps(STRIDES, 1, output_stride), strict=True), 1):
            layer = nn.Sequential()
            levels.append(Stage(width * widen, steps.stride))
            for _ in range(blocks):
                layer.append(WideBlock(channels, width * widen, steps, dropout=block_dropout, drop_path=next(rates)))
                channels, steps = width * widen, steps.after_first()
            self.add_module(f"layer{stage}", layer)
        self.bn = norm_layer("batch", channels, 2)
        self.act = activation("relu")
        self.finish(levels, numbered((("conv1",), ("layer1",), ("layer2",), ("layer3", "bn", "act"))))


class DenseLayer(nn.Module):
    """A 1x1 and a 3x3 convolution, each after its normalisation and ReLU, whose output is concatenated to the input.

    The 1x1 convolution has `4 * growth_rate` output channels, and the other one the dilation.

    Shape: `(N, in_channels, H, W)` to `(N, in_channels + growth_rate, H, W)`.
    """

    def __init__(self, in_channels: int, growth_rate: int, dilation: int = 1) -> None:
        super().__init__()
        self.bn1 = norm_layer("batch", in_channels, 2)
        self.act1 = activation("relu")
        self.conv1 = conv(2, in_channels, 4 * growth_rate)
        self.bn2 = norm_layer("batch", 4 * growth_rate, 2)
        self.act2 = activation("relu")
        self.conv2 = conv(2, 4 * growth_rate, growth_rate, 3, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, in_channels, H, W)` to `(N, in_channels + growth_rate, H, W)`."""
        y = self.conv1(self.act1(self.bn1(x)))
        return torch.cat((x, self.conv2(self.act2(self.bn2(y)))), 1)


class DenseNetBC(Backbone):
    """DenseNet-BC-`depth` with three dense blocks at strides 1, 2 and 4, and a linear classifier.

    Between the blocks a 1x1 convolution halves the channels and an average pooling of 2x2 halves the size.
    DenseNet-BC-190 with k = 40 has 25.62 M parameters with 10 classes, which is the published 25.6 M, and 25.82 M with
    100. Other options are those of `Backbone`.

    Args:
        depth: number of layers, 6 n + 4 for n dense layers in each block.
        growth_rate: number of channels that a dense layer adds, k.
        output_stride: stride of the last stage (4, 2, 1); below 4, dilation replaces strides.
        drop_path_rate: only 0: there are no residual branches.

    Shape: `(N, in_channels, H, W)` to `(N, num_classes)`.

    Raises:
        InputError: an option is out of range.
    """

    def __init__(
        self,
        depth: int = 190,
        *,
        growth_rate: int = 40,
        num_classes: int = 100,
        in_channels: int = 3,
        output_stride: int | None = None,
        drop_path_rate: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, dropout=dropout)
        layers = blocks_per_stage(depth, 6, 4, "100, 190 or 250")
        check_positive("Growth rate", growth_rate)
        check_no_drop_path(drop_path_rate)
        channels = 2 * growth_rate
        self.conv1 = conv(2, in_channels, channels, 3)
        levels = [Stage(channels, 1)]
        for block, steps in enumerate(stage_steps(STRIDES, 1, output_stride), 1):
            if block > 1:
                self.add_module(f"transition{block - 1}", transition(channels, channels // 2, steps))
                channels //= 2
            widths = (channels + growth_rate * index for index in range(layers))
            dense = nn.Sequential(*(DenseLayer(width, growth_rate, steps.dilation) for width in widths))
            self.add_module(f"block{block}", dense)
            channels += growth_rate * layers
            levels.append(Stage(channels, steps.stride))
        self.bn = norm_layer("batch", channels, 2)
        self.act = activation("relu")
        last = ("transition2", "block3", "bn", "act")
        self.finish(levels, numbered((("conv1",), ("block1",), ("transition1", "block2"), last)))


def transition(in_channels: int, out_channels: int, steps: StageSteps) -> nn.Sequential:
    """Make a transition, which halves the size or dilates; incomplete windows are kept and padding does not count."""
    pool = nn.AvgPool2d(2, stride=2, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(
        norm_layer("batch", in_channels, 2),
        activation("relu"),
        conv(2, in_channels, out_channels),
        pool if steps.step > 1 else DilatedAvgPool(2, steps.first_dilation),
    )


_TABLE_4 = {
    "resnext29_8c64w": {"cardinality": 8, "base_width": 64},
    "resnext29_16c64w": {"cardinality": 16, "base_width": 64},
    "res2next29_6c24w_4s": {"cardinality": 6, "base_width": 24, "scale": 4},
    "res2next29_8c25w_4s": {"cardinality": 8, "base_width": 25, "scale": 4},
    "res2next29_6c24w_6s": {"cardinality": 6, "base_width": 24, "scale": 6},
}
register(
    cifar_resnext,
    "ResNeXt-29 and Res2NeXt-29 for 32x32 images (Table 4)",
    {f"cifar_{n}": o for n, o in _TABLE_4.items()},
)
register(
    cifar_resnext,
    "ResNeXt-29 and Res2NeXt-29 with squeeze-and-excitation (Table 4)",
    {f"cifar_se{name}": {**options, "se_reduction": 16} for name, options in _TABLE_4.items()},
)
register(
    WideResNet,
    "Wide ResNet for 32x32 images (Zagoruyko and Komodakis, BMVC 2016)",
    {"cifar_wrn28_10": {"depth": 28, "widen": 10}},
)
register(
    DenseNetBC,
    "DenseNet-BC for 32x32 images (Huang et al., CVPR 2017)",
    {"cifar_densenetbc190_k40": {"depth": 190, "growth_rate": 40}},
)
