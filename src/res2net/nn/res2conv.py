"""The Res2 convolution: one k x k convolution replaced by a hierarchy of smaller ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from res2net.errors import InputError, check_choice
from res2net.kernels import Layout, chain
from res2net.nn.layers import (
    Activation,
    IntOrTuple,
    Norm,
    activation,
    avg_pool,
    check_positive,
    conv,
    norm_layer,
    per_dimension,
)

__all__ = ["ORDERS", "PASS_THROUGH", "SPLIT_ORDERS", "Branch", "Res2Conv"]

MODES = ("hierarchical", "stage")
ORDERS = ("conv-norm-act", "conv-act-norm", "norm-act-conv")
PASS_THROUGH = ("identity", "pool", "conv")
SPLIT_ORDERS = ("official", "paper", "arxiv-v1")

Branch = tuple[nn.Module, nn.Module, nn.Module]
"""The convolution, the normalisation and the activation of one split."""


class Res2Conv(nn.Module):
    """A hierarchical split convolution (Gao et al., TPAMI 2021, section 3.1, Eq. 1) in 1, 2 or 3 dimensions.

    The `scale * width` input channels are cut into `scale` splits `x1 ... xs` of `width` channels. One split passes
    through; each of the others goes through its own convolution, normalisation and activation `K`. In the
    hierarchical mode a split first receives the output of the split before it, so that the outputs have seen
    1, 2, ..., s - 1 convolutions and the module has many receptive fields at once:

        y1 = x1,   y2 = K2(x2),   yi = Ki(xi + y(i-1))   for 2 < i <= s          (split_order="paper")

    The published code lets the last split pass instead of the first (`split_order="official"`, the default): the
    same function up to a permutation of the channels. The first arXiv version of the paper prints
    `y2 = K2(x2 + x1)`, another function that no published code computes (`split_order="arxiv-v1"`).

    At scale 1 nothing is split and the module is a plain convolution with its normalisation and activation.

    Args:
        width: channels of a split.
        scale: number of splits, s.
        dims: dimensions of the signal, 1, 2 or 3.
        kernel_size: an odd number, or one for each dimension.
        stride: of every convolution; above 1 only in the stage mode.
        dilation: of every convolution.
        cardinality: groups of every convolution; divides `width`.
        norm: "batch", "instance", "group", "layer", "none", or a function of the channels.
        act: "relu", "silu", "mish", ... (`res2net.nn.layers.ACTIVATIONS`), or a function without arguments.
        order: of convolution, normalisation and activation in a branch; one of `ORDERS`.
        mode: "hierarchical", or "stage": no additions between splits, as in the first block of a network's stage.
        split_order: one of `SPLIT_ORDERS`.
        pass_through: what happens to the split that is not convolved: "identity"; "pool", an average pooling of the
            same kernel and stride; or "conv": it is convolved like the others. By default "identity" in the
            hierarchical mode and "pool" in the stage mode.
        pool_counts_padding: whether the zeros around the image count in that average, as in the published code; they
            never do with another padding.
        bias: whether the convolutions have one.
        padding_mode: of the convolutions: "zeros", "reflect", "replicate" or "circular", as torch's.

    Shape: `(N, scale * width, *size)` to `(N, scale * width, *ceil(size / stride))`.

    Raises:
        InputError: an option is out of range, or two do not fit together.
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
        order: str = "conv-norm-act",
        mode: str = "hierarchical",
        split_order: str = "official",
        pass_through: str | None = None,
        pool_counts_padding: bool = True,
        bias: bool = False,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__()
        check_choice("Mode", mode, MODES)
        check_choice("Order", order, ORDERS)
        check_choice("Split order", split_order, SPLIT_ORDERS)
        pass_through = pass_through or ("pool" if mode == "stage" else "identity")
        check_choice("Pass-through", pass_through, PASS_THROUGH)
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
        # Before a convolution the activation may see the split itself, which others still read.
        self.acts = nn.ModuleList(activation(act, inplace=order != "norm-act-conv") for _ in range(branches))
        self.pool: nn.Module | None = None
        if self.pass_through == "pool":
            kernel = per_dimension(kernel_size, dims, "Kernel size")
            self.pool = avg_pool(
                dims,
                kernel,
                stride=stride,
                padding=tuple((size - 1) // 2 for size in kernel),
                count_include_pad=pool_counts_padding and padding_mode == "zeros",
            )

    @property
    def channels(self) -> int:
        """Channels in and out: `scale * width`."""
        return self.scale * self.width

    def branches(self) -> Sequence[Branch]:
        """The convolution, normalisation and activation of each convolved split, first to last."""
        return list(zip(self.convs, self.bns, self.acts, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """`(N, scale * width, *size)` to the same channels, `size` divided by the stride."""
        steps = [partial(self.branch, conv=conv, norm=norm, act=act) for conv, norm, act in self.branches()]
        return chain(x, steps, self.layout, self.pool)

    def branch(self, x: Tensor, conv: nn.Module, norm: nn.Module, act: nn.Module) -> Tensor:
        """One split through its convolution, normalisation and activation, in the module's order."""
        if self.order == "conv-norm-act":
            return act(norm(conv(x)))
        if self.order == "conv-act-norm":
            return norm(act(conv(x)))
        return conv(act(norm(x)))

    def extra_repr(self) -> str:
        """The options that are not visible in the children."""
        return f"width={self.width}, scale={self.scale}, mode={self.mode}, split_order={self.split_order}"
