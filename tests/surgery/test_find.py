"""Normalisations and activations of the splits: of the kind of the network's own, with its numbers."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import res2net


class Small(nn.Module):
    """The stem, and a convolution with a normalisation and an activation."""

    def __init__(self, act, norm=nn.BatchNorm2d):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.norm, self.act = norm(16), act

    def forward(self, x):
        return self.act(self.norm(self.conv(self.stem(x))))


def splits_of(network):
    new, _ = res2net.convert(network.eval(), example_input=torch.randn(1, 3, 16, 16))
    return next(module for module in new.modules() if isinstance(module, res2net.nn.Res2Conv))


@pytest.mark.parametrize(
    "act",
    [
        F.relu,
        F.relu6,
        F.hardtanh,
        partial(F.hardtanh, min_val=0.0, max_val=2.0),
        partial(F.leaky_relu, negative_slope=0.3),
        partial(F.elu, alpha=2.0),
        partial(F.gelu, approximate="tanh"),
        F.gelu,
        lambda x: F.leaky_relu_(x, 0.3),
    ],
)
def test_a_function_is_applied_with_the_numbers_that_the_network_gives_it(act):
    x = torch.linspace(-8, 8, 101)
    assert torch.equal(splits_of(Small(act)).acts[0](x.clone()), act(x.clone()))


@pytest.mark.parametrize(
    "norm",
    [
        partial(nn.InstanceNorm2d, momentum=0.3, affine=True, track_running_stats=True),
        partial(nn.SyncBatchNorm, eps=1e-3, momentum=0.3),
        partial(nn.BatchNorm2d, affine=False),
    ],
)
def test_a_normalisation_has_the_settings_of_the_networks_own(norm):
    found, expected = splits_of(Small(F.relu, norm)).bns[0], norm(16)
    assert type(found) is type(expected)
    for setting in ("eps", "momentum", "affine", "track_running_stats"):
        assert getattr(found, setting) == getattr(expected, setting)
