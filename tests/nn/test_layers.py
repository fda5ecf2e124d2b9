"""Layers by number of dimensions, and normalisations and activations by name."""

from typing import get_args

import pytest
import torch
from torch import nn

from res2net.errors import InputError
from res2net.nn import stem_layers
from res2net.nn.layers import (
    ACTIVATIONS,
    NormName,
    activation,
    conv,
    layer_class,
    norm_layer,
    per_dimension,
)

SIZE = (6, 7, 8)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("dilation", [1, 3])
def test_a_convolution_keeps_the_size(dims, kernel_size, dilation):
    layer = conv(dims, 4, 6, kernel_size, dilation=dilation, groups=2)
    assert layer(torch.randn(1, 4, *SIZE[:dims])).shape == (1, 6, *SIZE[:dims])
    assert layer.bias is None


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_stride_divides_the_size_and_rounds_up(dims):
    expected = tuple(-(-size // 2) for size in SIZE[:dims])
    x = torch.randn(1, 4, *SIZE[:dims])
    assert conv(dims, 4, 2, 3, stride=2)(x).shape[2:] == expected
    assert layer_class("AvgPool", dims)(2, stride=2, ceil_mode=True)(x).shape[2:] == expected


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_the_global_average(dims):
    x = torch.randn(2, 3, *SIZE[:dims])
    pooled = layer_class("AdaptiveAvgPool", dims)(1)(x)
    assert pooled.shape == (2, 3, *[1] * dims)
    torch.testing.assert_close(pooled.flatten(1), x.flatten(2).mean(2))


@pytest.mark.parametrize(("value", "dims", "expected"), [(3, 1, (3,)), (3, 3, (3, 3, 3)), ((1, 2), 2, (1, 2))])
def test_one_number_is_for_all_dimensions(value, dims, expected):
    assert per_dimension(value, dims, "Stride") == expected


@pytest.mark.parametrize("value", [0, -1, (1, 2, 3), (1,), (1, 0), 1.5, (1, 1.5)])
def test_a_number_for_each_dimension_is_checked(value):
    with pytest.raises(InputError, match=r"Stride .* does not fit: give one positive integer, or 2 of them"):
        per_dimension(value, 2, "Stride")


def test_even_kernels_cannot_keep_the_size():
    with pytest.raises(InputError, match="Kernel size 4 is even: choose an odd one"):
        conv(2, 3, 3, 4)


@pytest.mark.parametrize("dims", [0, 4, "2"])
def test_other_dimensions(dims):
    for make in (
        lambda: conv(dims, 3, 3),
        lambda: layer_class("AvgPool", dims),
        lambda: stem_layers("conv7", 3, 8, dims=dims),
        lambda: norm_layer("batch", 4, dims),
        lambda: norm_layer("instance", 4, dims),
    ):
        with pytest.raises(InputError, match=r"Unknown number of dimensions .*: .*allowed: 1, 2, 3"):
            make()


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("norm", get_args(NormName))
def test_normalisations_keep_the_shape(norm, dims):
    x = torch.randn(2, 12, *SIZE[:dims])
    assert norm_layer(norm, 12, dims)(x).shape == x.shape


@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (26, 26), (104, 26), (48, 24), (37, 1), (1, 1)])
def test_group_normalisation_has_the_most_groups_up_to_32(channels, groups):
    assert norm_layer("group", channels, 2).num_groups == groups


def test_layer_normalisation_is_over_all_of_a_sample():
    y = norm_layer("layer", 8, 2)(torch.randn(3, 8, 5, 5) * 7 + 2)
    torch.testing.assert_close(y.flatten(1).mean(1), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(y.flatten(1).var(1, correction=0), torch.ones(3), atol=1e-4, rtol=0)


def test_instance_normalisation_learns():
    assert norm_layer("instance", 8, 2).weight.requires_grad


def test_functions_make_normalisations_and_activations():
    assert norm_layer(lambda channels: nn.LocalResponseNorm(channels), 8, 2).size == 8
    assert isinstance(activation(nn.Softplus), nn.Softplus)


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_activations_are_new_each_time(act):
    assert activation(act) is not activation(act)
    assert activation(act)(torch.randn(2, 3)).shape == (2, 3)


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_activations_leave_their_input_alone_when_asked_to(act):
    x = torch.randn(10)
    before = x.clone()
    activation(act, inplace=False)(x)
    assert torch.equal(x, before)


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(InputError, match=r"Unknown normalisation 'bacth': did you mean 'batch'\?"):
        norm_layer("bacth", 8, 2)
    with pytest.raises(InputError, match=r"Unknown activation 'relu7': did you mean 'relu6?'\?"):
        activation("relu7")
