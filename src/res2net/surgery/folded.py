"""The Res2 chain as one operator with stacked weights, for GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from res2net.kernels import ChainOptions, Layout, folded_chain_op, tap_major
from res2net.kernels.folded import Act
from res2net.kernels.folded_op import Backend

__all__ = ["FoldedChain", "folds"]

ACTIVATIONS: dict[type[nn.Module], Act] = {nn.ReLU: "relu", nn.Identity: "none"}
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)

Step = tuple[Any, nn.Module]
"""A convolution and the activation after it."""


class FoldedChain(nn.Module):
    """The Res2 chain by `res2net.kernels.folded_chain_op`, for inference only: it is not differentiable.

    Args:
        steps: the convolution and the activation of each convolved split, in order; `folds` must accept them.
        layout: the layout of the splits.
        pool: the pooling of the split that is not convolved; None if it passes unchanged.
        backend: the backend of the operator, "triton" or "reference".

    Shape: `(N, scale * width, H, W)` to the same channels, in channels-last memory.
    """

    weight: Tensor
    """Weights `(branches, k * k * width, width / groups)`, in the order that the kernel reads in any memory format."""
    bias: Tensor
    """Biases `(branches, width)`."""

    def __init__(self, steps: Sequence[Step], layout: Layout, pool: nn.Module | None, backend: Backend) -> None:
        super().__init__()
        conv, act = steps[0]
        self.layout, self.backend = layout, backend
        self.size = conv.kernel_size[0]
        self.options = ChainOptions(
            stride=conv.stride[0],
            dilation=conv.dilation[0],
            groups=conv.groups,
            act=ACTIVATIONS[type(act)],
            pass_through="identity" if pool is None else "pool",
            pool_counts_padding=getattr(pool, "count_include_pad", True),
        )
        weights = torch.stack([conv.weight.detach() for conv, _ in steps])
        biases = [conv.weight.new_zeros(layout.width) if conv.bias is None else conv.bias for conv, _ in steps]
        by_tap = tap_major(weights).permute(0, 3, 4, 1, 2)
        self.register_buffer("weight", by_tap.reshape(len(steps), -1, layout.width // conv.groups))
        self.register_buffer("bias", torch.stack(biases).detach())

    @property
    def weights(self) -> Tensor:
        """A view of the weights in the shape that the operator takes, `(branches, width, width / groups, k, k)`."""
        by_tap = self.weight.unflatten(1, (self.size, self.size, self.layout.width))
        return by_tap.permute(0, 3, 4, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the chain."""
        return folded_chain_op(x, self.weights, self.bias, self.layout, self.options, backend=self.backend)

    def extra_repr(self) -> str:
        """The layout and options, for `print`."""
        return f"{self.layout}, kernel {self.size}, {self.options}, backend={self.backend}"


def folds(steps: Sequence[Step], layout: Layout, pool: nn.Module | None) -> bool:
    """Whether `FoldedChain` accepts these steps: equal 2-D convolutions, zero-padded to keep the size."""
    first, act = steps[0]
    # A chain of one split is a plain convolution, for which torch's libraries are fastest.
    if layout.scale == 1 or type(first) is not nn.Conv2d or type(act) not in ACTIVATIONS:
        return False
    kernel, stride, dilation = first.kernel_size, first.stride, first.dilation
    padding = tuple(step * (size // 2) for size, step in zip(kernel, dilation, strict=True))
    alike = all(
        type(conv) is nn.Conv2d
        and type(act) is type(steps[0][1])
        and (conv.kernel_size, conv.stride, conv.dilation, conv.padding) == (kernel, stride, dilation, padding)
        and (conv.groups, conv.padding_mode) == (first.groups, "zeros")
        for conv, act in steps
    )
    square = kernel[0] == kernel[1] and stride[0] == stride[1] and dilation[0] == dilation[1]
    return alike and square and kernel[0] % 2 == 1 and first.weight.dtype in PRECISIONS and pools(pool, first)


def pools(pool: Any, conv: nn.Conv2d) -> bool:
    """Whether the operator supports the pooling: none, or an average with the kernel and stride of the convolutions."""
    if pool is None:
        return True
    pairs = [(n, n) if isinstance(n, int) else tuple(n) for n in (pool.kernel_size, pool.stride, pool.padding)]
    padding = tuple(size // 2 for size in conv.kernel_size)
    exact = type(pool) is nn.AvgPool2d and not pool.ceil_mode and pool.divisor_override is None
    return exact and pairs == [conv.kernel_size, conv.stride, padding]
