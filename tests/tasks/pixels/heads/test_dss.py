"""DSS is what its published layers say, written out here once more."""

import pytest
import torch
import torch.nn.functional as F

from res2net.backbones.base import Stage
from res2net.errors import InputError
from res2net.tasks.pixels.heads.dss import DSS, mean_logit
from res2net.zoo import create_model

RESNET = tuple(Stage(channels, stride) for channels, stride in ((64, 2), (256, 4), (512, 8), (1024, 16), (2048, 32)))
SMALL = tuple(Stage(channels, stride) for channels, stride in ((4, 2), (6, 4), (8, 8), (10, 16), (12, 32)))


def maps_of(stages, size=(64, 96)):
    return [torch.randn(2, one.channels, -(-size[0] // one.stride), -(-size[1] // one.stride)) for one in stages]


def larger(x, like):
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)


def test_it_is_the_published_network():
    """Side outputs 2 to 6 of `train_resnet.prototxt`, on conv1, res2c, res3, res4 and res5c."""
    torch.manual_seed(0)
    decoder = DSS(SMALL, channels=12)
    for parameter in decoder.parameters():
        parameter.data.normal_(std=0.2)
    maps = maps_of(SMALL)
    weights = decoder.state_dict()

    def convolution(name, x):
        weight = weights[f"{name}.weight"]
        return F.conv2d(x, weight, weights[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def side(place, x):
        x = convolution(f"sides.{place}.0", x).relu()
        x = convolution(f"sides.{place}.2", x).relu()
        return convolution(f"sides.{place}.4", x)

    two, three, four, five, six = (side(place, x) for place, x in enumerate(maps))
    four = convolution("joins.2", torch.cat([four, larger(five, four), larger(six, four)], 1))
    three = convolution("joins.1", torch.cat([three, larger(five, three), larger(six, three)], 1))
    all_coarser = [larger(x, two) for x in (three, four, five, six)]
    two = convolution("joins.0", torch.cat([two, *all_coarser], 1))
    fused = convolution("fuse", torch.cat([larger(x, two) for x in (two, three, four, five, six)], 1))
    answer = sum(larger(x, two).sigmoid() for x in (three, four, five)) / 4 + fused.sigmoid() / 4

    ours = decoder(maps)
    for found, expected in zip(ours[1:], (fused, two, three, four, five, six), strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ours[0].sigmoid(), answer)
    assert decoder.learns == (None, *["mask"] * 6)


def test_layers_are_as_wide_as_the_papers():
    sides = ((64, 128, 3), (256, 256, 5), (512, 256, 5), (1024, 512, 5), (2048, 512, 7))
    expected = sum((before + w) * w * k * k + 2 * w + w + 1 for before, w, k in sides)
    expected += (5 + 1) + (3 + 1) + (3 + 1) + (5 + 1)  # short connections and fusion
    with torch.device("meta"):
        decoder = DSS(RESNET)
    assert sum(parameter.numel() for parameter in decoder.parameters()) == expected
    assert decoder.connections == ((1, 2, 3, 4), (3, 4), (3, 4), (), ())


def test_the_fusion_starts_as_a_mean():
    decoder = DSS(SMALL, channels=12)
    assert decoder.fuse.weight.flatten().tolist() == pytest.approx([0.2] * 5)
    assert decoder.fuse.bias.item() == 0


@pytest.mark.parametrize("size", [(1, 1), (33, 57), (64, 64)])
def test_it_fits_networks_of_other_depths_and_images_of_any_size(size):
    backbone = create_model("res2net20_26w_4s_tiny", num_classes=0)
    decoder = DSS(backbone.stages, channels=12)
    assert decoder.connections == ((1, 2, 3), (2, 3), (), ())
    outputs = decoder(backbone.eval().features(torch.rand(1, 3, *size)))
    assert len(outputs) == len(decoder.learns) == 6
    finest = (-(-size[0] // 2), -(-size[1] // 2))
    assert [tuple(output.shape) for output in outputs[:3]] == [(1, 1, *finest)] * 3


def test_every_layer_learns():
    decoder = DSS(SMALL, channels=12)
    outputs = decoder(maps_of(SMALL))
    sum(output.square().sum() for output, what in zip(outputs, decoder.learns, strict=True) if what).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in decoder.parameters())


def test_the_mean_of_probabilities_is_exact_far_from_zero():
    logits = [torch.tensor([60.0, -60.0, 0.3]), torch.tensor([70.0, -50.0, -2.0])]
    probability = sum(one.double().sigmoid() for one in logits) / 2
    away = sum((-one.double()).sigmoid() for one in logits) / 2
    torch.testing.assert_close(mean_logit(logits), (probability.log() - away.log()).float())


@pytest.mark.parametrize(("stages", "classes", "said"), [(SMALL[:2], 1, "3 or more"), (SMALL, 6, "one thing")])
def test_what_does_not_fit_is_told(stages, classes, said):
    with pytest.raises(InputError, match=said):
        DSS(stages, classes)
