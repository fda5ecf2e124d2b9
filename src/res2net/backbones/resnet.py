"""ResNet, ResNeXt, SE-ResNet, ResNet-d and their Res2 versions: one class and a table of variants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import nn

from res2net.backbones.base import Backbone, Stage, numbered
from res2net.backbones.graphs import GraphName, choose_graph
from res2net.backbones.registry import add_aliases, register
from res2net.backbones.stages import check_layers, rising, stage_steps
from res2net.errors import InputError
from res2net.kernels import SplitOrder
from res2net.nn import Res2Bottleneck, shortcut_layers, stem_layers
from res2net.nn.bottleneck import BlockOrder
from res2net.nn.layers import Activation, Norm, activation, check_positive, norm_layer
from res2net.nn.res2conv import Mode, PassThrough
from res2net.nn.stem import STEM_STRIDES, Shortcut, Stem


class ResNet(Backbone):
    """A residual network: a stem, stages of `Res2Bottleneck`s, the global average and a linear classifier.

    The first block of every stage is a "stage" block, without additions between the splits, as in the official code;
    other implementations connect some first blocks in another way (`graph`). Parameters have the names of torchvision,
    timm and the official code. Other options are those of `Res2Bottleneck` and `Backbone`; `norm`, `act` and `order`
    are also those of the stem, and `norm` of the shortcuts.

    Args:
        layers: number of blocks of each stage.
        channels: planes of each stage; a stage has four times as many output channels.
        output_stride: stride of the last stage (32, 16, 8, ...); below the network's own, which is the default,
            dilation replaces strides. Weights are the same at any output stride.
        dilate_first: whether dilated stages are those of published programs (MMPretrain, MMDetection, PoolNet, FCANet):
            the first block has the dilation of the others instead of that of the stage before, its shortcut pools
            nothing, and its splits are connected as in other first blocks of stride 1, those of layer1. By default the
            dilated network has the features of the strided one at the positions that strides would keep.
        multi_grid: factors of the dilation of each block of the last stage, such as (1, 2, 4) (Chen et al., 2017), also
            as text, "1,2,4".
        stem: "conv7", "deep" (v1b / d), "conv3" (small images) or "simple" (a 3x3 convolution at stride 2).
        stem_channels: number of channels of the stem.
        stem_ceil_mode: whether the pooling of the stem keeps an incomplete last window, as in DSS and PoolNet; maps are
            then one position larger than `ceil(size / stride)` for most sizes.
        shortcut: "conv" or "avg_pool" (v1b / d).
        graph: which implementation's connections the first blocks have (`res2net.backbones.graphs.GRAPHS`). Weights
            need the graph that they were trained in. The five options below override single options of the graph.
        layer1_mode: mode of the first block of layer1.
        layer1_pass_through: what the last split of the first block of layer1 goes through.
        stage_pass_through: what the last split of the first blocks of the other stages goes through ("identity" needs
            `stride_in_1x1`), and also that of layer1 unless `layer1_pass_through` is given.
        pool_counts_padding: whether that pooling counts the zeros around the image.
        stride_in_1x1: whether the stride of a block is in its first 1x1 convolution instead of the 3x3 convolutions.
        drop_path_rate: probability of dropping the last block in training; it rises linearly from 0 at the first.
        zero_init_last: start every residual branch at zero.

    Shape: `(N, in_channels, *size)` to `(N, num_classes)`.

    Raises:
        InputError: an option is out of range, or two options do not fit together.
    """

    def __init__(
        self,
        layers: Sequence[int],
        *,
        channels: Sequence[int] = (64, 128, 256, 512),
        num_classes: int = 1000,
        in_channels: int = 3,
        output_stride: int | None = None,
        dilate_first: bool = False,
        multi_grid: Sequence[int] | str = (),
        dims: int = 2,
        stem: Stem = "conv7",
        stem_channels: int = 64,
        stem_ceil_mode: bool = False,
        shortcut: Shortcut = "conv",
        scale: int = 1,
        base_width: int = 64,
        cardinality: int = 1,
        se_reduction: int | None = None,
        split_order: SplitOrder = "official",
        graph: GraphName = "official",
        layer1_mode: Mode | None = None,
        layer1_pass_through: PassThrough | None = None,
        stage_pass_through: PassThrough | None = None,
        pool_counts_padding: bool | None = None,
        stride_in_1x1: bool | None = None,
        norm: Norm = "batch",
        act: Activation = "relu",
        order: BlockOrder = "conv-norm-act",
        drop_path_rate: float = 0.0,
        dropout: float = 0.0,
        recompute: bool = False,
        zero_init_last: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels, dims=dims, dropout=dropout)
        self.conv1, self.maxpool = stem_layers(
            stem, in_channels, stem_channels, dims=dims, norm=norm, act=act, order=order, ceil_mode=stem_ceil_mode
        )
        self.exact_sizes = not stem_ceil_mode
        self.input_layer_name = "conv1.0" if stem == "deep" else "conv1"
        self.bn1 = norm_layer(norm, stem_channels, dims)
        self.act1 = activation(act)

        connections = choose_graph(
            graph,
            layer1_mode=layer1_mode,
            layer1_pass_through=layer1_pass_through or stage_pass_through,
            stage_pass_through=stage_pass_through,
            pool_counts_padding=pool_counts_padding,
            stride_in_1x1=stride_in_1x1,
        )
        block = partial(
            Res2Bottleneck,
            base_width=base_width,
            scale=scale,
            cardinality=cardinality,
            se_reduction=se_reduction,
            norm=norm,
            act=act,
            order=order,
            dims=dims,
            split_order=split_order,
            recompute=recompute,
            pool_counts_padding=connections.pool_counts_padding,
            stride_in_1x1=connections.stride_in_1x1,
        )
        stem_stride, pooled_stride = STEM_STRIDES[stem]
        first_block = partial(block, mode="stage", pass_through=connections.stage_pass_through)
        layer_modules, levels = residual_stages(
            first_block,
            block,
            partial(shortcut_layers, shortcut, dims=dims, norm=norm),
            layers,
            channels,
            stem_channels,
            stem_stride=pooled_stride,
            output_stride=output_stride,
            dilate_first=dilate_first,
            multi_grid=factors(multi_grid),
            drop_path_rate=drop_path_rate,
            first_block_of_layer1=partial(
                block, mode=connections.layer1_mode, pass_through=connections.layer1_pass_through
            ),
            stride_in_1x1=connections.stride_in_1x1,
        )
        for index, layer in enumerate(layer_modules, start=1):
            self.add_module(f"layer{index}", layer)
        stem_parts = ("conv1", "bn1", "act1") if order == "conv-norm-act" else ("conv1", "act1", "bn1")
        others = ((f"layer{index}",) for index in range(2, len(layers) + 1))
        levels = [Stage(stem_channels, stem_stride), *levels]
        parts = numbered((stem_parts, ("maxpool", "layer1"), *others))
        self.finish(levels, parts, zero_init_last=zero_init_last)


def factors(multi_grid: Sequence[int] | str) -> Sequence[int]:
    """The factors of a multi-grid that may be text; raises `InputError` if the text is not numbers with commas."""
    if not isinstance(multi_grid, str):
        return multi_grid
    try:
        return [int(number) for number in multi_grid.split(",")]
    except ValueError:
        raise InputError(f"The multi-grid {multi_grid!r} does not fit: give whole numbers, such as 1,2,4.") from None


def residual_stages(
    first_block: Callable[..., Res2Bottleneck],
    block: Callable[..., Res2Bottleneck],
    shortcut: Callable[..., nn.Module],
    layers: Sequence[int],
    channels: Sequence[int],
    in_channels: int,
    *,
    stem_stride: int,
    output_stride: int | None = None,
    dilate_first: bool = False,
    multi_grid: Sequence[int] = (),
    drop_path_rate: float = 0.0,
    first_block_of_layer1: Callable[..., Res2Bottleneck] | None = None,
    stride_in_1x1: bool = False,
) -> tuple[list[nn.Sequential], list[Stage]]:
    """Make the stages of a residual network, each of which but the first halves the size.

    Args:
        first_block: makes the first block of a stage from its input channels, planes, stride, dilation and drop path.
        block: makes the other blocks from the same options without the stride.
        shortcut: makes the shortcut of a first block from its input and output channels, stride and dilation.
        layers: number of blocks of each stage.
        channels: planes of each stage.
        in_channels: number of channels of the stem.
        stem_stride: stride of the stem, its pooling included.
        output_stride: stride of the last stage; strides beyond it are replaced by dilation (`stage_steps`).
        dilate_first: dilate the first blocks of dilated stages like their others, and make them as
            `first_block_of_layer1`.
        multi_grid: factors of the dilation of each block of the last stage; none by default.
        drop_path_rate: drop rate of the last block.
        first_block_of_layer1: makes the first block of a stage without a stride; by default `first_block`.
        stride_in_1x1: whether strides are in the first 1x1 convolutions. Then the first block of a dilated stage is
            dilated like its others, since its k x k convolutions come after the stride.

    Returns:
        The stages, and the channels and the stride of each.

    Raises:
        InputError: the lists differ in length, or the output stride or the factors are not possible.
    """
    check_layers(layers, channels, least=1)
    if multi_grid and len(multi_grid) != layers[-1]:
        raise InputError(f"A multi-grid of {len(multi_grid)} factors does not fit {layers[-1]} blocks: give as many.")
    for factor in multi_grid:
        check_positive("Factor of the multi-grid", factor)
    steps = stage_steps([stem_stride * 2**index for index in range(len(layers))], stem_stride, output_stride)
    stages: list[nn.Sequential] = []
    levels: list[Stage] = []
    drop_paths = rising(drop_path_rate, sum(layers))
    for count, planes, step in zip(layers, channels, steps, strict=True):
        is_first_of_layer1 = step.step == 1 if dilate_first else not step.reduces
        make_first = (first_block_of_layer1 or first_block) if is_first_of_layer1 else first_block
        grid = multi_grid if multi_grid and len(stages) == len(layers) - 1 else (1,) * count
        dilation = grid[0] * (step.dilation if stride_in_1x1 or dilate_first else step.first_dilation)
        first = make_first(in_channels, planes, stride=step.step, dilation=dilation, drop_path=next(drop_paths))
        # A stage that is dilated instead has one too, so that weights are the same at any output stride.
        if step.reduces or in_channels != first.out_channels:
            dilated = step.dilation > 1 and not dilate_first
            first.downsample = shortcut(in_channels, first.out_channels, stride=step.step, dilated=dilated)
        in_channels = first.out_channels
        others = (
            block(in_channels, planes, dilation=step.dilation * factor, drop_path=next(drop_paths))
            for factor in grid[1:]
        )
        stages.append(nn.Sequential(first, *others))
        levels.append(Stage(in_channels, step.stride))
    return stages, levels


LAYERS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
LAYERS_200_VD = (3, 12, 48, 3)  # as in PaddleClas; the ResNet-200 of He et al. (2016) has (3, 24, 36, 3)
V1D = {"stem": "deep", "shortcut": "avg_pool"}
RES2 = {"base_width": 26, "scale": 4}
TINY = {"layers": (2, 2, 2), "channels": (16, 32, 64), "stem_channels": 16}
SMALL = {"layers": (2, 2, 2), "channels": (24, 48, 96), "stem": "simple", "stem_channels": 24}
# Johnson et al., ECCV 2016: full resolution, two reductions, and all other blocks at stride 4; InstanceNorm (Ulyanov et
# al., 2016), which sees one image alone. Residual branches do not start at zero, as in those networks.
GENERATOR = {"stem": "conv3", "norm": "instance", "zero_init_last": False}
GENERATOR_FULL = {**GENERATOR, "layers": (1, 1, 9), "channels": (16, 32, 64), "stem_channels": 64}
GENERATOR_TINY = {**GENERATOR, "layers": (1, 1, 4), "channels": (8, 16, 32), "stem_channels": 16}
SIZES = (
    *((14, 26, 4), (26, 26, 4), (50, 48, 2), (50, 26, 4), (50, 14, 8), (50, 26, 6)),
    *((50, 26, 8), (50, 18, 4), (50, 18, 6), (101, 26, 4)),
)
"""Depth, width and scale of the Res2Nets."""

FAMILIES: dict[str, dict[str, dict[str, Any]]] = {
    "ResNet (He et al., CVPR 2016), the stride in the 3x3 convolution": {
        f"resnet{depth}": {"layers": layers} for depth, layers in LAYERS.items()
    },
    "ResNet-d: deep stem, pooled shortcuts (He et al., CVPR 2019)": {
        f"resnet{depth}d": {"layers": layers, **V1D} for depth, layers in LAYERS.items()
    },
    "ResNeXt (Xie et al., CVPR 2017)": {
        "resnext50_32x4d": {"layers": LAYERS[50], "cardinality": 32, "base_width": 4},
        "resnext101_64x4d": {"layers": LAYERS[101], "cardinality": 64, "base_width": 4},
    },
    "ResNet with squeeze-and-excitation (Hu et al., CVPR 2018)": {
        "seresnet50": {"layers": LAYERS[50], "se_reduction": 16}
    },
    "Res2Net (Gao et al., TPAMI 2021)": {
        f"res2net{depth}_{width}w_{scale}s": {"layers": LAYERS[depth], "base_width": width, "scale": scale}
        for depth, width, scale in SIZES
    },
    "Res2NeXt: Res2Net with grouped convolutions (Gao et al., TPAMI 2021)": {
        "res2next50": {"layers": LAYERS[50], "base_width": 4, "scale": 4, "cardinality": 8}
    },
    "Res2Net with squeeze-and-excitation (Gao et al., TPAMI 2021, Table 1)": {
        "seres2net50_26w_4s": {"layers": LAYERS[50], **RES2, "se_reduction": 16}
    },
    "Res2Net v1b, which timm calls d: deep stem, pooled shortcuts": {
        f"res2net{depth}d": {"layers": layers, **RES2, **V1D}
        for depth, layers in {50: LAYERS[50], 101: LAYERS[101], 152: LAYERS[152], 200: LAYERS_200_VD}.items()
    },
    "Res2NetPlus: v1b with Mish, and normalisation after the activation": {
        "res2netplus50_26w_4s": {"layers": LAYERS[50], **RES2, "act": "mish", "order": "conv-act-norm", **V1D}
    },
    "Res2Net in three dimensions, for volumes and videos": {
        "res2net3d50_26w_4s": {"layers": LAYERS[50], **RES2, "dims": 3}
    },
    "20 layers, a quarter of the channels: for quick trials on small images; the two cost the same within 2 %": {
        "resnet20_tiny": TINY,
        "res2net20_26w_4s_tiny": {**TINY, **RES2},
    },
    "38 layers, otherwise as the tiny ones of 20": {
        "resnet38_tiny": {**TINY, "layers": (4, 4, 4)},
        "res2net38_26w_4s_tiny": {**TINY, **RES2, "layers": (4, 4, 4)},
    },
    "20 layers with strides 2, 4 and 8, for comparisons on small images; all five cost the same within 3 %": {
        "resnet20_small": SMALL,
        "resnext20_8x14d_small": {**SMALL, "cardinality": 8, "base_width": 14},
        "res2net20_48w_2s_small": {**SMALL, "base_width": 48, "scale": 2},
        "res2net20_26w_4s_small": {**SMALL, **RES2},
        "res2net20_14w_8s_small": {**SMALL, "base_width": 14, "scale": 8},
    },
    "20 layers in three dimensions, for quick trials on small volumes; with a U-Net's decoder, which has the same "
    "blocks, the plain one costs 5 % more": {
        "resnet3d20_tiny": {**TINY, "base_width": 48, "dims": 3},
        "res2net3d20_26w_4s_tiny": {**TINY, **RES2, "dims": 3},
    },
    "Encoder of a generator for image-to-image translation (Johnson et al., ECCV 2016): 9 blocks at stride 4": {
        "resnet_generator": GENERATOR_FULL,
        "res2_generator": {**GENERATOR_FULL, **RES2},
    },
    "Encoder of a generator with 4 blocks and half of the channels; the two cost the same within 2 %": {
        "resnet_generator_tiny": GENERATOR_TINY,
        "res2_generator_tiny": {**GENERATOR_TINY, **RES2},
    },
}
for _about, _table in FAMILIES.items():
    register(ResNet, _about, _table)
# Names of MMPretrain, and those of the authors' code, of MMDetection and of PaddleClas that are not ours in capitals.
add_aliases({f"res2net{depth}-w{width}-s{scale}": f"res2net{depth}_{width}w_{scale}s" for depth, width, scale in SIZES})
add_aliases({f"res2net{depth}": f"res2net{depth}_26w_4s" for depth in (50, 101)})
add_aliases({"res2next50_4s": "res2next50"})
add_aliases(
    {
        f"res2net{depth}_{version}{size}": f"res2net{depth}d"
        for depth in (50, 101, 152, 200)
        for version in ("v1b", "v1d", "vd")
        for size in ("", "_26w_4s")
    }
)
add_aliases({f"resnet{depth}_{version}": f"resnet{depth}d" for depth in (50, 101, 152) for version in ("v1d", "vd")})
