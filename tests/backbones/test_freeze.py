"""Freezing: which weights and statistics stay as they are, and for how long."""

import copy

import pytest
import torch

from res2net.backbones.registry import build
from res2net.errors import InputError

LAYERS = ["layer1", "layer2", "layer3", "layer4"]
STEMS = {"res2net26_26w_4s": ["conv1", "bn1"], "res2net50d": ["conv1", "bn1"]}


@pytest.fixture(params=STEMS)
def model(request):
    return build(
        request.param, layers=(1, 2, 1, 1), channels=(8, 8, 8, 8), stem_channels=8, base_width=32, num_classes=3
    )


def train_a_step(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    model(torch.randn(4, 3, 33, 33)).square().sum().backward()
    optimizer.step()


def changed_parts(model, before):
    return {key.split(".")[0] for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}


@pytest.mark.parametrize("stages", range(6))
def test_frozen_stages_do_not_change_at_all(model, stages):
    frozen = ["conv1", "bn1", *LAYERS][: stages + 1 if stages else 0]
    assert model.freeze(stages) is model
    before = copy.deepcopy(model.state_dict())
    train_a_step(model)
    assert changed_parts(model, before) == {"conv1", "bn1", *LAYERS, "fc"} - set(frozen)
    for name, tensor in model.named_parameters():
        part = name.split(".")[0]
        assert tensor.requires_grad is (part not in frozen)
        assert (tensor.grad is None) is (part in frozen)


def test_statistics_stay_frozen_through_training_and_evaluation(model):
    model.freeze(2)
    before = copy.deepcopy(model.state_dict())
    for mode in (True, False, True):
        assert model.train(mode) is model
        assert model.training is mode
        assert model.layer3.training is mode
        assert not any(module.training for module in model.layer1.modules() if "BatchNorm" in type(module).__name__)
        model(torch.randn(4, 3, 33, 33))
    assert changed_parts(model, before) == {"layer2", "layer3", "layer4"}


def test_a_network_in_evaluation_stays_there(model):
    assert not model.eval().freeze(1).training
    assert not any(module.training for module in model.modules())


def test_freezing_nothing_frees_everything(model):
    model.freeze(5).freeze(0)
    before = copy.deepcopy(model.state_dict())
    assert all(tensor.requires_grad for tensor in model.parameters())
    assert all(module.training for module in model.modules())
    train_a_step(model)
    assert changed_parts(model, before) == {"conv1", "bn1", *LAYERS, "fc"}


def test_freezing_less_frees_the_rest(model):
    model.freeze(3).freeze(1)
    assert {name.split(".")[0] for name, tensor in model.named_parameters() if not tensor.requires_grad} == {
        "conv1",
        "bn1",
    }


def test_a_copy_is_frozen_as_well(model):
    copied = copy.deepcopy(model.freeze(2)).train()
    assert not copied.bn1.training
    assert not copied.bn1.weight.requires_grad


@pytest.mark.parametrize("stages", [-1, 6])
def test_stages_that_do_not_exist(model, stages):
    with pytest.raises(InputError, match=rf"Cannot freeze {stages} stages: this network has 5, the stem included"):
        model.freeze(stages)
