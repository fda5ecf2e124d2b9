"""Memory, against sums done by hand and what autograd says that it keeps."""

import pytest
import torch
from torch import nn

from res2net.backbones.registry import build
from res2net.errors import InputError
from res2net.measure import Memory, count_memory

FLOAT = 4
INPUT, OUTPUT = 2 * 3 * 8 * 8 * FLOAT, 2 * 4 * 8 * 8 * FLOAT
"""Bytes of the input of the networks below, and of each of their layers of 4 channels."""


def convolution(**options):
    return nn.Conv2d(3, 4, 3, padding=1, bias=False, **options)


@pytest.mark.parametrize(
    ("layers", "inference", "training"),
    [
        ([convolution()], INPUT + OUTPUT, INPUT + OUTPUT),
        # The sigmoid runs while its input is still there; it keeps its output and not its input.
        ([convolution(), nn.Sigmoid()], INPUT + 2 * OUTPUT, INPUT + OUTPUT),
        # A third layer is made only when the first is gone; in training SiLU keeps its input.
        ([convolution(), nn.SiLU(), nn.Sigmoid()], INPUT + 2 * OUTPUT, INPUT + 2 * OUTPUT),
        ([convolution(), nn.ReLU(inplace=True)], INPUT + OUTPUT, INPUT + OUTPUT),
        # Views cost nothing.
        ([convolution(), nn.Flatten(), nn.Unflatten(1, (4, 64))], INPUT + OUTPUT, INPUT + OUTPUT),
        # Where the maxima were is kept as integers of 8 bytes.
        ([convolution(), nn.MaxPool2d(2)], INPUT + OUTPUT + OUTPUT // 4 * 3, INPUT + OUTPUT + OUTPUT // 4 * 3),
    ],
    ids=["convolution", "sigmoid", "three layers", "in place", "views", "max pooling"],
)
def test_small_networks_by_hand(layers, inference, training):
    weights = 4 * 3 * 9 * FLOAT
    assert count_memory(nn.Sequential(*layers), (3, 8, 8), 2) == Memory(weights, inference, training)


def test_batch_normalisation_keeps_its_input_and_a_mean_and_a_deviation_of_each_channel():
    model = nn.Sequential(convolution(), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    found = count_memory(model, (3, 8, 8), 2)
    assert found.weights == (4 * 3 * 9 + 4 * 4) * FLOAT + 8  # and the number of batches
    assert found.training == INPUT + 2 * OUTPUT + 2 * 4 * FLOAT


def test_a_branch_is_alive_until_it_is_added():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = convolution(), convolution()

        def forward(self, x):
            left = self.first(x)
            return left + self.second(x)

    assert count_memory(Branches(), (3, 8, 8), 2).inference == INPUT + 3 * OUTPUT


def kept_by_autograd(model, x):
    """Bytes of the storages that a real forward pass saves, with its input and output, without weights."""
    storages = {x.untyped_storage().data_ptr(): x.untyped_storage()}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(x)
    storages[output.untyped_storage().data_ptr()] = output.untyped_storage()
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    return sum(storage.nbytes() for place, storage in storages.items() if place not in own)


@pytest.mark.parametrize("options", [{}, {"recompute": True}, {"se_reduction": 4}], ids=str)
def test_what_training_keeps_is_what_autograd_saves(options):
    model = build("res2net26_26w_4s", layers=(1, 2, 1, 1), **options).train()
    x = torch.randn(2, 3, 64, 64)
    found = count_memory(model, (3, 64, 64), 2).training
    assert found == pytest.approx(kept_by_autograd(model, x), rel=1e-3)


def test_memory_grows_with_the_batch_and_weights_do_not():
    with torch.device("meta"):
        model = build("resnet26")
    one, four = count_memory(model, (3, 64, 64)), count_memory(model, (3, 64, 64), 4)
    assert one.weights == four.weights
    assert four.inference == pytest.approx(4 * one.inference, rel=0.01)
    assert four.training == pytest.approx(4 * one.training, rel=0.02)


def test_half_precision_takes_half():
    model = nn.Sequential(convolution(), nn.Sigmoid())
    full, half = count_memory(model, (3, 8, 8)), count_memory(model.bfloat16(), (3, 8, 8))
    assert (2 * half.weights, 2 * half.inference, 2 * half.training) == (full.weights, full.inference, full.training)


def test_recomputing_and_freezing_keep_less():
    with torch.device("meta"):
        usual, recomputed = build("res2net50_26w_4s"), build("res2net50_26w_4s", recompute=True)
    training = count_memory(usual, (3, 64, 64), 2).training
    assert count_memory(recomputed, (3, 64, 64), 2).training < 0.75 * training
    assert count_memory(usual.freeze(3), (3, 64, 64), 2).training < 0.6 * training


def test_what_cannot_be_trained_has_no_memory_of_training():
    """The last stage has one position: no statistics of one image."""
    with torch.device("meta"):
        model = build("resnet26")
    assert count_memory(model, (3, 32, 32)).training is None
    assert count_memory(model, (3, 32, 32), 2).training is not None


def test_the_network_is_not_touched():
    model = nn.Sequential(convolution(), nn.BatchNorm2d(4)).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    count_memory(model, (3, 8, 8), 2)
    assert not model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_mistakes_are_told():
    with pytest.raises(InputError, match="Batch size 0 is out of range: give 1 or more"):
        count_memory(convolution(), (3, 8, 8), 0)
    with pytest.raises(InputError, match="The network does not take an input of size"):
        count_memory(convolution(), (4, 8, 8))
