"""Where the replacements see what the convolutions saw."""

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

import res2net
from res2net.nn import Res2Conv


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2, 4, "same", "valid"])
@pytest.mark.parametrize("kernel_size", [2, 3, 4, 5, (1, 4)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_any_padding_gives_the_same_size(kernel_size, padding, stride, dilation):
    if padding == "same":
        stride = 1  # torch has no other such convolution
    conv = nn.Conv2d(8, 12, kernel_size, stride=stride, padding=padding, dilation=dilation)
    plain = nn.Sequential(nn.Conv2d(3, 8, 1), conv)
    new, report = res2net.convert(plain)
    assert len(report.replaced) == 1
    for size in (17, 20):
        x = torch.randn(1, 3, size, size + 1)
        assert new(x).shape == plain(x).shape


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel_size", "padding"), [(2, 0), (4, 1), (3, 0), (5, 4)])
def test_positions_see_what_they_saw(kernel_size, padding, stride):
    """An output depends on the same inputs as before, on one more where the kernel was even."""
    plain = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, kernel_size, stride=stride, padding=padding))
    new, _ = res2net.convert(plain, scale=2)
    windows = []
    for model in (plain, new):
        x = torch.randn(32, 3, 16, 16, requires_grad=True)  # in some of them each position counts
        model(x)[:, :, 2, 2].sum().backward()
        windows.append(x.grad.abs().sum((0, 1)) > 0)
    assert (windows[1] | ~windows[0]).all()
    assert windows[1].sum(0).max() <= kernel_size + (1 - kernel_size % 2)


@pytest.mark.parametrize("options", [{}, {"groups": 8}, {"dilation": 2}, {"dilation": (1, 3)}])
@pytest.mark.parametrize("stride", [1, 2, 3, (1, 2)])
@pytest.mark.parametrize("kernel_size", [2, 3, 4, 5, (1, 4)])
def test_the_padding_of_tensorflow_gives_the_same_size(kernel_size, stride, options):
    plain = nn.Sequential(nn.Conv2d(3, 8, 1), Conv2dSame(8, 8, kernel_size, stride=stride, **options))
    new, report = res2net.convert(plain)
    assert len(report.replaced) == 1
    for size in ((17, 20), (18, 19), (8, 8), (7, 7), (2, 1)):
        x = torch.randn(1, 3, *size)
        assert new(x).shape == plain(x).shape


@pytest.mark.parametrize("size", [15, 21])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_at_odd_sizes_the_padding_of_tensorflow_is_as_wide_on_both_sides(kernel_size, stride, size):
    plain = nn.Sequential(nn.Conv2d(3, 8, 1), Conv2dSame(8, 8, kernel_size, stride=stride))
    new, _ = res2net.convert(plain, scale=2, budget="width")
    assert isinstance(new[1], Res2Conv)
    windows = []
    for model in (plain, new):
        x = torch.randn(32, 3, size, size, requires_grad=True)
        model(x)[:, :, 3, 2].sum().backward()
        windows.append(x.grad.abs().sum((0, 1)) > 0)
    assert torch.equal(*windows)


def test_a_bottleneck_padded_as_tensorflow_does_is_resized():
    plain = nn.Sequential(
        nn.Conv2d(3, 8, 1),
        nn.Conv2d(8, 32, 1),
        nn.BatchNorm2d(32),
        Conv2dSame(32, 32, 3, stride=2, groups=32),
        nn.BatchNorm2d(32),
        nn.SiLU(),
        nn.Conv2d(32, 8, 1),
    )
    new, _ = res2net.convert(plain)
    assert isinstance(new[3], Res2Conv)
    assert new[1].out_channels == new[6].in_channels == new[3].channels > 32


def test_a_class_that_only_looks_like_it_is_left():
    class Other(Conv2dSame):
        def forward(self, x):
            return super().forward(x).relu()

    _, report = res2net.convert(nn.Sequential(nn.Conv2d(3, 8, 1), Other(8, 8, 3)))
    assert [one.reason for one in report.kept] == [res2net.surgery.Reason.OWN_FORWARD]


MODES = ("reflect", "replicate", "circular")


def padded(mode, dims=2, **options):
    conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dims]
    return nn.Sequential(conv(3, 8, 1), conv(8, 8, padding_mode=mode, **options))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": 1, "stride": 2},
        {"kernel_size": 5, "padding": 4, "dilation": 2},
        {"kernel_size": 3, "padding": 3},
        {"kernel_size": 4, "padding": 1, "stride": 2},
        {"kernel_size": 3, "padding": 1, "groups": 8},
    ],
)
def test_no_zeros_come_in_where_something_else_is_padded(mode, dims, options):
    """What is constant stays so up to the border."""
    plain = padded(mode, dims, **options)
    new, report = res2net.convert(plain, example_input=torch.ones(1, 3, *[12] * dims))
    assert len(report.replaced) == 1
    for size in (9, 12):
        y = new.eval()(torch.ones(1, 3, *[size] * dims))
        assert y.shape == plain(torch.ones(1, 3, *[size] * dims)).shape
        corner = y[(..., *[slice(0, 1)] * dims)]
        torch.testing.assert_close(y, corner.expand_as(y))


def test_zeros_are_padded_where_they_were():
    new, _ = res2net.convert(padded("zeros", kernel_size=3, padding=1))
    y = new.eval()(torch.ones(1, 3, 8, 8))
    assert not torch.allclose(y[..., :1, :1], y[..., 4:5, 4:5])


def test_a_image_that_goes_around_still_does():
    plain = padded("circular", kernel_size=3, padding=1)
    new = res2net.convert(plain)[0].eval()
    x = torch.randn(1, 3, 9, 8)
    torch.testing.assert_close(new(x.roll((2, 3), (2, 3))), new(x).roll((2, 3), (2, 3)))
