"""The interior of a bottleneck in training, and a version with less memory that recomputes what is cheap."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from res2net.kernels.chain import Layout, Step, chain, chain_backward


class BatchNorm(NamedTuple):
    """The tensors `(C,)` and numbers of a batch normalisation in training."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    momentum: float
    eps: float


class Convolution(NamedTuple):
    """A convolution without bias: its weight `(C_out, C_in / groups, *kernel)`, and a number for each dimension."""

    weight: Tensor
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


Branch = tuple[Convolution, BatchNorm]

aten = torch.ops.aten


def interior(
    x: Tensor,
    norm: BatchNorm,
    branches: Sequence[Branch],
    last: Convolution,
    layout: Layout,
    pass_through: Step | None = None,
) -> Tensor:
    """Compute the interior of a bottleneck in training, from the first 1x1 convolution to the second.

    Args:
        x: the output of the first 1x1 convolution, `(N, scale * width, *size)`.
        norm: the normalisation after it, which is followed by a ReLU.
        branches: the convolution and the normalisation of each convolved split, which are followed by a ReLU.
        last: the second 1x1 convolution.
        layout: how the splits are connected.
        pass_through: the function of the split that passes through.

    Returns:
        The output of `last`, `(N, C_out, *size / stride)`. Running statistics are updated.
    """

    def normalised(x: Tensor, norm: BatchNorm) -> Tensor:
        y = functional.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, True, norm.momentum, norm.eps
        )
        return y.relu_()

    def branch(x: Tensor, convolution: Convolution, norm: BatchNorm) -> Tensor:
        return normalised(convolved(x, convolution), norm)

    steps = [partial(branch, convolution=convolution, norm=norm) for convolution, norm in branches]
    return convolved(chain(normalised(x, norm), steps, layout, pass_through), last)


def interior_recomputed(
    x: Tensor,
    norm: BatchNorm,
    branches: Sequence[Branch],
    last: Convolution,
    layout: Layout,
    pass_through: Step | None = None,
) -> Tensor:
    """Compute `interior` while keeping only the outputs of convolutions for the backward pass.

    The backward pass recomputes outputs of normalisations and ReLUs, sums of splits and their concatenation with the
    statistics of the forward pass: no convolution and no average over a batch is computed twice. Gradients equal those
    of `interior` up to rounding. Second derivatives are not available.
    """
    norms = (norm, *(branch_norm for _, branch_norm in branches))
    convolutions = (*(convolution for convolution, _ in branches), last)
    return _Interior.apply(
        x,
        (norms, convolutions, layout, pass_through),
        *(item.weight for item in norms),
        *(item.bias for item in norms),
        *(item.weight for item in convolutions),
    )


