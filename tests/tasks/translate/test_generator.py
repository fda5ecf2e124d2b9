"""Generators on any backbone, the discriminator, and the losses between them."""

import math

import pytest
import torch
from torchvision.models import vgg16

from res2net.backbones.registry import build
from res2net.errors import InputError
from res2net.measure import count
from res2net.nn import Res2Bottleneck
from res2net.tasks.translate.network import Generator, ImageDecoder, PatchDiscriminator, adversarial_loss
from res2net.tasks.translate.perceptual import VGG_MAPS, perceptual_distance


def generator(name="res2_generator_tiny", **options):
    backbone = build(name, num_classes=0)
    return Generator(backbone, ImageDecoder(backbone.stages, **options)).eval()


@pytest.mark.parametrize("name", ["res2_generator_tiny", "resnet20_tiny", "res2net14_26w_4s"])
@pytest.mark.parametrize("size", [(1, 1), (33, 57), (64, 32)])
def test_a_image_has_the_size_of_the_one_that_is_seen(name, size):
    network = generator(name)
    with torch.inference_mode():
        made = network(torch.randn(2, 3, *size))
    assert made.shape == (2, 3, *size)
    assert 0.02 < float(made.min()) <= float(made.max()) < 0.98  # before it has learnt anything


@pytest.mark.parametrize("skips", [True, False])
def test_skips_let_the_finest_map_through(skips):
    network = generator(skips=skips)
    maps = network.backbone.features(torch.randn(1, 3, 16, 16))
    changed = [maps[0], maps[1] + torch.randn_like(maps[1]), *maps[2:]]
    (before,), (after,) = network.decoder(maps), network.decoder(changed)
    assert torch.equal(before, after) != skips


def test_the_two_tiny_generators_cost_the_same():
    ours, plain = (count(generator(name), (3, 64, 64)) for name in ("res2_generator_tiny", "resnet_generator_tiny"))
    assert ours.macs == pytest.approx(plain.macs, rel=0.02)
    assert ours.parameters == pytest.approx(plain.parameters, rel=0.02)
    large, wide = (count(generator(name), (3, 64, 64)) for name in ("res2_generator", "resnet_generator"))
    assert large.macs == pytest.approx(wide.macs, rel=0.04)


def test_a_generator_is_made_of_res2_blocks_with_instance_normalisation():
    network = generator()
    blocks = [module for module in network.modules() if isinstance(module, Res2Bottleneck)]
    assert {block.scale for block in blocks} == {4}
    assert not [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert [module for module in network.modules() if isinstance(module, torch.nn.InstanceNorm2d)]


def test_a_verdict_every_eight_pixels():
    discriminator = PatchDiscriminator(6, 16).eval()
    given, image = torch.randn(2, 2, 3, 64, 40)
    assert discriminator(given, image).shape == (2, 1, 8, 5)
    other = image.clone()
    other[..., :8] += 1
    assert not torch.equal(discriminator(given, image), discriminator(given, other))
    with pytest.raises(InputError, match="Channels of the discriminator"):
        PatchDiscriminator(6, 0)


def test_adversarial_losses_are_their_formulas():
    verdicts = torch.tensor([[0.3, -1.2], [2.0, 0.0]])
    squares = [(value - 1) ** 2 for value in verdicts.flatten().tolist()]
    assert float(adversarial_loss("least-squares", verdicts, real=True)) == pytest.approx(sum(squares) / 4)
    made = [math.log1p(math.exp(value)) for value in verdicts.flatten().tolist()]
    assert float(adversarial_loss("cross-entropy", verdicts, real=False)) == pytest.approx(sum(made) / 4)
    with pytest.raises(InputError, match="Unknown adversarial loss 'hinge'"):
        adversarial_loss("hinge", verdicts, real=True)


@pytest.mark.slow
def test_the_perceptual_distance_of_vgg_is_that_of_its_maps(tmp_path):
    network = vgg16(weights=None).eval().requires_grad_(False)
    torch.save(network.state_dict(), tmp_path / "vgg16.pth")
    distance = perceptual_distance(str(tmp_path / "vgg16.pth"), "vgg16").train()
    made, real = torch.rand(2, 1, 3, 32, 32)
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    expected, seen = [], [(image - mean) / std for image in (made, real)]
    for place, layer in enumerate(network.features[: VGG_MAPS[-1] + 1]):
        seen = [layer(image) for image in seen]
        if place in VGG_MAPS:
            expected.append(float((seen[0] - seen[1]).abs().mean()))
    assert float(distance(made, real)) == pytest.approx(sum(expected) / 4, rel=1e-5)
    assert not any(parameter.requires_grad for parameter in distance.parameters())
    made.requires_grad_()
    distance(made, real).backward()
    assert made.grad.abs().sum() > 0
    torch.save({"classifier.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"has no features\.0\.weight: give torchvision's file of VGG-16"):
        perceptual_distance(str(tmp_path / "other.pth"), "vgg16")
