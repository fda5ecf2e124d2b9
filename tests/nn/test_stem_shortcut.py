"""Stems and shortcuts: their layers, their sizes, the names of their weights."""

from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from res2net.errors import InputError
from res2net.nn import shortcut_layers, stem_layers
from res2net.nn.stem import STEM_STRIDES, Shortcut


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("stem", STEM_STRIDES)
def test_a_stem_has_the_stride_that_it_declares(stem, dims):
    stride, pooled_stride = STEM_STRIDES[stem]
    layers, pool = stem_layers(stem, 5, 8, dims=dims)
    size = (33, 18, 21)[:dims]
    x = layers(torch.randn(2, 5, *size))
    assert x.shape == (2, 8, *(-(-side // stride) for side in size))
    assert pool(x).shape == (2, 8, *(-(-side // pooled_stride) for side in size))


def test_the_deep_stem_is_the_published_one():
    layers, _ = stem_layers("deep", 3, 64)
    shapes = {name: tuple(t.shape) for name, t in layers.state_dict().items() if t.ndim == 4}
    assert shapes == {"0.weight": (32, 3, 3, 3), "3.weight": (32, 32, 3, 3), "6.weight": (64, 32, 3, 3)}
    assert [type(layers[i]) for i in (1, 2, 4, 5)] == [nn.BatchNorm2d, nn.ReLU] * 2
    assert layers[2] is not layers[5]


def test_the_pooling_of_a_shortcut_keeps_incomplete_windows_and_does_not_count_padding():
    shortcut = shortcut_layers("avg_pool", 3, 8, stride=2)
    x = torch.randn(1, 3, 5, 5)
    pooled = shortcut[0](x)
    assert pooled.shape == (1, 3, 3, 3)
    torch.testing.assert_close(pooled[0, :, 2, 2], x[0, :, 4, 4])
    torch.testing.assert_close(pooled[0, :, 0, 2], x[0, :, :2, 4].mean(1))


def test_the_pooling_of_a_dilated_shortcut_keeps_the_size():
    pool = shortcut_layers("avg_pool", 3, 8, stride=1, dilated=True)[0]
    x = torch.randn(1, 3, 5, 6)
    torch.testing.assert_close(pool(x), F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("shortcut", get_args(Shortcut))
def test_sizes_of_shortcuts(shortcut, stride, dims):
    size = (7, 8, 9)[:dims]
    for dilated in (False, True):
        y = shortcut_layers(shortcut, 3, 8, stride=stride, dims=dims, dilated=dilated)(torch.randn(1, 3, *size))
        assert y.shape == (1, 8, *(-(-side // stride) for side in size))


@pytest.mark.parametrize(("shortcut", "first"), [("conv", 0), ("avg_pool", 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_names_of_weights_are_the_official_ones(shortcut, first, stride):
    layers = shortcut_layers(shortcut, 3, 8, stride=stride)
    assert {name.split(".")[0] for name in layers.state_dict()} == {str(first), str(first + 1)}


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(InputError, match=r"Unknown stem 'depe': did you mean 'deep'\?"):
        stem_layers("depe", 3, 64)
    with pytest.raises(InputError, match=r"Unknown shortcut 'avgpool': did you mean 'avg_pool'\?"):
        shortcut_layers("avgpool", 3, 8, stride=1)
