"""Counts, against numbers worked out by hand and published ones."""

import pytest
import torch
from torch import nn

from res2net.backbones.registry import build
from res2net.errors import InputError
from res2net.measure import Counts, count, format_count
from res2net.measure.costs import without_weights


@pytest.mark.parametrize(
    ("layer", "input_size", "macs", "activations"),
    [
        (nn.Conv1d(4, 6, 5, padding=2), (4, 10), 6 * 10 * 4 * 5, 6 * 10),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1), (4, 9, 7), 6 * 5 * 4 * 4 * 9, 6 * 5 * 4),
        (nn.Conv2d(4, 6, (3, 1), groups=2), (4, 9, 7), 6 * 7 * 7 * 2 * 3, 6 * 7 * 7),
        (nn.Conv3d(2, 3, 3, padding=1), (2, 4, 5, 6), 3 * 4 * 5 * 6 * 2 * 27, 3 * 4 * 5 * 6),
        (nn.ConvTranspose2d(4, 6, 2, stride=2), (4, 5, 5), 4 * 5 * 5 * 6 * 4, 6 * 10 * 10),
        (nn.Linear(8, 5), (3, 8), 3 * 8 * 5, 3 * 5),
        (nn.BatchNorm2d(4), (4, 5, 5), 0, 0),
        (nn.AvgPool2d(2), (4, 6, 6), 0, 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_one_layer(layer, input_size, macs, activations):
    parameters = sum(tensor.numel() for tensor in layer.parameters())
    assert count(layer, input_size) == Counts(parameters, macs, activations)


@pytest.mark.parametrize(
    ("name", "parameters", "gmacs", "mega_activations"),
    [
        ("resnet50", 25_557_032, "4.09", "11.11"),
        ("res2net50_26w_4s", 25_699_120, "4.26", "12.61"),
        ("resnet101", 44_549_160, "7.80", "16.23"),
    ],
)
def test_published_numbers_of_whole_networks(name, parameters, gmacs, mega_activations):
    """Activations as in timm's published benchmark; multiply-accumulates of convolutions and linear layers alone."""
    with torch.device("meta"):
        found = count(build(name), (3, 224, 224))
    assert found.parameters == parameters
    assert f"{found.macs / 1e9:.2f}" == gmacs
    assert f"{found.activations / 1e6:.2f}" == mega_activations


def test_a_layer_used_twice_has_its_weights_once_and_works_twice():
    layer = nn.Linear(4, 4)
    once, twice = count(layer, (1, 4)), count(nn.Sequential(layer, nn.ReLU(), layer), (1, 4))
    assert twice == Counts(once.parameters, 2 * once.macs, 2 * once.activations)


def test_matrix_products_of_attention_count():
    class Attention(nn.Module):
        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(x, x, x)

    assert count(Attention(), (2, 5, 8)).macs == 2 * (2 * 5 * 5 * 8)


def test_the_network_is_not_touched():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Sequential(nn.Conv2d(4, 4, 1)))
    model[1].eval()
    before = {name: (tensor, tensor.clone()) for name, tensor in model.state_dict(keep_vars=True).items()}
    flags = [module.training for module in model.modules()]
    count(model, (3, 8, 8))
    assert [module.training for module in model.modules()] == flags
    for name, tensor in model.state_dict(keep_vars=True).items():
        assert tensor is before[name][0]
        assert torch.equal(tensor, before[name][1])
    assert all(tensor.requires_grad for tensor in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_the_copy_has_no_weights():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    copied = without_weights(model)
    assert all(tensor.is_meta for tensor in copied.state_dict().values())
    assert [type(module) for module in copied] == [nn.Conv2d, nn.BatchNorm2d]


def test_networks_of_other_types_and_with_tensors_of_their_own():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4, dtype=torch.bfloat16)

        def forward(self, x):
            return self.layer(x + torch.arange(4, dtype=x.dtype))

    assert count(Positions(), (1, 4)).macs == 16


@pytest.mark.parametrize("input_size", [(3,), (3, 0, 4), (3, 4.0, 4), ()])
def test_a_size_needs_channels_and_positive_integers(input_size):
    with pytest.raises(InputError, match=r"Input size .* does not fit: give \(channels, \*size\)"):
        count(nn.Conv2d(3, 4, 3), input_size)


@pytest.mark.parametrize("input_size", [(4, 8, 8), (3, 2, 2), (3, 8)])
def test_a_size_that_the_network_does_not_take(input_size):
    with pytest.raises(InputError, match=r"The network does not take an input of size \(.*\): .+") as caught:
        count(nn.Conv2d(3, 4, 3), input_size)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (12_345, "12.3 k"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (25_699_120, "25.7 M"),
        (4_255_166_464, "4.26 G"),
        (10**13, "10.0 T"),
    ],
)
def test_counts_for_people(number, text):
    assert format_count(number) == text
