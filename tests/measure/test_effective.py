"""Effective receptive fields: within the theoretical ones, and exactly what simple networks see."""

import pytest
import torch
from torch import nn

from res2net.backbones.registry import build
from res2net.errors import InputError
from res2net.measure import EffectiveField, calibrate_norms, effective_field, receptive_field, stage_fields

TINY = {"channels": (4, 4), "stem_channels": 4, "base_width": 32, "layers": (1, 2), "num_classes": 0}


@pytest.mark.parametrize("padding", [0, 1])
def test_an_average_of_3_x_3_sees_exactly_3_x_3(padding):
    found = effective_field(nn.AvgPool2d(3, stride=1, padding=padding), torch.randn(2, 3, 9, 9))
    expected = torch.zeros(9, 9, dtype=torch.float64)
    expected[3:6, 3:6] = 1 / 9
    torch.testing.assert_close(found.gradient, expected)
    assert found.centre == (4, 4)
    torch.testing.assert_close(found.cumulative()[:5], torch.tensor([1, 1, 9, 9, 9], dtype=torch.float64) / 9)
    assert [found.side(share) for share in (0.1, 0.5, 1)] == [1, 3, 3]


def test_two_averages_see_a_triangle():
    """The gradient of a chain is the convolution of its filters."""
    model = nn.Sequential(nn.AvgPool1d(3, stride=1, padding=1), nn.AvgPool1d(3, stride=1, padding=1))
    found = effective_field(model, torch.randn(1, 2, 9))
    expected = torch.tensor([0, 0, 1, 2, 3, 2, 1, 0, 0], dtype=torch.float64) / 9
    torch.testing.assert_close(found.gradient, expected)
    torch.testing.assert_close(found.cumulative()[:5], torch.tensor([3, 3, 7, 7, 9], dtype=torch.float64) / 9)


def test_the_gradient_is_the_mean_of_the_absolute_ones_of_the_images():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1)).double()
    images = torch.randn(6, 2, 11, 11, dtype=torch.float64)
    expected = torch.zeros(11, 11, dtype=torch.float64)
    for image in images:
        x = image[None].clone().requires_grad_()
        model(x)[0, :, 5, 5].sum().backward()
        expected += x.grad[0].abs().sum(0)
    torch.testing.assert_close(effective_field(model, images).gradient, expected / expected.sum())


@pytest.mark.parametrize("stage", [0, 1, -1])
@pytest.mark.parametrize("name", ["resnet26", "resnet26d", "res2net26_26w_4s"])
def test_a_network_sees_nothing_outside_its_theoretical_field(name, stage):
    torch.manual_seed(0)
    model = build(name, **TINY)
    images = torch.randn(3, 3, 161, 161)
    calibrate_norms(model, images)
    found = effective_field(model, images, stage)
    theory = stage_fields(model)[stage]
    middle = -(-161 // theory.stride) // 2 * theory.stride
    first, last = theory.first + middle, theory.last + middle
    assert first > 0
    assert last < 160
    assert found.gradient[first : last + 1, first : last + 1].sum() == pytest.approx(1)
    outside = found.gradient.clone()
    outside[first : last + 1, first : last + 1] = 0
    assert not outside.any()
    assert found.centre == ((first + last) / 2,) * 2


def test_a_fresh_network_is_closed_until_it_is_settled():
    """Its residual branches start at zero: only shortcuts would be seen."""
    torch.manual_seed(0)
    model = build("resnet26", **TINY)
    images = torch.randn(4, 3, 97, 97)
    closed = effective_field(model, images)
    modes = [module.training for module in model.modules()]
    calibrate_norms(model, images)
    assert [module.training for module in model.modules()] == modes
    assert {module.momentum for module in model.modules() if isinstance(module, nn.BatchNorm2d)} == {0.1}
    opened = effective_field(model, images)
    assert opened.side(0.95) > closed.side(0.95)
    # Every normalisation has the statistics of the images.
    stem = model.conv1(images)
    torch.testing.assert_close(model.bn1.running_mean, stem.mean((0, 2, 3)), atol=1e-4, rtol=1e-4)


def test_the_network_is_not_touched():
    model = build("resnet26", **TINY)
    model.layer1.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        effective_field(model, torch.randn(1, 3, 33, 33))
    assert model.training
    assert not model.layer1[0].bn1.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(tensor.grad is None for tensor in model.parameters())


def test_even_filters_have_their_centre_between_two_pixels():
    found = effective_field(nn.AvgPool2d(2), torch.ones(1, 1, 8, 8))
    assert found.centre == (4.5, 4.5)
    assert found.side(1) == 2
    assert receptive_field(nn.AvgPool2d(2)).largest == 2


@pytest.mark.parametrize(
    ("model", "shape", "sentence"),
    [
        (nn.AvgPool2d(3), (0, 1, 9, 9), "Images of shape (0, 1, 9, 9) do not fit"),
        (nn.AvgPool2d(3), (9, 9), "Images of shape (9, 9) do not fit"),
        (nn.Flatten(), (1, 1, 9, 9), "has no positions: leave out the classifier."),
        (nn.AdaptiveMaxPool2d(3), (1, 1, 9, 9), "The receptive field of a AdaptiveMaxPool2d is not known"),
    ],
)
def test_mistakes_are_told(model, shape, sentence):
    with pytest.raises(InputError) as caught:
        effective_field(model, torch.randn(shape))
    assert sentence in str(caught.value)


def test_more_mistakes_are_told():
    model = build("resnet26", **TINY)
    with pytest.raises(InputError, match="There is no stage 3: this network has 3, the stem included"):
        effective_field(model, torch.randn(1, 3, 33, 33), 3)
    with pytest.raises(InputError, match="No gradient reaches the input"):
        effective_field(nn.Sequential(nn.Hardtanh(5.0, 6.0), nn.AvgPool2d(3)), torch.zeros(1, 1, 9, 9))
    with pytest.raises(InputError, match="Share 0 does not fit"):
        EffectiveField(torch.ones(3, 3) / 9, (1, 1)).side(0)
