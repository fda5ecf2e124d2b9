"""Poolings with dilation, position by position."""

from itertools import product

import pytest
import torch
from torch import nn

from res2net.backbones.dilated import DilatedAvgPool, DilatedMaxPool


def seen(x, place, offsets):
    """The values at `place` and `offsets` from it in each dimension, where they are inside."""
    sides = x.shape[2:]
    positions = product(*({p + o for o in offsets} & set(range(n)) for p, n in zip(place, sides, strict=True)))
    return torch.stack([x[(..., *position)] for position in positions])


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize(("kernel_size", "padding"), [(2, 0), (3, 1), (3, 0)])
def test_maxima(dims, dilation, kernel_size, padding):
    x = torch.randn(2, 3, *(9, 6, 7)[:dims]) - 5
    pooled = DilatedMaxPool(dims, dilation, kernel_size, padding)(x)
    assert pooled.shape == x.shape
    offsets = [dilation * (index - padding) for index in range(kernel_size)]
    for place in product(*map(range, x.shape[2:])):
        assert torch.equal(pooled[(..., *place)], seen(x, place, offsets).amax(0))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2, 4, 20])
def test_averages(dims, dilation):
    x = torch.randn(2, 3, *(9, 6, 7)[:dims], dtype=torch.float64)
    pooled = DilatedAvgPool(dims, dilation)(x)
    assert pooled.shape == x.shape
    for place in product(*map(range, x.shape[2:])):
        torch.testing.assert_close(pooled[(..., *place)], seen(x, place, [0, dilation]).mean(0))


@pytest.mark.parametrize("size", [(8, 12), (9, 7)])
def test_they_give_what_poolings_with_strides_keep(size):
    x = torch.randn(2, 3, *size)
    pool = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)
    torch.testing.assert_close(DilatedAvgPool(2, 1)(x)[..., ::2, ::2], pool(x))
    assert torch.equal(DilatedMaxPool(2, 1)(x)[..., ::2, ::2], nn.MaxPool2d(2, ceil_mode=True)(x))
    assert torch.equal(DilatedMaxPool(2, 1, 3, 1)(x)[..., ::2, ::2], nn.MaxPool2d(3, stride=2, padding=1)(x))
