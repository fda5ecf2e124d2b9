"""Parameters and multiply-accumulates of the published models, to the digits that are known."""

import pytest
import torch

from res2net.backbones.registry import build
from res2net.measure import count


def measured(name, input_size=(3, 224, 224), **options):
    with torch.device("meta"):
        return count(build(name, **options), input_size)


def digits(number, like):
    """A number with as many decimals as a text has."""
    return f"{number:.{len(like.partition('.')[2])}f}"


@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"),
    [
        ("resnet50", "25.557032", "4.09"),
        ("resnet101", "44.549160", "7.80"),
        ("resnet152", "60.192808", "11.51"),
        ("resnext50_32x4d", "25.028904", "4.23"),
        ("seresnet50", "28.088024", "4.09"),
        ("res2net50_48w_2s", "25.287304", "4.16"),
        ("res2net50_26w_4s", "25.699120", "4.26"),
        ("res2net50_14w_8s", "25.059816", "4.18"),
        ("res2net50_26w_6s", "37.05", "6.30"),
        ("res2net50_26w_8s", "48.40", "8.34"),
        ("res2net50_18w_4s", "18.095", "2.9"),
        ("res2net50_18w_6s", "25.16", "4.2"),
        ("res2net101_26w_4s", "45.206688", "8.07"),
        ("res2next50", "24.671464", "4.17"),
        ("seres2net50_26w_4s", "28.23", "4.26"),
        ("res2net50d", "25.718352", "4.49"),
        ("res2net101d", "45.225920", "8.31"),
        ("res2net152d", "61.29", "12.1"),
        ("res2net200d", "76.22", "15.7"),
        ("dla60", "22.036632", "4.24"),
        ("dla60x", "17.352344", "3.52"),
        ("dla60_res2net", "20.848072", "4.12"),
        ("dla60_res2next", "17.032984", "3.46"),
        ("blresnet50", "26.69", "2.856"),
        ("blresnet101", "41.85", "3.89"),
        ("blres2net50_26w_4s", "26.85", "2.99"),
        ("blres2net101_26w_4s", "42.41", "4.06"),
    ],
)
def test_imagenet_models(name, parameters, gmacs):
    found = measured(name)
    assert digits(found.parameters / 1e6, parameters) == parameters
    assert digits(found.macs / 1e9, gmacs) == gmacs


def test_larger_images():
    assert digits(measured("res2net50_26w_4s", (3, 299, 299)).macs / 1e9, "7.9") == "7.9"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnext29_8c64w", "34.427"),
        ("resnext29_16c64w", "68.155"),
        ("res2next29_6c24w_4s", "24.269"),
        ("res2next29_8c25w_4s", "33.813"),
        ("res2next29_6c24w_6s", "36.709"),
    ],
)
def test_cifar_models_counted_with_10_classes(name, parameters):
    found = measured(f"cifar_{name}", (3, 32, 32), num_classes=10)
    assert digits(found.parameters / 1e6, parameters) == parameters


@pytest.mark.parametrize(("scale", "width"), [(2, 48), (4, 26), (8, 14)])
def test_scales_at_about_the_same_cost(scale, width):
    """The paper compares them at the complexity of ResNet-50 (Table 3)."""
    found, plain = measured(f"res2net50_{width}w_{scale}s"), measured("resnet50")
    assert found.macs / plain.macs == pytest.approx(1, abs=0.05)
    assert found.parameters / plain.parameters == pytest.approx(1, abs=0.02)
