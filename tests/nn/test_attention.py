"""Squeeze-and-excitation, against torchvision's."""

import pytest
import torch
from torchvision.ops import SqueezeExcitation as Reference

from res2net.nn import SqueezeExcitation


@pytest.mark.parametrize(("channels", "reduction"), [(32, 16), (64, 4), (7, 3)])
def test_it_is_torchvisions(channels, reduction):
    module, reference = SqueezeExcitation(channels, reduction), Reference(channels, channels // reduction)
    reference.load_state_dict(module.state_dict())
    x = torch.randn(2, channels, 5, 6)
    before = x.clone()
    torch.testing.assert_close(module(x), reference(x))
    assert torch.equal(x, before)


@pytest.mark.parametrize("dims", [1, 3])
def test_other_dimensions_are_two_dimensions_of_another_shape(dims):
    module, plane = SqueezeExcitation(8, 2, dims=dims), SqueezeExcitation(8, 2)
    plane.load_state_dict({name: t.reshape(plane.state_dict()[name].shape) for name, t in module.state_dict().items()})
    x = torch.randn(2, 8, *(3, 4, 5)[:dims])
    torch.testing.assert_close(module(x), plane(x.reshape(2, 8, 1, -1)).reshape(x.shape))


def test_at_least_one_channel_is_hidden():
    assert SqueezeExcitation(8, 16).fc1.out_channels == 1
