"""The residual bottleneck on a Res2 convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from res2net.errors import InputError, check_choice
from res2net.kernels import BatchNorm, Convolution, interior_recomputed
from res2net.nn.attention import SqueezeExcitation
from res2net.nn.layers import (
    Activation,
    IntOrTuple,
    Norm,
    activation,
    check_positive,
    conv,
    norm_layer,
    stochastic_depth,
)
from res2net.nn.res2conv import Branch, Res2Conv

__all__ = ["Res2Bottleneck"]

BLOCK_ORDERS = ("conv-norm-act", "conv-act-norm")
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Res2Bottleneck(Res2Conv):
    """1x1 convolution, Res2 convolution, 1x1 convolution, and a residual connection (paper, section 3.1, Fig. 2b).

    At scale 1 it is the plain bottleneck of ResNet (He et al., CVPR 2016, with the stride in the 3x3 convolution), so
    baselines and Res2Nets are the same code. The names of parameters are those of the published checkpoints:
    `conv1, bn1, convs.i, bns.i, conv3, bn3, se, downsample`; at scale 1 `conv2, bn2` as everywhere.

    Args:
        in_channels: channels of the input.
        planes: the block has `expansion * planes` output channels.
        base_width: a split has `floor(planes * base_width / 64) * cardinality` channels.
        scale: number of splits; 1 is the plain bottleneck.
        cardinality: groups of the k x k convolutions.
        expansion: of the output over `planes`.
        downsample: the shortcut's layers; None is the identity.
        se_reduction: reduction of a squeeze-and-excitation after the last normalisation; None has none.
        drop_path: probability to drop the residual branch of a sample while training (Huang et al., ECCV 2016).
        recompute: save memory in training: outputs of normalisations and ReLUs are made again in the backward pass
            (`res2net.kernels.interior_recomputed`), with the same gradients. It needs batch normalisation, then ReLU.
            Hooks on the layers between the two 1x1 convolutions are not called then.
        norm: as in `Res2Conv`; also of the 1x1 convolutions.
        act: as in `Res2Conv`; also of the block.
        order: of convolution, normalisation and activation: "conv-norm-act", or "conv-act-norm" (Res2NetPlus), where
            the last convolution still has its normalisation alone, and the activation comes after the addition.
        dims: as in `Res2Conv`.
        kernel_size: as in `Res2Conv`.
        stride: of the block; the k x k convolutions have it, unless `stride_in_1x1`.
        dilation: as in `Res2Conv`.
        mode: as in `Res2Conv`.
        split_order: as in `Res2Conv`.
        pass_through: as in `Res2Conv`.
        pool_counts_padding: as in `Res2Conv`.
        stride_in_1x1: whether the first 1x1 convolution has the stride, and the k x k convolutions have none.

    Shape: `(N, in_channels, *size)` to `(N, expansion * planes, *ceil(size / stride))`.

    Raises:
        InputError: an option is out of range, or two do not fit together.
    """

    def __init__(
        self,
        in_channels: int,
        planes: int,
        *,
        base_width: int = 26,
        scale: int = 4,
        cardinality: int = 1,
        expansion: int = 4,
        downsample: nn.Module | None = None,
        se_reduction: int | None = None,
        drop_path: float = 0.0,
        recompute: bool = False,
        norm: Norm = "batch",
        act: Activation = "relu",
        order: str = "conv-norm-act",
        dims: int = 2,
        kernel_size: IntOrTuple = 3,
        stride: IntOrTuple = 1,
        dilation: IntOrTuple = 1,
        mode: str = "hierarchical",
        split_order: str = "official",
        pass_through: str | None = None,
        pool_counts_padding: bool = True,
        stride_in_1x1: bool = False,
    ) -> None:
        for what, value in (("Planes", planes), ("Base width", base_width), ("Cardinality", cardinality)):
            check_positive(what, value)
        width = planes * base_width // 64 * cardinality
        if width < 1:
            raise InputError(
                f"Base width {base_width} leaves no channel at {planes} planes: choose at least {-(-64 // planes)}."
            )
        check_choice("Order of a block", order, BLOCK_ORDERS)
        if recompute and (norm, act) != ("batch", "relu"):
            raise InputError(
                f"Recomputing does not fit norm={norm!r} and act={act!r}: it needs norm='batch' and act='relu'."
            )
        if recompute and order != "conv-norm-act":
            raise InputError(f"Recomputing does not fit order={order!r}: it needs order='conv-norm-act'.")
        super().__init__(
            width,
            scale=scale,
            dims=dims,
            kernel_size=kernel_size,
            stride=1 if stride_in_1x1 else stride,
            dilation=dilation,
            cardinality=cardinality,
            norm=norm,
            act=act,
            order=order,
            mode=mode,
            split_order=split_order,
            pass_through=pass_through,
            pool_counts_padding=pool_counts_padding,
        )
        if scale == 1:
            self.conv2, self.bn2, self.act2 = super().branches()[0]
            del self.convs, self.bns, self.acts
        self.recompute = recompute
        self.base_width, self.cardinality = base_width, cardinality
        self.out_channels = planes * expansion
        self.conv1 = conv(dims, in_channels, self.channels, stride=stride if stride_in_1x1 else 1)
        self.bn1 = norm_layer(norm, self.channels, dims)
        self.act1 = activation(act)
        self.conv3 = conv(dims, self.channels, self.out_channels)
        self.bn3 = norm_layer(norm, self.out_channels, dims)
        self.se: nn.Module = nn.Identity()
        if se_reduction is not None:
            self.se = SqueezeExcitation(self.out_channels, se_reduction, dims=dims)
        self.drop_path = stochastic_depth(drop_path)
        self.downsample = downsample if downsample is not None else nn.Identity()
        self.act3 = activation(act)

    def branches(self) -> Sequence[Branch]:
        """The convolution, normalisation and activation of each convolved split, first to last."""
        return [(self.conv2, self.bn2, self.act2)] if self.scale == 1 else super().branches()

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """`(N, in_channels, *size)` to `(N, out_channels, *ceil(size / stride))`.

        What comes out of the branch is added to `residual`, of the output's shape, which is not changed; by default to
        the shortcut of `x`.
        """
        y = self.conv1(x)
        # Frozen normalisations need no gradient, and those of several processes are layers of their own.
        if self.recompute and all(trains_alone(norm) for norm in self.inner_norms()):
            y = self.interior_recomputed(y)
        else:
            y = self.bn1(self.act1(y)) if self.order == "conv-act-norm" else self.act1(self.bn1(y))
            y = self.conv3(super().forward(y))
        y = self.bn3(y)
        y = self.drop_path(self.se(y))
        return self.act3(y.add_(self.downsample(x) if residual is None else residual))

    def inner_norms(self) -> list[nn.Module]:
        """The normalisations between the two 1x1 convolutions."""
        return [self.bn1, *(norm for _, norm, _ in self.branches())]

    def interior_recomputed(self, x: Tensor) -> Tensor:
        """From the output of `conv1` to that of `conv3`."""
        norms = [batch_norm_tensors(norm) for norm in self.inner_norms()]
        convolutions = [convolution_tensors(conv) for conv, _, _ in self.branches()]
        branches = list(zip(convolutions, norms[1:], strict=True))
        return interior_recomputed(x, norms[0], branches, convolution_tensors(self.conv3), self.layout, self.pool)


def trains_alone(norm: nn.Module) -> bool:
    """Whether it is a batch normalisation that takes its statistics from this process's batch."""
    return type(norm) in BATCH_NORMS and norm.training


def batch_norm_tensors(norm: Any) -> BatchNorm:
    """The tensors of a batch normalisation, which counts one batch more."""
    norm.num_batches_tracked.add_(1)
    return BatchNorm(norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.momentum, norm.eps)


def convolution_tensors(conv: Any) -> Convolution:
    """The weight and the numbers of a convolution."""
    return Convolution(conv.weight, conv.stride, conv.padding, conv.dilation, conv.groups)
