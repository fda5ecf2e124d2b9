"""The Res2 convolution: a hierarchy of small convolutions in place of one k x k convolution."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, TypeAlias

from torch import Tensor, nn

from res2net.errors import InputError, check_choice
from res2net.kernels import Layout, SplitOrder, chain
from res2net.kernels.chain import is_traced
from res2net.nn.layers import (
    Activation,
    IntOrTuple,
    Norm,
    PaddingMode,
    activation,
    check_input,
    check_positive,
    conv,
    layer_class,
    norm_layer,
    per_dimension,
)

Mode: TypeAlias = Literal["hierarchical", "stage"]
Order: TypeAlias = Literal["conv-norm-act", "conv-act-norm", "norm-act-conv"]
PassThrough: TypeAlias = Literal["identity", "pool", "conv"]

Branch: TypeAlias = tuple[nn.Module, nn.Module, nn.Module]
"""The convolution, the normalisation and the activation of one split."""


class Res2Conv(nn.Module):
    """The Res2 convolution (Gao et al., TPAMI 2021, section 3.1, Eq. 1) in 1, 2 or 3 dimensions.

    The `scale * width` input channels are cut into `scale` splits `x1 ... xs` of `width` channels. One split passes
    through; each of the others has its own convolution, normalisation and activation `K`. In the hierarchical mode the
    output of the split before it is added to a split, so that the outputs have seen 1, 2, ..., s - 1 convolutions and
    the module has many receptive fields at once:

        y1 = x1,   y2 = K2(x2),   yi = Ki(xi + y(i-1))   for 2 < i <= s          (split_order="paper")

    In the published code the last split passes through instead of the first (`split_order="official"`, the default),
    which is the same function up to a permutation of the channels. The first arXiv version of the paper prints
    `y2 = K2(x2 + x1)`, another function that no published code computes (`split_order="arxiv-v1"`).

    At scale 1 nothing is split and the module is a plain convolution with its normalisation and activation.

    Args:
        width: number of channels of a split.
        scale: number of splits, s.
        dims: number of dimensions of the signal: 1, 2 or 3.
        kernel_size: an odd number, or one for each dimension.
        stride: stride of the convolutions; above 1 only in the stage mode.
        dilation: dilation of the convolutions.
        cardinality: number of groups of the convolutions; it divides `width`.
        norm: "batch", "instance", "group", "layer", "none", or a function of the number of channels.
        act: "relu", "silu", "mish", ... (`res2net.nn.layers.ACTIVATIONS`), or a function without arguments.
        order: order of convolution, normalisation and activation in a branch.
        mode: "hierarchical", or "stage" without additions between splits, as in the first block of a network's stage.
        split_order: which split passes through, and how Eq. 1 is read.
        pass_through: what happens to the split that passes through: "identity"; "pool", an average pooling with the
            kernel and the stride of the convolutions; or "conv", a convolution like those of the other splits. By
            default "identity" in the hierarchical mode and "pool" in the stage mode.
        pool_counts_padding: whether the zeros around the image count in that average, as in the published code; with
            another padding mode they never do.
        bias: whether the convolutions have a bias.
        padding_mode: padding mode of the convolutions.

    Shape: `(N, scale * width, *size)` to `(N, scale * width, *ceil(size / stride))`.

    Raises:
        InputError: an option is out of range, or two options do not fit together.
    """

    def __init__(
        self,
        width: int,
        *,
        scale: int = 4,
        dims: int = 2,
        kernel_size: IntOrTuple = 3,
        stride: IntOrTuple = 1,
        dilation: IntOrTuple = 1,
        cardinality: int = 1,
        norm: Norm = "batch",
        act: Activation = "relu",
        order: Order = "conv-norm-act",
        mode: Mode = "hierarchical",
        split_order: SplitOrder = "official",
        pass_through: PassThrough | None = None,
        pool_counts_padding: bool = True,
        bias: bool = False,
        padding_mode: PaddingMode = "zeros",
    ) -> None:
        super().__init__()
        check_choice("Mode", mode, Mode)
        check_choice("Order", order, Order)
        check_choice("Split order", split_order, SplitOrder)
        pass_through = pass_through or ("pool" if mode == "stage" else "identity")
        check_choice("Pass-through", pass_through, PassThrough)
        for what, value in (("Width", width), ("Scale", scale), ("Cardinality", cardinality)):
            check_positive(what, value)
        if width % cardinality:
            raise InputError(f"Width {width} is not divisible by cardinality {cardinality}: choose one that is.")
        strided = max(per_dimension(stride, dims, "Stride")) > 1
        if strided and scale > 1 and mode == "hierarchical":
            raise InputError(
                f"Stride {stride} does not fit the hierarchical mode, which adds splits: use mode='stage'."
            )
        if strided and scale > 1 and pass_through == "identity":
            raise InputError(f"Stride {stride} does not fit pass_through='identity': use 'pool' or 'conv'.")

        self.width = width
        self.scale = scale
        self.dims = dims
        self.stride = stride
        self.mode = mode
        self.order = order
        self.split_order = split_order
        self.pass_through = pass_through if scale > 1 else "conv"
        self.layout = Layout(width, scale, mode == "hierarchical", split_order, passes=self.pass_through != "conv")

        branches = scale if self.pass_through == "conv" else scale - 1
        self.convs = nn.ModuleList(
            conv(
                *(dims, width, width, kernel_size),
                stride=stride,
                dilation=dilation,
                groups=cardinality,
                bias=bias,
                padding_mode=padding_mode,
            )
            for _ in range(branches)
        )
        self.bns = nn.ModuleList(norm_layer(norm, width, dims) for _ in range(branches))
        # An activation before a convolution may see the split itself, which others still read.
        self.acts = nn.ModuleList(activation(act, inplace=order != "norm-act-conv") for _ in range(branches))
        self.pool: nn.Module | None = None
        if self.pass_through == "pool":
            kernel = per_dimension(kernel_size, dims, "Kernel size")
            self.pool = layer_class("AvgPool", dims)(
                kernel,
                stride=stride,
                padding=tuple((size - 1) // 2 for size in kernel),
                count_include_pad=pool_counts_padding and padding_mode == "zeros",
            )

    @property
    def channels(self) -> int:
        """Number of input and of output channels: `scale * width`."""
        return self.scale * self.width

    def branches(self) -> Sequence[Branch]:
        """The convolution, normalisation and activation of each convolved split, in order."""
        return list(zip(self.convs, self.bns, self.acts, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """`(N, scale * width, *size)` to `(N, scale * width, *ceil(size / stride))`; `InputError` for another input."""
        self._check(x)
        steps = [partial(self.branch, conv=conv, norm=norm, act=act) for conv, norm, act in self.branches()]
        return chain(x, steps, self.layout, self.pool)

    def _check(self, x: Tensor) -> None:
        """Raise `InputError` with what was probably meant unless the input has the channels of the module."""
        width, scale = self.width, self.scale
        found = x.shape[1] if not is_traced(x) and x.ndim == self.dims + 2 else self.channels
        advice = ""
        if found != self.channels:
            advice = f"the module has scale {scale} times width {width} = {self.channels} channels, so "
            if found % scale == 0:
                advice += f"for {found} channels make it with width {found // scale}, not {width}"
            elif found % width == 0:
                advice += f"for {found} channels make it with scale {found // width}, not {scale}"
            else:
                advice += f"give {self.channels}, since {found} is divisible by neither"
        check_input(f"{type(self).__name__}({width}, scale={scale})", x, self.channels, self.dims, advice)

    def branch(self, x: Tensor, conv: nn.Module, norm: nn.Module, act: nn.Module) -> Tensor:
        """Apply the convolution, the normalisation and the activation of one split, in the order of the module."""
        if self.order == "conv-norm-act":
            return act(norm(conv(x)))
        if self.order == "conv-act-norm":
            return norm(act(conv(x)))
        return conv(act(norm(x)))

    def extra_repr(self) -> str:
        """The options that the children do not show."""
        return f"width={self.width}, scale={self.scale}, mode={self.mode}, split_order={self.split_order}"
