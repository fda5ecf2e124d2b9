"""What each split of a Res2 block sees, against the equation of the paper."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from res2net import create_model
from res2net.errors import InputError
from res2net.explain import split_activations
from res2net.measure import split_fields
from res2net.nn import Res2Conv

OPTIONS = {"layers": (2, 1), "channels": (16, 16), "num_classes": 3, "zero_init_last": False}


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("split_order", "passing"), [("official", 3), ("paper", 0)])
def test_splits_are_those_of_equation_1(images, split_order, passing):
    model = create_model("res2net26_26w_4s", split_order=split_order, **OPTIONS).eval()
    block = model.layer1[1]
    with torch.no_grad():
        x = model.layer1[0](model.maxpool(model.act1(model.bn1(model.conv1(images)))))
        splits = list(block.act1(block.bn1(block.conv1(x))).chunk(4, 1))
        passed = splits.pop(passing)
        outputs, before = [], 0
        for split, conv, norm in zip(splits, block.convs, block.bns, strict=True):
            before = norm(conv(split + before)).relu()
            outputs.append(before)
        outputs.insert(passing, passed)
    seen = split_activations(model, images, "layer1.1")
    assert len(seen) == 4
    for found, expected in zip(seen, outputs, strict=True):
        torch.testing.assert_close(found, expected.mean(1))
    # The order is that in which the receptive fields are told.
    assert split_fields(block)[passing] == 1


def test_blocks_with_strides_and_without_splits(images):
    model = create_model("res2net26_26w_4s", **OPTIONS)
    assert [tuple(split.shape) for split in split_activations(model, images, "layer2.0")] == [(2, 4, 4)] * 4
    plain = create_model("resnet26", **OPTIONS)
    assert [tuple(split.shape) for split in split_activations(plain, images, "layer1.1")] == [(2, 8, 8)]


def test_a_convolution_by_itself():
    x = torch.randn(1, 8, 9)
    model = nn.Sequential(Res2Conv(2, scale=4, dims=1)).eval()
    expected = model(x).unflatten(1, (4, 2)).mean(2)
    torch.testing.assert_close(torch.stack(split_activations(model, x, "0"), 1), expected)


def test_the_network_stays_as_it_is(images):
    model = create_model("res2net26_26w_4s", **OPTIONS).train()
    model.freeze(1)
    modes = [module.training for module in model.modules()]
    state = copy.deepcopy(model.state_dict())
    seen = split_activations(model, images, "layer1.1")
    assert not any(split.requires_grad for split in seen)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_wrong_name_is_told(images):
    model = create_model("res2net26_26w_4s", **OPTIONS)
    with pytest.raises(InputError, match=r"Unknown block 'layer1.7': did you mean 'layer1\.\d'"):
        split_activations(model, images, "layer1.7")
    with pytest.raises(InputError, match="Unknown block 'layer1'"):
        split_activations(model, images, "layer1")
