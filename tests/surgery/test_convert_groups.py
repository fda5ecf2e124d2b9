"""Groups with other numbers of channels in and out."""

import pytest
import torch
from torch import nn

import res2net
from res2net.nn import Res2Conv


def replaced(conv, **options):
    """What takes the place of a convolution between layers that stay."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, conv.in_channels, 3), nn.BatchNorm2d(conv.in_channels), nn.ReLU(), conv)
    new, report = res2net.convert(plain, **options)
    assert len(report.replaced) == 1
    return new[3]


@pytest.mark.parametrize(
    ("inputs", "outputs", "groups"),
    [(64, 128, 2), (80, 320, 8), (48, 96, 48), (64, 32, 32), (14, 28, 14), (12, 24, 3), (12, 18, 6), (10, 5, 5)],
)
def test_the_1x1_convolutions_have_the_groups_of_the_convolution(inputs, outputs, groups):
    module = replaced(nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups))
    assert module.conv_in.groups == module.conv_out.groups == groups
    assert module(torch.randn(2, inputs, 7, 7)).shape == (2, outputs, 7, 7)


@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(80, 320, 8), (48, 96, 48), (12, 18, 6)])
def test_with_a_stride_the_groups_stay_apart(inputs, outputs, groups):
    """Nothing is added between splits, and no group of a split lies across two of the convolution."""
    module = replaced(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, groups=groups)).eval()
    x = torch.randn(16, inputs, 7, 7, requires_grad=True)
    of_each = outputs // groups
    for group in (0, groups // 2, groups - 1):
        y = module(x)[:, group * of_each : (group + 1) * of_each]
        (gradient,) = torch.autograd.grad(y.square().sum(), x)
        seen = gradient.abs().sum((0, 2, 3)).nonzero().flatten().tolist()
        share = inputs // groups
        assert seen == list(range(group * share, (group + 1) * share))


def test_depthwise_with_more_outputs_has_depthwise_splits():
    module = replaced(nn.Conv2d(48, 96, 7, stride=2, padding=3, groups=48))
    assert all(conv.groups == conv.in_channels == module.res2.width for conv in module.res2.convs)
    assert all(conv.kernel_size == (7, 7) for conv in module.res2.convs)


def test_groups_wider_than_a_split_have_dense_splits():
    module = replaced(nn.Conv2d(64, 128, 3, padding=1, groups=2))
    assert all(conv.groups == 1 for conv in module.res2.convs)


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 12, 48])
def test_the_budget_is_kept_with_any_number_of_groups(groups):
    plain = nn.Sequential(
        nn.Conv2d(3, 96, 1),
        nn.Conv2d(96, 48, 3, padding=1),
        nn.Conv2d(48, 48, 3, padding=1, groups=groups),
        nn.ReLU(),
        nn.Conv2d(48, 48, 3, padding=1, groups=groups),
    )
    _, report = res2net.convert(plain)
    assert report.share == 1
    assert abs(report.after.parameters / report.before.parameters - 1) < 0.03


def test_a_budget_of_width_has_the_channels_of_the_output():
    module = replaced(nn.Conv2d(48, 96, 3, padding=1, groups=48), budget="width")
    assert module.res2.channels == 96
    assert isinstance(module.conv_out, nn.Identity)


def test_between_1x1_convolutions_no_other_is_needed():
    plain = nn.Sequential(
        nn.Conv2d(3, 8, 1),
        nn.Conv2d(8, 32, 1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, groups=32),
        nn.ReLU(),
        nn.Conv2d(64, 8, 1),
    )
    new, _ = res2net.convert(plain)
    assert isinstance(new[3], Res2Conv)
    assert new[1].out_channels == new[5].in_channels == new[3].channels