def convolved(x: Tensor, convolution: Convolution) -> Tensor:
    """Convolve without a bias."""
    weight, stride, padding, dilation, groups = convolution
    no_output_padding = (0,) * len(stride)
    return torch.convolution(x, weight, None, stride, padding, dilation, False, no_output_padding, groups)


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """A context without mixed precision, which the meta device does not have."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


class _NormStep:
    """A batch normalisation and a ReLU whose output is recomputed from its input when it is needed."""

    def __init__(self, norm: BatchNorm, saved: Sequence[Tensor] = ()) -> None:
        self.norm = norm
        self.saved = saved  # input, mean, inverse deviation, and the buffer of the device's library

    def forward(self, x: Tensor) -> Tensor:
        y, *statistics = aten._batch_norm_with_update(
            x, *self.norm[:2], self.norm.running_mean, self.norm.running_var, self.norm.momentum, self.norm.eps
        )
        self.saved = (x, *statistics)
        return cast(Tensor, y.relu_())

    def recompute(self) -> Tensor:
        x, mean, inverse_deviation, _ = self.saved
        scale = self.norm.weight * inverse_deviation
        shift = torch.addcmul(self.norm.bias, mean, scale, value=-1)
        zeros, ones = torch.zeros_like(mean), torch.ones_like(mean)
        self.output = functional.batch_norm(x, zeros, ones, scale, shift, eps=0.0).relu_()
        return self.output

    def backward(self, gradient: Tensor) -> Tensor:
        x, mean, inverse_deviation, reserve = self.saved
        weight, _, running_mean, running_var, _, eps = self.norm
        gradient = aten.threshold_backward(gradient, self.output, 0)
        gradient, self.weight_gradient, self.bias_gradient = aten.batch_norm_backward(
            gradient, x, weight, running_mean, running_var, mean, inverse_deviation, True, eps, [True] * 3, reserve
        )
        return gradient


class _ConvolutionStep:
    """A convolution in the precision of its input."""

    def __init__(self, convolution: Convolution) -> None:
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        return convolved(x, self.convolution._replace(weight=self.convolution.weight.to(x.dtype)))

    def backward(self, gradient: Tensor, x: Tensor) -> Tensor:
        weight, stride, padding, dilation, groups = self.convolution
        gradient, weight_gradient, _ = aten.convolution_backward(
            *(gradient, x, weight.to(x.dtype), None, stride, padding, dilation, False, [0] * len(stride), groups),
            [True, True, False],
        )
        self.weight_gradient = weight_gradient.to(weight.dtype)
        return gradient


class _BranchStep:
    """A convolution with its normalisation and ReLU."""

    def __init__(self, convolution: _ConvolutionStep, norm: _NormStep) -> None:
        self.convolution = convolution
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm.forward(self.convolution.forward(x))

    def recompute(self, x: Tensor) -> Tensor:
        self.input = x
        return self.norm.recompute()

    def backward(self, gradient: Tensor) -> Tensor:
        return self.convolution.backward(self.norm.backward(gradient), self.input)


class _PassStep:
    """The function of the split that passes through, differentiated by autograd: cheap and without parameters."""

    def __init__(self, function: Step) -> None:
        self.function = function

    def recompute(self, x: Tensor) -> Tensor:
        self.input = x.detach().requires_grad_()
        with torch.enable_grad():
            self.output = self.function(self.input)
        return self.output.detach()

    def backward(self, gradient: Tensor) -> Tensor:
        return torch.autograd.grad(self.output, self.input, gradient)[0]


class _Interior(torch.autograd.Function):
    """The autograd function, which saves the input and the statistics of each normalisation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, static: tuple[Any, ...], *parameters: Tensor) -> Tensor:
        norms, convolutions, layout, pass_through = static
        first, *others = [_NormStep(norm) for norm in norms]
        *inner, last = [_ConvolutionStep(convolution) for convolution in convolutions]
        branches = [_BranchStep(*parts).forward for parts in zip(inner, others, strict=True)]
        with without_autocast(x.device):
            y = last.forward(chain(first.forward(x), branches, layout, pass_through))
        ctx.static = static
        ctx.save_for_backward(*(tensor for norm in (first, *others) for tensor in norm.saved), *parameters)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        norms, convolutions, layout, pass_through = ctx.static
        saved = ctx.saved_tensors
        first, *others = [_NormStep(norm, saved[4 * index : 4 * index + 4]) for index, norm in enumerate(norms)]
        *inner, last = [_ConvolutionStep(convolution) for convolution in convolutions]
        branches = [_BranchStep(*parts) for parts in zip(inner, others, strict=True)]
        with without_autocast(gradient.device):
            passing = _PassStep(pass_through or (lambda x: x))
            x = chain(first.recompute(), [branch.recompute for branch in branches], layout, passing.recompute)
            gradient = last.backward(gradient, x)
            del x  # the steps keep its splits
            gradient = chain_backward(gradient, [branch.backward for branch in branches], layout, passing.backward)
            gradient = first.backward(gradient)
        return (
            *(gradient, None),
            *(norm.weight_gradient for norm in (first, *others)),
            *(norm.bias_gradient for norm in (first, *others)),
            *(convolution.weight_gradient for convolution in (*inner, last)),
        )
