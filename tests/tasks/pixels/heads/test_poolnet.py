"""PoolNet is what its published layers say, written out here once more."""

import pytest
import torch
import torch.nn.functional as F

from res2net.backbones.base import Stage
from res2net.errors import InputError
from res2net.tasks.pixels.heads.network import DECODERS, PixelNetwork
from res2net.tasks.pixels.heads.poolnet import PoolNet
from res2net.zoo import create_model

RESNET = tuple(Stage(channels, stride) for channels, stride in ((64, 2), (256, 4), (512, 8), (1024, 16), (2048, 16)))
SMALL = tuple(Stage(channels, stride) for channels, stride in ((4, 2), (6, 4), (8, 8), (10, 16), (12, 16)))


def maps_of(stages, size=(128, 160)):
    return [torch.randn(2, one.channels, -(-size[0] // one.stride), -(-size[1] // one.stride)) for one in stages]


def larger(x, like):
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=True)


class Naive:
    """The network as functions of its weights."""

    def __init__(self, weights):
        self.weights = weights

    def convolution(self, name, x):
        weight = self.weights[f"{name}.weight"]
        return F.conv2d(x, weight, self.weights.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def pyramid_pooling(self, x):
        x = self.convolution("ppm.before", x)
        parts = [
            larger(self.convolution(f"ppm.parts.{place}.1.0", F.adaptive_avg_pool2d(x, side)).relu(), x)
            for place, side in enumerate((1, 3, 5))
        ]
        return self.convolution("ppm.after.0", torch.cat([x, *parts], 1)).relu()

    def aggregation(self, name, x, finer=None, info=None):
        pooled = [
            larger(self.convolution(f"{name}.convs.{place}", F.avg_pool2d(x, rate)), x)
            for place, rate in enumerate((2, 4, 8))
        ]
        x = (x + sum(pooled)).relu()
        if finer is None:
            return self.convolution(f"{name}.conv_sum", x)
        merged = self.convolution(f"{name}.conv_sum", larger(x, finer)) + finer + info
        return self.convolution(f"{name}.conv_merged", merged)

    def edge_features(self, place, x):
        for block in (0, 1):
            branch = x
            for layer in (0, 1, 2):
                branch = self.convolution(f"edges.blocks.{place}.{block}.branch.{layer}", branch)
            x = (x + branch).relu()
        return self.convolution(f"edges.blocks.{place}.2", x)

    def __call__(self, maps, edges):
        whole = self.pyramid_pooling(maps[-1])
        infos = [
            self.convolution(f"infos.{place}.0", larger(whole, x)).relu()
            for place, x in enumerate([maps[3], maps[2], maps[1], maps[0]])
        ]
        first, *finer = [self.convolution(f"convert.{place}.0", maps[place]).relu() for place in (4, 3, 2, 1, 0)]
        merged, seen = first, []
        for place, (x, info) in enumerate(zip(finer, infos, strict=True)):
            merged = self.aggregation(f"deep_pool.{place}", merged, x, info)
            seen.append(merged)
        merged = self.aggregation("deep_pool.4", merged)
        if not edges:
            return [self.convolution("score", merged)]
        features = [self.edge_features(place, x) for place, x in enumerate(seen)]
        about = torch.cat([larger(x, merged) for x in features], 1)
        for layer in range(4):
            about = self.convolution(f"edges.trans.{layer}.0", about).relu()
        sides = [larger(self.convolution(f"edges.sides.{place}", x), merged) for place, x in enumerate(features)]
        return [
            self.convolution("score", torch.cat([merged, about], 1)),
            self.convolution("edges.fuse", torch.cat(sides, 1)),
            *sides,
        ]


@pytest.mark.parametrize("edges", [False, True])
def test_it_is_the_published_network(edges):
    torch.manual_seed(0)
    decoder = PoolNet(SMALL, channels=12, edges=edges)
    for parameter in decoder.parameters():
        parameter.data.normal_(std=0.1)
    maps = maps_of(SMALL)
    ours, expected = decoder(maps), Naive(decoder.state_dict())(maps, edges)
    assert len(ours) == len(expected) == len(decoder.learns)
    for found, one in zip(ours, expected, strict=True):
        torch.testing.assert_close(found, one)
    assert decoder.learns == (("mask", *["edge"] * 5) if edges else ("mask",))


def test_with_a_resnet_50_it_has_the_published_number_of_parameters():
    """68.26 million: 23,508,032 of the ResNet without its classifier, and those of the decoder."""
    with torch.device("meta"):
        decoder = PoolNet(RESNET)
    assert round((23_508_032 + sum(parameter.numel() for parameter in decoder.parameters())) / 1e6, 2) == 68.26


@pytest.mark.parametrize("size", [(1, 1), (33, 57), (64, 64)])
@pytest.mark.parametrize("edges", [False, True])
def test_it_fits_networks_of_other_depths_and_images_of_any_size(size, edges):
    """Maps smaller than what is pooled are pooled whole."""
    backbone = create_model("res2net20_26w_4s_tiny", num_classes=0)
    decoder = PoolNet(backbone.stages, channels=12, edges=edges)
    outputs = decoder(backbone.eval().features(torch.rand(1, 3, *size)))
    assert len(outputs) == len(decoder.learns) == (5 if edges else 1)
    assert all(output.shape == (1, 1, -(-size[0] // 2), -(-size[1] // 2)) for output in outputs)


def test_salient_objects_do_not_change_the_branch_of_edges():
    decoder = PoolNet(SMALL, channels=12, edges=True)
    decoder(maps_of(SMALL))[0].sum().backward()
    assert all(parameter.grad is None for parameter in decoder.edges.blocks.parameters())
    assert decoder.edges.trans[0][0].weight.grad.any()


def test_every_layer_learns():
    decoder = PoolNet(SMALL, channels=24, edges=True)
    torch.stack([output.square().sum() for output in decoder(maps_of(SMALL))]).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in decoder.parameters())


def test_what_does_not_fit_is_told():
    with pytest.raises(InputError, match="3 or more"):
        PoolNet(SMALL[:2])


def test_the_published_network_is_reached():
    """A stem that keeps incomplete windows, dilation from the first block of layer4 on, aligned corners at the end."""
    options = {"layers": (1, 1, 1, 2), "channels": (8, 8, 8, 8), "stem_channels": 8, "num_classes": 0}
    backbone = create_model("resnet50", output_stride=16, stem_ceil_mode=True, dilate_first=True, **options).eval()
    network = PixelNetwork(backbone, DECODERS["poolnet_aligned"](backbone.stages, 1, 8)).eval()
    x = torch.rand(1, 3, 64, 96)
    maps = backbone.features(x)
    assert [tuple(one.shape[2:]) for one in maps] == [(32, 48), (17, 25), (9, 13), (5, 7), (5, 7)]
    assert [block.conv2.dilation for block in backbone.layer4] == [(2, 2), (2, 2)]
    torch.testing.assert_close(
        backbone.maxpool(maps[0]), F.max_pool2d(maps[0], kernel_size=3, stride=2, padding=1, ceil_mode=True)
    )
    expected = F.interpolate(network.decoder(maps)[0], (64, 96), mode="bilinear", align_corners=True)
    assert torch.equal(network(x), expected)
    plain = PixelNetwork(backbone, PoolNet(backbone.stages, 1, 8)).eval()
    plain.load_state_dict(network.state_dict())
    assert not torch.allclose(plain(x), expected)


def test_a_stem_without_a_pooling_has_no_windows():
    with pytest.raises(InputError, match="'conv3' has no pooling"):
        create_model("resnet50", stem="conv3", stem_ceil_mode=True)
