"""What holds for a Res2 convolution whatever its options are."""

from typing import get_args

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from res2net.kernels import SplitOrder
from res2net.measure import split_fields
from res2net.nn import Res2Conv
from res2net.nn.layers import ACTIVATIONS, NormName
from res2net.nn.res2conv import Mode, Order, PassThrough

# The same examples in every run, so that a failure is of the change that was made.
many = settings(max_examples=100, deadline=None, derandomize=True)
NORMS = get_args(NormName)
GLOBAL = ("instance", "group", "layer")
"""Normalisations that see all positions."""


@st.composite
def options(draw, norms=NORMS):
    dims = draw(st.integers(1, 3))
    scale = draw(st.integers(1, 5))
    cardinality = draw(st.integers(1, 2))
    mode = draw(st.sampled_from(get_args(Mode)))
    pass_through = draw(st.sampled_from([None, *get_args(PassThrough)]))

    def one_or_each(values):
        return draw(st.one_of(st.sampled_from(values), st.tuples(*[st.sampled_from(values)] * dims)))

    strided = scale == 1 or (mode == "stage" and pass_through != "identity")
    return {
        "width": cardinality * draw(st.integers(1, 3)),
        "scale": scale,
        "dims": dims,
        "kernel_size": one_or_each([1, 3, 5] if dims < 3 else [1, 3]),
        "stride": one_or_each([1, 2, 3]) if strided else 1,
        "dilation": one_or_each([1, 2]),
        "cardinality": cardinality,
        "norm": draw(st.sampled_from(norms)),
        "act": draw(st.sampled_from(list(ACTIVATIONS))),
        "order": draw(st.sampled_from(get_args(Order))),
        "mode": mode,
        "split_order": draw(st.sampled_from(get_args(SplitOrder))),
        "pass_through": pass_through,
        "pool_counts_padding": draw(st.booleans()),
        "bias": draw(st.booleans()),
    }


def strides(chosen):
    stride = chosen["stride"]
    return stride if isinstance(stride, tuple) else (stride,) * chosen["dims"]


@given(options(), st.tuples(*[st.integers(4, 9)] * 3))
@many
def test_the_size_is_divided_by_the_stride_and_every_weight_learns(chosen, size):
    torch.manual_seed(0)
    module = Res2Conv(**chosen)
    size = size[: chosen["dims"]]
    x = torch.randn(2, module.channels, *size, requires_grad=True)
    y = module(x)
    assert y.shape == (2, module.channels, *(-(-a // b) for a, b in zip(size, strides(chosen), strict=True)))
    gradients = torch.autograd.grad((y * torch.randn_like(y)).sum(), [x, *module.parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients)


@given(options(norms=[norm for norm in NORMS if norm not in GLOBAL]))
@many
def test_each_split_sees_what_theory_says(chosen):
    module = Res2Conv(**chosen).double().eval()
    for conv in module.convs:
        # Positive, so that no path cancels another, and small, so that no activation saturates.
        nn.init.constant_(conv.weight, 1 / conv.weight[0].numel())
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
    fields = [split_fields(module, axis) for axis in range(-module.dims, 0)]
    # The central position then sees nothing of the borders.
    size = [2 * max(field) + 4 * stride for field, stride in zip(fields, strides(chosen), strict=True)]
    x = torch.full((1, module.channels, *size), 0.1, dtype=torch.double, requires_grad=True)
    y = module(x)
    centre = tuple(side // 2 for side in y.shape[2:])
    for split, values in enumerate(y.split(module.width, 1)):
        (gradient,) = torch.autograd.grad(values[(0, slice(None), *centre)].sum(), x, retain_graph=True)
        for axis in range(-module.dims, 0):
            seen = gradient.abs().sum([d for d in range(x.ndim) if d != x.ndim + axis]).nonzero().flatten()
            assert seen.max() - seen.min() + 1 == fields[axis][split]
