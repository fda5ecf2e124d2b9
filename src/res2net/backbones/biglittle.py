"""Big-Little Net (Chen et al., ICLR 2019) of bottlenecks, and of Res2 bottlenecks (bLRes2Net)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from res2net.backbones.base import Backbone, Stage
from res2net.backbones.registry import register
from res2net.backbones.stages import StageSteps, check_layers, rising, stage_steps
from res2net.errors import InputError
from res2net.kernels import SplitOrder
from res2net.nn import Res2Bottleneck
from res2net.nn.layers import Activation, LayerStyle, Norm, activation, check_positive, layer_class

EXPANSION = 4
"""Ratio of the output channels of a block to its planes."""
STEM_STRIDE = 4


class BigLittleStem(nn.Module):
    """The layer in place of the pooling of a ResNet's stem: two branches, their sum, and a 1x1 convolution.

    The big branch is one 3x3 convolution of stride 2; the little branch has two with `channels // alpha` channels, and
    a 1x1 convolution to `channels`.

    Shape: `(N, channels, *size)` to `(N, channels, *ceil(size / 2))`.
    """

    def __init__(self, channels: int, alpha: int, style: LayerStyle) -> None:
        super().__init__()
        little_channels = channels // alpha
        self.big = nn.Sequential(*style.conv_norm(channels, channels, 3, stride=2))
        self.little = nn.Sequential(
            *style.conv_norm_act(channels, little_channels, 3),
            *style.conv_norm_act(little_channels, little_channels, 3, stride=2),
            *style.conv_norm(little_channels, channels),
        )
        self.act = activation(style.act)
        self.fusion = nn.Sequential(*style.conv_norm_act(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """`(N, channels, *size)` to `(N, channels, *ceil(size / 2))`."""
        return self.fusion(self.act(self.big(x) + self.little(x)))


class BigLittleModule(nn.Module):
    """A stage of two branches whose sum passes a fusion block (Chen et al., section 3, Fig. 1).

    The big branch has all channels and all but one of the blocks at half the size; it ends without activation and is
    upsampled by repeating positions. The little branch has the full size, 1 / `alpha` of the channels and about
    1 / `beta` of the blocks; a 1x1 convolution brings it to all channels. The fusion block has the stride of the stage,
    and is the last in the order of `drop_paths`, after the big and the little branch. `block` makes a block from its
    input channels, planes, `stride`, `dilation`, `mode` and `drop_path`, and `style` is that of the other layers.

    Shape: `(N, in_channels, *size)` to `(N, out_channels, *ceil(size / step))`.
    """

    def __init__(
        self,
        block: Callable[..., Res2Bottleneck],
        layers: int,
        in_channels: int,
        out_channels: int,
        steps: StageSteps,
        drop_paths: Iterator[float],
        *,
        alpha: int,
        beta: int,
        style: LayerStyle,
    ) -> None:
        super().__init__()
        little_channels = out_channels // alpha
        inside = replace(steps, step=1, dilation=steps.first_dilation, reduces=False)
        branch = partial(block_sequence, block, drop_paths=drop_paths, style=style)
        self.big = branch(layers - 1, in_channels, out_channels, replace(inside, step=2, reduces=True))
        last = self.big[-1]
        assert isinstance(last, Res2Bottleneck)
        last.act3 = nn.Identity()
        self.little = branch(little_layers(layers, beta), in_channels, little_channels, inside)
        self.little_e = nn.Sequential(*style.conv_norm(little_channels, out_channels))
        self.act = activation(style.act)
        self.fusion = branch(1, out_channels, out_channels, steps)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, in_channels, *size)` to `(N, out_channels, *ceil(size / step))`."""
        little = self.little_e(self.little(x))
        big = F.interpolate(self.big(x), little.shape[2:], mode="nearest")
        return self.fusion(self.act(big + little))


