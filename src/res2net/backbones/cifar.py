"""ResNeXt-29 and Res2NeXt-29 for 32x32 images (section 4.3 and Table 4 of the paper)."""

from __future__ import annotations

from res2net.backbones.registry import register
from res2net.backbones.resnet import ResNet
from res2net.errors import InputError

__all__ = ["cifar_resnext"]


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
    if depth < 11 or (depth - 2) % 9:
        raise InputError(f"Depth {depth} does not fit: choose 9 n + 2, such as 29, 56 or 164.")
    blocks = (depth - 2) // 9
    return ResNet(
        (blocks,) * 3,
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
