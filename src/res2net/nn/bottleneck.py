"""The residual bottleneck with a Res2 convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from torch import Tensor, nn

from res2net.errors import InputError, check_choice
from res2net.kernels import BatchNorm, Convolution, SplitOrder, interior_recomputed
from res2net.kernels.chain import is_traced
from res2net.nn.layers import (
    Activation,
    IntOrTuple,
    Norm,
    SqueezeExcitation,
    activation,
    check_input,
    check_positive,
    conv,
    norm_layer,
    stochastic_depth,
)
from res2net.nn.res2conv import Branch, Mode, PassThrough, Res2Conv

BlockOrder: TypeAlias = Literal["conv-norm-act", "conv-act-norm"]
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Res2Bottleneck(Res2Conv):
    """The bottleneck block of Res2Net: 1x1, Res2 and 1x1 convolution, and a residual connection (Fig. 2b of the paper).

    At scale 1 it is the plain bottleneck of ResNet (He et al., CVPR 2016, with the stride in the 3x3 convolution), so
    baselines and Res2Nets share their code. The names of parameters are those of the published checkpoints:
    `conv1, bn1, convs.i, bns.i, conv3, bn3, se, downsample`, and at scale 1 `conv2, bn2` as in every ResNet.

    Other options are those of `Res2Conv`; `norm` and `act` are also used for the 1x1 convolutions.

    Args:
        in_channels: number of input channels.
        planes: the block has `expansion * planes` output channels.
        base_width: a split has `floor(planes * base_width / 64) * cardinality` channels.
        scale: number of splits; 1 is the plain bottleneck.
        cardinality: number of groups of the k x k convolutions.
        expansion: ratio of output channels to `planes`.
        downsample: the layers of the shortcut; None for the identity.
        se_reduction: reduction of a squeeze-and-excitation after the last normalisation; None for none.
        drop_path: probability of dropping the residual branch of a sample in training (Huang et al., ECCV 2016).
        recompute: save memory in training by computing the outputs of normalisations and ReLUs again in the backward
            pass (`res2net.kernels.interior_recomputed`), with the same gradients. It needs batch normalisation followed
            by ReLU, and does not call hooks on the layers between the two 1x1 convolutions.
        order: order of convolution, normalisation and activation. In "conv-act-norm" (Res2NetPlus) the last convolution
            is still followed by its normalisation alone, and the activation by the addition.
        stride: stride of the block, in the k x k convolutions unless `stride_in_1x1`.
        stride_in_1x1: whether the stride is in the first 1x1 convolution instead of the k x k convolutions.

    Shape: `(N, in_channels, *size)` to `(N, expansion * planes, *ceil(size / stride))`.

    Raises:
        InputError: an option is out of range, or two options do not fit together.
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
        order: BlockOrder = "conv-norm-act",
        dims: int = 2,
        kernel_size: IntOrTuple = 3,
        stride: IntOrTuple = 1,
        dilation: IntOrTuple = 1,
        mode: Mode = "hierarchical",
        split_order: SplitOrder = "official",
        pass_through: PassThrough | None = None,
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
        check_choice("Order of a block", order, BlockOrder)
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
        self.in_channels, self.out_channels = in_channels, planes * expansion
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
        """The convolution, normalisation and activation of each convolved split, in order."""
        return [(self.conv2, self.bn2, self.act2)] if self.scale == 1 else super().branches()

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """`(N, in_channels, *size)` to `(N, out_channels, *ceil(size / stride))`.

        The output of the residual branch is added to `residual`, which has the shape of the output and is not changed;
        by default to the shortcut of `x`. Raises `InputError` for another input.
        """
        check_input(type(self).__name__, x, self.in_channels, self.dims)
        y = self.conv1(x)
        # Frozen normalisations have no gradient to compute, and synchronised ones are layers of their own.
        if self.recompute and all(type(norm) in BATCH_NORMS and norm.training for norm in self.inner_norms()):
            y = self.interior_recomputed(y)
        else:
            y = self.bn1(self.act1(y)) if self.order == "conv-act-norm" else self.act1(self.bn1(y))
            y = self.conv3(super().forward(y))
        y = self.bn3(y)
        y = self.drop_path(self.se(y))
        shortcut = self.downsample(x) if residual is None else residual
        if not is_traced(x) and shortcut.shape != y.shape:
            raise InputError(
                f"A residual of shape {tuple(shortcut.shape)} does not fit the output of the block, {tuple(y.shape)}: "
                "give `downsample` layers that map the one to the other."
            )
        return self.act3(y.add_(shortcut))

    def inner_norms(self) -> list[nn.Module]:
        """The normalisations between the two 1x1 convolutions."""
        return [self.bn1, *(norm for _, norm, _ in self.branches())]

    def interior_recomputed(self, x: Tensor) -> Tensor:
        """Compute the output of `conv3` from that of `conv1` with less memory for the backward pass."""
        norms = [batch_norm_tensors(norm) for norm in self.inner_norms()]
        convolutions = [convolution_tensors(conv) for conv, _, _ in self.branches()]
        branches = list(zip(convolutions, norms[1:], strict=True))
        return interior_recomputed(x, norms[0], branches, convolution_tensors(self.conv3), self.layout, self.pool)


def batch_norm_tensors(norm: Any) -> BatchNorm:
    """The tensors of a batch normalisation, whose count of batches is increased by one."""
    norm.num_batches_tracked.add_(1)
    return BatchNorm(norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.momentum, norm.eps)


def convolution_tensors(conv: Any) -> Convolution:
    """The weight, stride, padding, dilation and groups of a convolution."""
    return Convolution(conv.weight, conv.stride, conv.padding, conv.dilation, conv.groups)
