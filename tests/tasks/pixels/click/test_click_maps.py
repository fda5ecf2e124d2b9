"""Maps of clicks, and the network that the first one leads."""

from __future__ import annotations

import math

import pytest
import torch

from res2net.tasks.pixels.click.network import (
    FirstClickBranch,
    FirstClickNetwork,
    click_maps,
    click_squares,
    clicked_cross_entropy,
    distance_cross_entropy,
)
from res2net.tasks.pixels.heads.network import DECODERS
from res2net.zoo import create_model


def test_each_map_is_the_nearest_clicks_bell():
    clicks = torch.tensor(
        [[[3.0, 4.0, 1], [10.0, 2.0, 1], [6.5, 7.0, 0], [-1, -1, -1]], [[0.0, 0.0, 0]] + [[-1.0] * 3] * 3]
    )
    maps = click_maps(clicks, (9, 12), sigma=5)
    for place, image in enumerate(clicks.tolist()):
        for channel, wanted in enumerate((1, 0)):
            for row in range(9):
                for column in range(12):
                    values = [
                        math.exp(-4 * math.log(2) * ((x - column) ** 2 + (y - row) ** 2) / 25)
                        for x, y, kind in image
                        if kind == wanted
                    ]
                    assert maps[place, channel, row, column] == pytest.approx(max(values, default=0), abs=1e-6)


@pytest.mark.parametrize("output_stride", [4, 8, 16])
@pytest.mark.parametrize("size", [(1, 1), (33, 57), (64, 64)])
def test_a_network_of_any_size(output_stride, size):
    network = build("res2net20_26w_4s_tiny", 8, output_stride=output_stride).eval()
    images = torch.randn(2, 6, *size)
    with torch.no_grad():
        assert [tuple(one.shape) for one in network.all_outputs(images)] == [(2, 1, *size)] * 2
        before = network(images)
        images[:, 5] = 1
        assert not torch.allclose(before, network(images))


def test_the_published_network():
    """Res2Net-101 v1b: the branch of the published code has 256 + 1 channels in, and 512 out at stride 16."""
    with torch.device("meta"):
        network = build("res2net101d", 256, output_stride=16)
    shapes = [tuple(layer[0].weight.shape[:2]) for layer in network.branch.layers]
    assert shapes == [(256, 257), (256, 256), (256, 256), (512, 256), (512, 512), (512, 512)]
    assert [layer[0].stride[0] for layer in network.branch.layers] == [2, 1, 1, 2, 1, 1]
    assert network.decoder.aspp.convs[0][0].weight.shape[1] == 2048 + 512
    assert network.backbone.conv1[0].weight.shape[1] == 5


def build(name, channels, **options):
    backbone = create_model(name, num_classes=0, in_channels=5, **options)
    branch = FirstClickBranch(backbone.stages, channels)
    return FirstClickNetwork(backbone, DECODERS["deeplabv3plus"](branch.widened(backbone.stages), 1, channels), branch)


def test_pixels_around_clicks_count_more():
    logits, wanted = torch.randn(2, 1, 4, 5), torch.randint(2, (2, 4, 5))
    wanted[0, 0] = 255
    maps = torch.rand(2, 2, 4, 5)
    total = weights = 0.0
    for place, row, column in torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(5)).tolist():
        true = int(wanted[place, row, column])
        if true == 255:
            continue
        chance = 1 / (1 + math.exp(-float(logits[place, 0, row, column])))
        weight = 1 + 3 * float(maps[place, :, row, column].max())
        total -= weight * math.log(chance if true else 1 - chance)
        weights += weight
    assert clicked_cross_entropy(logits, wanted, maps, 3).item() == pytest.approx(total / weights, rel=1e-5)
    assert clicked_cross_entropy(logits, torch.full((2, 4, 5), 255), maps, 3) == 0


def test_the_loss_by_the_distance_of_clicks():
    """As the published code of FCANet weighs pixels: 0.8 + (1 - min(d, 100) / 100) * 1.2, to a click of their kind."""
    torch.manual_seed(0)
    logits, size = torch.randn(2, 1, 4, 150), (4, 150)
    wanted = torch.randint(2, (2, *size))
    wanted[0, 1, 2:5] = 255
    clicks = torch.tensor([[[3.0, 1.0, 1], [140.0, 3.0, 1], [60.0, 0.0, 0]], [[20.0, 2.0, 1]] + [[-1.0] * 3] * 2])
    total, count = 0.0, 0
    for place in range(2):
        for row in range(size[0]):
            for column in range(size[1]):
                true = int(wanted[place, row, column])
                if true == 255:
                    continue
                away = [math.hypot(x - column, y - row) for x, y, kind in clicks[place].tolist() if kind == true]
                weight = 0.8 + (1 - min([*away, 100]) / 100) * 1.2
                chance = 1 / (1 + math.exp(-float(logits[place, 0, row, column])))
                total -= weight * math.log(chance if true else 1 - chance)
                count += 1
    found = distance_cross_entropy(logits, wanted, click_squares(clicks, size))
    assert found.item() == pytest.approx(total / count, rel=1e-5)
    assert distance_cross_entropy(logits, torch.full((2, *size), 255), click_squares(clicks, size)) == 0
