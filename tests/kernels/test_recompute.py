"""The bottleneck that computes again against the plain one: same outputs, gradients and statistics, less memory."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from res2net import create_model
from res2net.errors import InputError
from res2net.kernels import BatchNorm, Convolution, Layout, interior, interior_recomputed
from res2net.nn import Res2Bottleneck

VARIANTS = {
    "plain": {"scale": 1},
    "hierarchical": {},
    "stage": {"mode": "stage", "stride": 2},
    "stage, every split convolved": {"mode": "stage", "stride": 2, "pass_through": "conv"},
    "paper's order": {"split_order": "paper"},
    "first arXiv version": {"split_order": "arxiv-v1", "pass_through": "pool"},
    "groups and dilation": {"cardinality": 2, "dilation": 2},
    "one dimension": {"dims": 1, "mode": "stage", "stride": 2},
    "three dimensions": {"dims": 3},
}


def pair(planes=32, **options):
    """A block and its copy that computes again."""
    torch.manual_seed(0)
    block = Res2Bottleneck(4 * planes, planes, **options)
    if max(options.get("stride", 1), 1) > 1:
        pool = {1: nn.AvgPool1d, 2: nn.AvgPool2d}[options.get("dims", 2)]
        block.downsample = pool(2, 2, ceil_mode=True)
    again = copy.deepcopy(block)
    again.recompute = True
    return block, again


def trained(block, x, precision=torch.float32):
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        y = block(x)
    y.float().square().mean().backward()
    return {
        "output": y.detach(),
        "input": x.grad,
        **{f"gradient of {name}": p.grad for name, p in block.named_parameters()},
        **{name: b.clone() for name, b in block.named_buffers()},
    }


def assert_same(ours, theirs, tolerance):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        difference = (ours[name].double() - value.double()).abs().max()
        assert difference <= tolerance * max(value.double().abs().max().item(), 1e-6), name


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_gradients_and_statistics_are_those_of_the_plain_block(options):
    block, again = pair(**options)
    x = torch.randn(2, 128, *(9,) * options.get("dims", 2))
    assert_same(trained(again, x), trained(block, x), 1e-6)


def test_mixed_precision_gives_the_same():
    block, again = pair()
    x = torch.randn(4, 128, 12, 12)
    assert_same(trained(again, x, torch.bfloat16), trained(block, x, torch.bfloat16), 1e-2)


def test_gradients_are_those_of_finite_differences():
    _, again = pair(4, base_width=32)
    again.double()
    x = torch.randn(2, 16, 3, 3, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda x: again(x).square().mean(), (x,))


def test_the_two_functions_of_tensors_agree():
    torch.manual_seed(0)
    layout = Layout(width=3, scale=4)

    def norm(channels):
        return BatchNorm(
            torch.rand(channels).requires_grad_(),
            torch.rand(channels).requires_grad_(),
            torch.zeros(channels),
            torch.ones(channels),
            0.1,
            1e-5,
        )

    def convolution(outputs, inputs, size):
        weight = torch.randn(outputs, inputs, size, size).requires_grad_()
        return Convolution(weight, (1, 1), (size // 2, size // 2), (1, 1), 1)

    arguments = (norm(12), [(convolution(3, 3, 3), norm(3)) for _ in range(3)], convolution(5, 12, 1), layout)
    x = torch.randn(2, 12, 6, 6)
    weights = [arguments[0].weight, arguments[1][1][0].weight, arguments[2].weight]
    results = []
    for function in (interior, interior_recomputed):
        y = function(x, *arguments)
        results.append((y, torch.autograd.grad(y.square().sum(), weights)))
    torch.testing.assert_close(results[1], results[0])


def bytes_kept(block, x):
    """Bytes of different memory that the backward pass of a block keeps, without its parameters and its input."""
    kept = {}
    own = {tensor.untyped_storage().data_ptr() for tensor in (x, *block.parameters())}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        y = block(x)
    assert y.requires_grad
    return sum(kept.values())


def test_the_backward_pass_keeps_a_third_less():
    block, again = pair(base_width=26)
    x = torch.randn(4, 128, 16, 16, requires_grad=True)
    assert bytes_kept(again, x) < 0.7 * bytes_kept(block, x)


def test_a_frozen_network_is_the_plain_one():
    """Normalisations in evaluation keep their statistics, as in the plain network."""
    model = create_model("res2net20_26w_4s_tiny", num_classes=3, recompute=True).freeze(2).train()
    before = {name: buffer.clone() for name, buffer in model.layer1.named_buffers()}
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    for name, buffer in model.layer1.named_buffers():
        assert torch.equal(buffer, before[name]), name
    assert all(p.grad is None for p in model.layer1.parameters())
    assert all(p.grad is not None for p in model.layer2.parameters())


def test_a_network_trains_as_the_plain_one():
    torch.manual_seed(0)
    plain = create_model("res2net20_26w_4s_tiny", num_classes=3)
    again = create_model("res2net20_26w_4s_tiny", num_classes=3, recompute=True)
    again.load_state_dict(plain.state_dict())
    x = torch.randn(4, 3, 32, 32)
    assert_same(trained(again, x), trained(plain, x), 1e-6)


def test_a_second_derivative_is_refused():
    _, again = pair()
    x = torch.randn(2, 128, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(again(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"differentiated twice|once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("options", [{"norm": "group"}, {"act": "silu"}])
def test_other_layers_are_refused(options):
    with pytest.raises(InputError, match="Recomputing does not fit"):
        Res2Bottleneck(64, 16, recompute=True, **options)
