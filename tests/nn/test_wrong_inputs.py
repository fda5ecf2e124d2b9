"""Modules refuse what they were not made for, with the numbers and what was probably meant."""

import pytest
import torch

from res2net.backbones.registry import build
from res2net.errors import InputError
from res2net.kernels import Layout, chain, chain_backward
from res2net.nn import Res2Bottleneck, Res2Conv, SqueezeExcitation


@pytest.mark.parametrize(
    ("width", "scale", "channels", "advice"),
    [
        (104, 4, 104, "for 104 channels make it with width 26, not 104"),
        (26, 4, 26, "for 26 channels make it with scale 1, not 4"),
        (26, 4, 80, "for 80 channels make it with width 20, not 26"),
        (26, 4, 100, "for 100 channels make it with width 25, not 26"),
        (26, 4, 103, "give 104, since 103 is divisible by neither"),
        (26, 4, 130, "for 130 channels make it with scale 5, not 4"),
        (26, 4, 208, "for 208 channels make it with width 52, not 26"),
        (14, 8, 105, "give 112, since 105 is divisible by neither"),
        (64, 1, 32, "for 32 channels make it with width 32, not 64"),
        (6, 2, 3, "give 12, since 3 is divisible by neither"),
    ],
)
@pytest.mark.parametrize("mode", ["hierarchical", "stage"])
def test_channels_that_the_splits_do_not_make(width, scale, channels, advice, mode):
    module = Res2Conv(width, scale=scale, mode=mode)
    with pytest.raises(InputError, match=rf"scale {scale} times width {width} = {width * scale} channels.*{advice}"):
        module(torch.rand(1, channels, 5, 5))
    assert module(torch.rand(2, width * scale, 5, 5)).shape == (2, width * scale, 5, 5)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("other", [1, 2, 3, 4])
def test_signals_of_other_dimensions(dims, other):
    block = Res2Bottleneck(16, 4, base_width=64, scale=2, dims=dims)
    modules = {8: Res2Conv(2, dims=dims), 4: SqueezeExcitation(4, 2, dims=dims), 16: block}
    for channels, module in modules.items():
        x = torch.rand(2, channels, *(8,) * other)
        if other == dims:
            assert module(x).shape == x.shape
            continue
        with pytest.raises(InputError, match=rf"takes \(N, {channels}, .*\) and got \(2, {channels}, 8"):
            module(x)


def test_an_image_without_a_batch():
    for module in (Res2Conv(2), SqueezeExcitation(8)):
        with pytest.raises(InputError, match=r"got \(8, 8, 8\): add a dimension for the batch"):
            module(torch.rand(8, 8, 8))
    with pytest.raises(InputError, match=r"got \(3, 64, 64\): add a dimension for the batch"):
        build("res2net20_26w_4s_tiny")(torch.rand(3, 64, 64))


@pytest.mark.parametrize("channels", [1, 4, 32])
def test_channels_of_a_block(channels):
    block = Res2Bottleneck(16, 4, base_width=64, scale=2)
    with pytest.raises(InputError, match=rf"Res2Bottleneck takes \(N, 16, H, W\) and got \(1, {channels}, 9, 9\)"):
        block(torch.rand(1, channels, 9, 9))
    assert block(torch.rand(1, 16, 9, 9)).shape == (1, 16, 9, 9)


@pytest.mark.parametrize("shape", [(1, 16, 1, 1), (1, 1, 9, 9), (1, 16, 8, 9), (1, 32, 9, 9)])
def test_a_residual_of_another_shape_is_not_broadcast(shape):
    block = Res2Bottleneck(16, 4, base_width=64, scale=2)
    with pytest.raises(InputError, match="does not fit the output of the block"):
        block(torch.rand(1, 16, 9, 9), torch.rand(shape))
    with pytest.raises(InputError, match=r"does not fit the output of the block, \(1, 32, 9, 9\): give `downsample`"):
        Res2Bottleneck(16, 8, base_width=64, scale=2)(torch.rand(1, 16, 9, 9))


def test_whole_numbers_are_refused():
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    with pytest.raises(InputError, match=r"takes floating-point numbers and got torch.uint8: convert"):
        build("res2net20_26w_4s_tiny")(images)


@pytest.mark.parametrize(
    ("name", "shape", "takes"),
    [
        ("res2net20_26w_4s_tiny", (1, 1, 64, 64), r"\(N, 3, H, W\)"),
        ("res2net20_26w_4s_tiny", (1, 64, 64, 3), r"\(N, 3, H, W\)"),
        ("res2net20_26w_4s_tiny", (1, 3, 8, 64, 64), r"\(N, 3, H, W\)"),
        ("res2net3d20_26w_4s_tiny", (1, 3, 64, 64), r"\(N, 3, D, H, W\)"),
        ("ecapa_tdnn_512", (1, 200, 80), r"\(N, 80, L\)"),
        ("dla60_res2net", (1, 4, 64, 64), r"\(N, 3, H, W\)"),
    ],
)
def test_images_of_another_kind(name, shape, takes):
    model = build(name, **({"channels": (8, 8, 16, 16, 32, 32)} if name.startswith("dla") else {})).eval()
    for function in (model, model.features):
        with pytest.raises(InputError, match=rf"^{name} takes {takes} and got \({shape[0]}, {shape[1]}"):
            function(torch.rand(shape))


@pytest.mark.parametrize("channels", [1, 7, 9, 12])
def test_the_chain_takes_the_channels_of_its_layout(channels):
    steps = [lambda x: x] * 3
    for function in (chain, chain_backward):
        with pytest.raises(InputError, match=r"does not fit 4 splits of 2 channels: give \(N, 8, \.\.\.\)"):
            function(torch.rand(1, channels), steps, Layout(2, 4))
        with pytest.raises(InputError, match="2 branches do not fit 3 convolved splits"):
            function(torch.rand(1, 8), steps[:2], Layout(2, 4))
        with pytest.raises(InputError, match="does not fit 1 splits of 8 channels"):
            function(torch.rand(1, channels), steps[:1], Layout(8, 1))
