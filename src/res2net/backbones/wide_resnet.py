"""Wide ResNet for 32x32 images (Zagoruyko and Komodakis, BMVC 2016), a row of Table 4 of the Res2Net paper."""

from __future__ import annotations

from torch import Tensor, nn

from res2net.backbones.base import Backbone, Stage
from res2net.backbones.registry import register
from res2net.backbones.stages import StageSteps, rising, stage_steps
from res2net.errors import InputError
from res2net.nn.layers import activation, check_positive, check_probability, conv, norm_layer, stochastic_depth

__all__ = ["WideResNet"]

CHANNELS = (16, 32, 64)
"""Number of channels of each stage at widening factor 1."""


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each after its normalisation and ReLU, and a residual connection (Fig. 1d of the source).

    Where the channels change, the shortcut is a 1x1 convolution of the activated input.

    Args:
        in_channels: number of input channels.
        out_channels: number of output channels.
        steps: stride of the first convolution, and dilation of both.
        dropout: probability of dropping a value between the convolutions in training.
        drop_path: probability of dropping the residual branch of a sample in training.

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
    10 classes and 36.54 M with 100: both are the published 36.5 M.

    Args:
        depth: number of layers, 6 n + 4 for n blocks in each stage.
        widen: widening factor of the channels 16, 32, 64 of the stages.
        num_classes: number of classes of the classifier; 0 for no classifier.
        in_channels: number of channels of the image.
        output_stride: stride of the last stage (4, 2, 1); below 4, dilation replaces strides.
        drop_path_rate: probability of dropping the last block in training; it rises linearly from 0 at the first.
        block_dropout: probability of dropping a value inside the blocks in training (the paper uses 0 or 0.3).
        dropout: probability of dropping a feature before the classifier in training.

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
        if not isinstance(depth, int) or depth < 10 or (depth - 4) % 6:
            raise InputError(f"Depth {depth} does not fit: choose 6 n + 4, such as 16, 28 or 40.")
        check_positive("Widening factor", widen)
        check_probability("Dropout", block_dropout)
        blocks = (depth - 4) // 6
        self.conv1 = conv(2, in_channels, CHANNELS[0], 3)
        rates = rising(drop_path_rate, 3 * blocks)
        channels = CHANNELS[0]
        levels = [Stage(channels, 1)]
        for stage, (width, steps) in enumerate(zip(CHANNELS, stage_steps((1, 2, 4), 1, output_stride), strict=True), 1):
            layer = nn.Sequential()
            levels.append(Stage(width * widen, steps.stride))
            for _ in range(blocks):
                layer.append(WideBlock(channels, width * widen, steps, dropout=block_dropout, drop_path=next(rates)))
                channels, steps = width * widen, steps.after_first()
            self.add_module(f"layer{stage}", layer)
        self.bn = norm_layer("batch", channels, 2)
        self.act = activation("relu")
        self.finish(levels)

    def stage_modules(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The modules of the first convolution and of each layer; the last also has the final norm and ReLU."""
        layers = [self.get_submodule(f"layer{index}") for index in (1, 2, 3)]
        return ((self.conv1,), (layers[0],), (layers[1],), (layers[2], self.bn, self.act))


register(
    WideResNet,
    "Wide ResNet for 32x32 images (Zagoruyko and Komodakis, BMVC 2016)",
    {"cifar_wrn28_10": {"depth": 28, "widen": 10}},
)
