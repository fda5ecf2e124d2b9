"""The Res2 chain for inference, normalisation folded into its convolutions: the readable reference."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor

from res2net.errors import InputError, check_choice, check_range
from res2net.kernels.chain import Layout, chain

__all__ = ["ACTS", "check_folded", "default_pass_through", "folded_chain", "output_shape", "tap_major"]

ACTS = ("relu", "none")
PASS_THROUGH = ("identity", "pool")


def folded_chain(
    x: Tensor,
    weights: Tensor,
    biases: Tensor,
    layout: Layout,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    act: str = "relu",
    pass_through: str | None = None,
    pool_counts_padding: bool = True,
) -> Tensor:
    """What a `Res2Conv` of two dimensions computes in evaluation (Gao et al., TPAMI 2021, section 3.1, Eq. 1).

    Args:
        x: `(N, scale * width, H, W)`, the splits side by side.
        weights: `(branches, width, width / groups, k, k)`, one convolution for each split that has one, with the
            scale of the normalisation after it; k is odd, and the image is padded by zeros to keep its size.
        biases: `(branches, width)`, the shift of the normalisation.
        layout: of the splits.
        stride: of every convolution and of the pooling; above 1 only without additions between splits.
        dilation: of every convolution.
        groups: of every convolution.
        act: after every convolution, one of `ACTS`.
        pass_through: what happens to the split that is not convolved: "identity", or "pool", an average pooling of
            the same kernel and stride. By default "identity" in the hierarchical layout and "pool" in the other.
        pool_counts_padding: whether the zeros around the image count in that average.

    Returns:
        `(N, scale * width, ceil(H / stride), ceil(W / stride))`.

    Raises:
        InputError: an option or a shape does not fit.
    """
    check_folded(x, weights, biases, layout, stride, dilation, groups, act, pass_through)
    size = weights.shape[-1]

    def branch(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = F.conv2d(x, weight, bias, stride, dilation * (size // 2), dilation, groups)
        return y.relu_() if act == "relu" else y

    def pool(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, size, stride, size // 2, count_include_pad=pool_counts_padding)

    branches = [partial(branch, weight=weights[i], bias=biases[i]) for i in range(len(weights))]
    return chain(x, branches, layout, pool if (pass_through or default_pass_through(layout)) == "pool" else None)


def default_pass_through(layout: Layout) -> str:
    """What the split that is not convolved goes through in the published networks."""
    return "identity" if layout.hierarchical else "pool"


def output_shape(x: Tensor, stride: int) -> tuple[int, int, int, int]:
    """`(N, C, ceil(H / stride), ceil(W / stride))`."""
    batch, channels, height, width = x.shape
    return batch, channels, (height - 1) // stride + 1, (width - 1) // stride + 1


def tap_major(weights: Tensor) -> Tensor:
    """The same weights in the order of memory that the Triton kernel reads, which copies others at each call.

    The order is branch, tap, output channel, input channel.
    """
    return weights.permute(0, 3, 4, 1, 2).contiguous().permute(0, 3, 4, 1, 2)


def check_folded(
    x: Tensor,
    weights: Tensor,
    biases: Tensor,
    layout: Layout,
    stride: int,
    dilation: int,
    groups: int,
    act: str,
    pass_through: str | None,
) -> None:
    """Raise `InputError` unless the arguments of `folded_chain` fit together."""
    check_choice("Activation", act, ACTS)
    check_choice("Pass-through", pass_through or default_pass_through(layout), PASS_THROUGH)
    for what, value in (("Stride", stride), ("Dilation", dilation), ("Number of groups", groups)):
        check_range(what, value, 1)
    if x.ndim != 4 or x.shape[1] != layout.scale * layout.width:
        raise InputError(
            f"An input of shape {tuple(x.shape)} does not fit {layout.scale} splits of {layout.width} channels: "
            f"give (N, {layout.scale * layout.width}, H, W)."
        )
    branches, width, inside = len(layout.convolved), layout.width, layout.width // groups
    size = weights.shape[-1] if weights.ndim else 0
    if width % groups or tuple(weights.shape) != (branches, width, inside, size, size) or size % 2 == 0:
        raise InputError(
            f"Weights of shape {tuple(weights.shape)} do not fit {branches} convolutions of {width} channels in "
            f"{groups} groups: give ({branches}, {width}, {width} / groups, k, k) with an odd k."
        )
    if tuple(biases.shape) != (branches, width):
        raise InputError(f"Biases of shape {tuple(biases.shape)} do not fit: give ({branches}, {width}).")
    if not x.dtype == weights.dtype == biases.dtype:
        raise InputError(f"The input is {x.dtype}, weights {weights.dtype}, biases {biases.dtype}: give one precision.")
    if stride > 1 and layout.scale > 1 and layout.hierarchical:
        raise InputError(f"Stride {stride} does not fit a hierarchical layout, which adds splits: give stride 1.")
    if stride > 1 and layout.passed is not None and pass_through == "identity":
        raise InputError(f"Stride {stride} does not fit pass_through='identity': give 'pool'.")
