"""Average pooling of volumes smaller than the kernel, which torch refuses."""

import itertools

import pytest
import torch
from torch import nn

from res2net.backbones.registry import build
from res2net.nn.layers import layer_class

POOLS = [
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    {"kernel_size": 2, "stride": 2, "ceil_mode": True, "count_include_pad": False},
]


def test_torch_refuses_them():
    with pytest.raises(RuntimeError, match="smaller than kernel size"):
        nn.AvgPool3d(3, 2, 1)(torch.ones(1, 1, 2, 8, 8))


@pytest.mark.parametrize("options", POOLS)
@pytest.mark.parametrize(("depth", "width"), list(itertools.product((1, 2, 3, 5), repeat=2)))
def test_they_are_pooled_as_images_are(options, depth, width):
    """A volume of height 1, pooled along depth and width only, is an image."""
    x = torch.randn(2, 3, depth, width)
    kernel, stride, padding = (options.get(name, 0) for name in ("kernel_size", "stride", "padding"))
    flags = {name: value for name, value in options.items() if name in ("ceil_mode", "count_include_pad")}
    pool = layer_class("AvgPool", 3)(
        (kernel, 1, kernel), stride=(stride, 1, stride), padding=(padding, 0, padding), **flags
    )
    expected = nn.AvgPool2d(kernel, stride, padding, **flags)(x)
    torch.testing.assert_close(pool(x.unsqueeze(3)).squeeze(3), expected)


@pytest.mark.parametrize("options", POOLS)
def test_larger_ones_are_pooled_by_torch(options):
    x = torch.randn(2, 3, 5, 4, 3)
    settings = {name: value for name, value in options.items() if name != "kernel_size"}
    assert torch.equal(layer_class("AvgPool", 3)(options["kernel_size"], **settings)(x), nn.AvgPool3d(**options)(x))


@pytest.mark.parametrize("shortcut", ["conv", "avg_pool"])
def test_a_network_for_videos_takes_few_frames(shortcut):
    with torch.device("meta"):
        model = build("res2net3d50_26w_4s", shortcut=shortcut, num_classes=7).eval()
        for frames in (1, 8, 16):
            assert model(torch.empty(1, 3, frames, 40, 56)).shape == (1, 7)