def little_layers(layers: int, beta: int) -> int:
    """Number of blocks of the little branch of a stage, of which the fusion block counts as one."""
    return max(1, layers // beta - 1)


def block_sequence(
    block: Callable[..., Res2Bottleneck],
    count: int,
    in_channels: int,
    out_channels: int,
    steps: StageSteps,
    drop_paths: Iterator[float],
    style: LayerStyle,
) -> nn.Sequential:
    """Make blocks of `out_channels` in sequence, the first of which has the stride of `steps`.

    The shortcut of the first block is an average pooling where the size is halved, and a 1x1 convolution where the
    number of channels changes. Where dilation replaces the stride the pooling stays, at stride 1, so that the names of
    weights stay the same.
    """
    planes = out_channels // EXPANSION
    first = block(
        in_channels,
        planes,
        stride=steps.step,
        dilation=steps.first_dilation,
        mode="stage" if steps.reduces else "hierarchical",
        drop_path=next(drop_paths),
    )
    shortcut: list[nn.Module] = []
    if steps.reduces:
        shortcut.append(layer_class("AvgPool", style.dims)(3, stride=steps.step, padding=1))
    if in_channels != out_channels:
        shortcut += style.conv_norm(in_channels, out_channels)
    if shortcut:
        first.downsample = nn.Sequential(*shortcut)
    others = (
        block(out_channels, planes, dilation=steps.dilation, drop_path=next(drop_paths)) for _ in range(count - 1)
    )
    return nn.Sequential(first, *others)


class BigLittleNet(Backbone):
    """bLResNet and bLRes2Net: a stem, big-little stages, a plain stage, the global average and a classifier.

    All stages but the last are `BigLittleModule`s, with strides 2, 2 and 1 at 50 layers, so that layer2 and layer3 have
    the same stride, 16. Blocks that halve the size are "stage" blocks, without additions between the splits, as in the
    official Res2Net-DLA; all others are hierarchical. The authors of bLRes2Net have not published their choice. Other
    options are those of `Res2Bottleneck` and `Backbone`; `norm` and `act` are also used outside of blocks.

    Args:
        layers: number of blocks of each stage, as in the ResNet that it is made from.
        channels: planes of each stage; a stage has four times as many output channels.
        alpha, beta: divisors of the channels and of the number of blocks of the little branches.
        output_stride: stride of the last stage (32, 16, 8); dilation replaces the strides beyond it. Big branches
            still work at half the size.
        stem_channels: number of channels of the stem.
        drop_path_rate: probability of dropping the last block in training; it rises linearly from 0 at the first.
        zero_init_last: start every residual branch at zero, as the official code does.

    Shape: `(N, in_channels, *size)` to `(N, num_classes)`.

    Raises:
        InputError: an option is out of range, or two options do not fit together.
    """

    def __init__(
        self,
        layers: Sequence[int] = (3, 4, 6, 3),
        *,
        channels: Sequence[int] = (64, 128, 256, 512),
        alpha: int = 2,
        beta: int = 4,
        num_classes: int = 1000,
        in_channels: int = 3,
        output_stride: int | None = None,
        dims: int = 2,
        stem_channels: int = 64,
        scale: int = 1,
        base_width: int = 64,
        cardinality: int = 1,
        split_order: SplitOrder = "official",
        norm: Norm = "batch",
        act: Activation = "relu",
        recompute: bool = False,
        drop_path_rate: float = 0.0,
        dropout: float = 0.0,
        zero_init_last: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels, dims=dims, dropout=dropout)
        check_structure(layers, channels, stem_channels, alpha, beta)
        style = LayerStyle(dims, norm, act)
        self.conv1, self.bn1, self.act1 = style.conv_norm_act(in_channels, stem_channels, 7, stride=2)
        self.stem = BigLittleStem(stem_channels, alpha, style)

        # Each stride doubles that before, except that of the last big-little stage.
        strides = [STEM_STRIDE * 2**index for index in range(1, len(layers) - 1)]
        before = strides[-1] if strides else STEM_STRIDE
        steps = stage_steps([*strides, before, 2 * before], STEM_STRIDE, output_stride)
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
        drop_paths = rising(drop_path_rate, layers[-1] + sum(n + little_layers(n, beta) for n in layers[:-1]))
        widths = (stem_channels, *(planes * EXPANSION for planes in channels))
        parts: dict[str, Sequence[str]] = {"conv1": ("conv1", "bn1", "act1"), "stem": ("stem",)}
        for index, (count, step) in enumerate(zip(layers, steps, strict=True)):
            given, wanted = widths[index : index + 2]
            if index < len(layers) - 1:
                stage: nn.Module = BigLittleModule(
                    block, count, given, wanted, step, drop_paths, alpha=alpha, beta=beta, style=style
                )
            else:
                stage = block_sequence(block, count, given, wanted, step, drop_paths, style)
            parts[f"layer{index + 1}"] = (f"layer{index + 1}",)
            self.add_module(f"layer{index + 1}", stage)
        levels = (Stage(width, step.stride) for width, step in zip(widths[1:], steps, strict=True))
        stem = (Stage(stem_channels, 2), Stage(stem_channels, STEM_STRIDE))
        self.finish((*stem, *levels), parts, zero_init_last=zero_init_last)


def check_structure(layers: Sequence[int], channels: Sequence[int], stem_channels: int, alpha: int, beta: int) -> None:
    """Raise `InputError` unless there are blocks for both branches of each stage, and `alpha` divides the channels."""
    check_layers(layers, channels, least=2)
    for what, value in (("Alpha", alpha), ("Beta", beta), ("Stem channels", stem_channels)):
        check_positive(what, value)
    if min(layers[:-1]) < 2:
        raise InputError(f"Layers {tuple(layers)} do not fit: a stage of two branches needs two or more.")
    for count in (stem_channels, *channels[:-1]):
        if count % alpha:
            raise InputError(f"{count} channels are not divisible by alpha {alpha}: choose others.")


_RES2 = {"base_width": 26, "scale": 4}
_LAYERS = {50: (3, 4, 6, 3), 101: (4, 8, 18, 3)}
register(
    BigLittleNet,
    "bLResNet: branches of two sizes in each stage (Chen et al., ICLR 2019)",
    {f"blresnet{depth}": {"layers": layers} for depth, layers in _LAYERS.items()},
)
register(
    BigLittleNet,
    "bLRes2Net: Big-Little Net of Res2 blocks (Gao et al., TPAMI 2021)",
    {f"blres2net{depth}_26w_4s": {"layers": layers, **_RES2} for depth, layers in _LAYERS.items()},
)
