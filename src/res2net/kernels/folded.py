"""The Res2 chain for inference, with normalisation folded into its convolutions: the readable reference."""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import torch.nn.functional as F
from torch import Tensor

from res2net.errors import InputError, check_choice, check_range
from res2net.kernels.chain import Layout, chain

Act: TypeAlias = Literal["relu", "none"]
PassThrough: TypeAlias = Literal["identity", "pool"]


class ChainOptions(NamedTuple):
    """Options of a folded chain, which all of its convolutions share."""

    stride: int = 1
    """Stride of the convolutions and of the pooling; above 1 only without additions between splits."""
    dilation: int = 1
    """Dilation of the convolutions."""
    groups: int = 1
    """Number of groups of the convolutions."""
    act: Act = "relu"
    """Activation after every convolution."""
    pass_through: PassThrough | None = None
    """What happens to the split that is not convolved: "identity", or "pool", an average pooling with the kernel and
    the stride of the convolutions. By default "identity" in a hierarchical layout and "pool" in others."""
    pool_counts_padding: bool = True
    """Whether the zeros around the image count in that average."""

    def pools(self, layout: Layout) -> bool:
        """Whether the split that is not convolved is pooled."""
        return (self.pass_through or ("identity" if layout.hierarchical else "pool")) == "pool"


DEFAULTS = ChainOptions()


def folded_chain(
    x: Tensor, weights: Tensor, biases: Tensor, layout: Layout, options: ChainOptions = DEFAULTS
) -> Tensor:
    """Compute a `Res2Conv` of two dimensions in evaluation (Gao et al., TPAMI 2021, section 3.1, Eq. 1).

    Args:
        x: `(N, scale * width, H, W)`, the splits side by side.
        weights: `(branches, width, width / groups, k, k)`, a convolution for each convolved split, which includes the
            scale of the normalisation after it; k is odd, and the image is padded with zeros to keep its size.
        biases: `(branches, width)`, the shifts of the normalisations.
        layout: how the splits are connected.
        options: stride, dilation, groups, activation and pass-through.

    Returns:
        `(N, scale * width, ceil(H / stride), ceil(W / stride))`.

    Raises:
        InputError: an option or a shape does not fit.
    """
    check_folded(x, weights, biases, layout, options)
    stride, dilation, size = options.stride, options.dilation, weights.shape[-1]

    def branch(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = F.conv2d(x, weight, bias, stride, dilation * (size // 2), dilation, options.groups)
        return y.relu_() if options.act == "relu" else y

    def pool(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, size, stride, size // 2, count_include_pad=options.pool_counts_padding)

    branches = [partial(branch, weight=weights[i], bias=biases[i]) for i in range(len(weights))]
    return chain(x, branches, layout, pool if options.pools(layout) else None)


def output_shape(x: Tensor, stride: int) -> tuple[int, int, int, int]:
    """The shape of the output: `(N, C, ceil(H / stride), ceil(W / stride))`."""
    batch, channels, height, width = x.shape
    return batch, channels, (height - 1) // stride + 1, (width - 1) // stride + 1


def tap_major(weights: Tensor) -> Tensor:
    """Copy weights into the memory order that the Triton kernel reads: branch, tap, output channel, input channel.

    The kernel copies weights in any other order at each call.
    """
    return weights.permute(0, 3, 4, 1, 2).contiguous().permute(0, 3, 4, 1, 2)


def check_folded(x: Tensor, weights: Tensor, biases: Tensor, layout: Layout, options: ChainOptions) -> None:
    """Raise `InputError` unless the arguments of `folded_chain` fit together."""
    check_choice("Activation", options.act, Act)
    check_choice("Pass-through", options.pass_through or "identity", PassThrough)
    stride, groups = options.stride, options.groups
    for what, value in (("Stride", stride), ("Dilation", options.dilation), ("Number of groups", groups)):
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
    if stride > 1 and layout.passed is not None and options.pass_through == "identity":
        raise InputError(f"Stride {stride} does not fit pass_through='identity': give 'pool'.")
