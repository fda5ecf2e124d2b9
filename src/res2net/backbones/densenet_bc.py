"""DenseNet-BC for 32x32 images (Huang et al., CVPR 2017), a row of Table 4 of the Res2Net paper."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from res2net.backbones.base import Backbone, Stage
from res2net.backbones.dilated import DilatedAvgPool
from res2net.backbones.registry import register
from res2net.backbones.stages import StageSteps, check_no_drop_path, stage_steps
from res2net.errors import InputError
from res2net.nn.layers import activation, avg_pool, check_positive, conv, norm_layer

__all__ = ["DenseNetBC"]


class DenseLayer(nn.Module):
    """A 1x1 and a 3x3 convolution, each after its normalisation and ReLU, whose output is concatenated to the input.

    Args:
        in_channels: number of input channels.
        growth_rate: number of channels added; the 1x1 convolution has four times as many.
        dilation: dilation of the 3x3 convolution.

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
    100.

    Args:
        depth: number of layers, 6 n + 4 for n dense layers in each block.
        growth_rate: number of channels that a dense layer adds, k.
        num_classes: number of classes of the classifier; 0 for no classifier.
        in_channels: number of channels of the image.
        output_stride: stride of the last stage (4, 2, 1); below 4, dilation replaces strides.
        drop_path_rate: only 0: there are no residual branches.
        dropout: probability of dropping a feature before the classifier in training.

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
        if not isinstance(depth, int) or depth < 10 or (depth - 4) % 6:
            raise InputError(f"Depth {depth} does not fit: choose 6 n + 4, such as 100, 190 or 250.")
        check_positive("Growth rate", growth_rate)
        check_no_drop_path(drop_path_rate)
        layers = (depth - 4) // 6
        channels = 2 * growth_rate
        self.conv1 = conv(2, in_channels, channels, 3)
        levels = [Stage(channels, 1)]
        for block, steps in enumerate(stage_steps((1, 2, 4), 1, output_stride), 1):
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
        self.finish(levels)

    def stage_modules(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The modules of the first convolution and of each block; the last also has the final norm and ReLU."""
        first, second, third = (self.get_submodule(f"block{index}") for index in (1, 2, 3))
        to_second, to_third = (self.get_submodule(f"transition{index}") for index in (1, 2))
        return ((self.conv1,), (first,), (to_second, second), (to_third, third, self.bn, self.act))


def transition(in_channels: int, out_channels: int, steps: StageSteps) -> nn.Sequential:
    """Make a transition, which halves the size or dilates; incomplete windows are kept and padding does not count."""
    pool = avg_pool(2, 2, stride=2, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(
        norm_layer("batch", in_channels, 2),
        activation("relu"),
        conv(2, in_channels, out_channels),
        pool if steps.step > 1 else DilatedAvgPool(2, steps.first_dilation),
    )


register(
    DenseNetBC,
    "DenseNet-BC for 32x32 images (Huang et al., CVPR 2017)",
    {"cifar_densenetbc190_k40": {"depth": 190, "growth_rate": 40}},
)
