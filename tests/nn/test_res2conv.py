"""The Res2 convolution, against a loop written from the paper."""

import copy
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from res2net.errors import InputError
from res2net.nn import Res2Conv
from res2net.nn.res2conv import Order

SIZE = (7, 6, 5)


def signal(module, batch=2, *, double=True):
    return torch.randn(batch, module.channels, *SIZE[: module.dims], dtype=torch.double if double else torch.float)


def branch(module, number, x):
    """K of the split of that number, counted from 0 among those that are convolved."""
    conv, norm, act = (getattr(module, name)[number] for name in ("convs", "bns", "acts"))
    return act(norm(conv(x)))


def paper_loop(module, x, *, first_version=False):
    """Eq. 1: y1 = x1, y2 = K2(x2), yi = Ki(xi + y(i-1)); in the first version of the paper also y2 = K2(x2 + y1)."""
    xs = x.chunk(module.scale, 1)
    ys = [xs[0]]
    for i in range(1, module.scale):
        added = xs[i] + ys[i - 1] if i > 1 or first_version else xs[i]
        ys.append(branch(module, i - 1, added))
    return torch.cat(ys, 1)


def official_loop(module, x):
    """The published code: the last split passes, y1 = K1(x1), yi = Ki(y(i-1) + xi)."""
    xs = x.chunk(module.scale, 1)
    ys = [branch(module, 0, xs[0])]
    for i in range(1, module.scale - 1):
        ys.append(branch(module, i, ys[i - 1] + xs[i]))
    return torch.cat([*ys, xs[-1]], 1)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_the_three_forms_of_equation_1(lively, dims, scale, training):
    for split_order, loop in (
        ("official", official_loop),
        ("paper", paper_loop),
        ("arxiv-v1", lambda module, x: paper_loop(module, x, first_version=True)),
    ):
        module = lively(Res2Conv(3, scale=scale, dims=dims, split_order=split_order)).train(training)
        x = signal(module)
        assert torch.equal(module(x), loop(copy.deepcopy(module), x)), split_order


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_the_first_version_of_the_paper_is_another_function(lively, dims):
    module = lively(Res2Conv(3, dims=dims, split_order="arxiv-v1")).eval()
    x = signal(module)
    assert not torch.allclose(module(x), paper_loop(module, x))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("scale", [2, 4, 7])
@pytest.mark.parametrize("mode", ["hierarchical", "stage"])
def test_official_and_paper_order_are_one_function_of_permuted_channels(lively, mode, scale, dims):
    official = lively(Res2Conv(3, scale=scale, dims=dims, mode=mode)).eval()
    paper = Res2Conv(3, scale=scale, dims=dims, mode=mode, split_order="paper").double().eval()
    paper.load_state_dict(official.state_dict())
    x = signal(official)
    # The split that passes through is the last of one and the first of the other.
    assert torch.equal(paper(x.roll(3, 1)), official(x).roll(3, 1))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("counts_padding", [True, False])
def test_the_stage_mode_pools_one_split_and_adds_nothing(lively, counts_padding, stride, dims):
    options = {"mode": "stage", "stride": stride, "pool_counts_padding": counts_padding}
    module = lively(Res2Conv(3, dims=dims, **options)).eval()
    x = signal(module)
    xs = x.chunk(4, 1)
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[dims - 1]
    pooled = pool(xs[-1], 3, stride, 1, count_include_pad=counts_padding)
    expected = [branch(module, i, xs[i]) for i in range(3)]
    assert torch.equal(module(x), torch.cat([*expected, pooled], 1))
    if counts_padding:
        without = lively(Res2Conv(3, dims=dims, **options | {"pool_counts_padding": False})).eval()
        assert not torch.allclose(without(x)[:, -3:], pooled)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_the_pool_of_another_kernel_keeps_the_size(dims):
    kernel = (5, 3, 1)[:dims]
    module = Res2Conv(3, dims=dims, mode="stage", kernel_size=kernel, stride=2)
    assert module(signal(module, double=False)).shape[2:] == tuple(-(-size // 2) for size in SIZE[:dims])
    assert tuple(module.pool.kernel_size) == kernel


@pytest.mark.parametrize("split_order", ["official", "paper", "arxiv-v1"])
def test_the_stage_mode_can_convolve_every_split(lively, split_order):
    module = lively(Res2Conv(3, mode="stage", stride=2, pass_through="conv", split_order=split_order)).eval()
    x = signal(module)
    assert torch.equal(module(x), torch.cat([branch(module, i, part) for i, part in enumerate(x.chunk(4, 1))], 1))


def test_every_split_convolved_without_additions_is_a_grouped_convolution():
    module = Res2Conv(3, mode="stage", pass_through="conv", norm="none", act="none")
    x = signal(module, double=False)
    grouped = F.conv2d(x, torch.cat([conv.weight for conv in module.convs]), padding=1, groups=4)
    torch.testing.assert_close(module(x), grouped)


@pytest.mark.parametrize(("split_order", "passed"), [("official", 3), ("paper", 0), ("arxiv-v1", 0)])
def test_the_stage_mode_can_let_a_split_pass_untouched(lively, split_order, passed):
    module = lively(Res2Conv(3, mode="stage", pass_through="identity", split_order=split_order)).eval()
    x = signal(module)
    expected = list(x.chunk(4, 1))
    convolved = [i for i in range(4) if i != passed]
    for number, i in enumerate(convolved):
        expected[i] = branch(module, number, expected[i])
    assert torch.equal(module(x), torch.cat(expected, 1))


def test_the_hierarchy_can_pool_or_convolve_its_last_split(lively):
    module = lively(Res2Conv(3, scale=3, pass_through="pool")).eval()
    x = signal(module)
    xs = x.chunk(3, 1)
    y1 = branch(module, 0, xs[0])
    y2 = branch(module, 1, y1 + xs[1])
    assert torch.equal(module(x), torch.cat([y1, y2, F.avg_pool2d(xs[2], 3, 1, 1)], 1))

    module = lively(Res2Conv(3, scale=2, pass_through="conv")).eval()
    x = signal(module)
    y1 = branch(module, 0, x[:, :3])
    assert torch.equal(module(x), torch.cat([y1, branch(module, 1, y1 + x[:, 3:])], 1))


@pytest.mark.parametrize("mode", ["hierarchical", "stage"])
@pytest.mark.parametrize("pass_through", [None, "identity", "pool", "conv"])
def test_scale_1_is_a_plain_convolution(lively, mode, pass_through):
    module = lively(Res2Conv(4, scale=1, mode=mode, pass_through=pass_through, stride=2, cardinality=2)).eval()
    x = signal(module)
    assert torch.equal(module(x), branch(module, 0, x))
    assert module(x).shape == (2, 4, 4, 3)


@pytest.mark.parametrize("order", get_args(Order))
def test_orders_of_convolution_normalisation_and_activation(lively, order):
    module = lively(Res2Conv(3, scale=2, order=order, split_order="paper")).eval()
    x = signal(module)
    steps = {"conv": module.convs[0], "norm": module.bns[0], "act": nn.ReLU()}
    y = x[:, 3:]
    for step in order.split("-"):
        y = steps[step](y)
    assert torch.equal(module(x), torch.cat([x[:, :3], y], 1))


def test_dilation_and_cardinality_reach_the_convolutions():
    module = Res2Conv(6, dims=2, dilation=(1, 2), cardinality=3, kernel_size=(3, 5), bias=True)
    for conv in module.convs:
        assert (conv.dilation, conv.groups, conv.kernel_size, conv.padding) == ((1, 2), 3, (3, 5), (1, 4))
        assert conv.bias is not None


@pytest.mark.parametrize("padding_mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("mode", ["hierarchical", "stage"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_another_padding_brings_no_zeros_in(lively, dims, mode, padding_mode):
    module = lively(Res2Conv(3, dims=dims, mode=mode, padding_mode=padding_mode)).eval()
    y = module(torch.ones(1, 12, *SIZE[:dims], dtype=torch.double))
    first = y[(..., *[slice(0, 1)] * dims)]
    torch.testing.assert_close(y, first.expand_as(y))


def test_names_of_weights_are_the_official_ones():
    assert set(dict(Res2Conv(3).named_parameters())) == {
        *(f"convs.{i}.weight" for i in range(3)),
        *(f"bns.{i}.{kind}" for i in range(3) for kind in ("weight", "bias")),
    }


@pytest.mark.parametrize("mode", ["hierarchical", "stage"])
@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("order", get_args(Order))
@pytest.mark.parametrize("act", ["relu", "silu"])
def test_working_in_place_changes_nothing(order, norm, mode, act):
    module = Res2Conv(3, order=order, norm=norm, mode=mode, act=act)
    plain = Res2Conv(3, order=order, norm=norm, mode=mode, act={"relu": nn.ReLU, "silu": nn.SiLU}[act])
    plain.load_state_dict(module.state_dict())
    x = signal(module, double=False).requires_grad_()
    before = x.detach().clone()
    y, expected = module(x), plain(x)
    assert torch.equal(x, before)
    assert torch.equal(y, expected)
    weights = torch.randn_like(y)
    grads = torch.autograd.grad((y * weights).sum(), [x, *module.parameters()])
    plain_grads = torch.autograd.grad((expected * weights).sum(), [x, *plain.parameters()])
    for grad, plain_grad in zip(grads, plain_grads, strict=True):
        assert torch.equal(grad, plain_grad)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "Width 0 does not fit: give a positive integer"),
        ({"width": True}, "Width True does not fit: give a positive integer"),
        ({"width": 2.5}, "Width 2.5 does not fit: give a positive integer"),
        ({"scale": 0}, "Scale 0 does not fit: give a positive integer"),
        ({"scale": "4"}, "Scale '4' does not fit: give a positive integer"),
        ({"cardinality": -2}, "Cardinality -2 does not fit: give a positive integer"),
        ({"width": 6, "cardinality": 4}, "Width 6 is not divisible by cardinality 4: choose one that is"),
        ({"dims": 4}, r"Unknown number of dimensions 4: .*allowed: 1, 2, 3"),
        ({"dims": 0}, r"Unknown number of dimensions 0: .*allowed: 1, 2, 3"),
        ({"kernel_size": 2}, "Kernel size 2 is even: choose an odd one"),
        ({"kernel_size": (3, 3, 3)}, r"Kernel size \(3, 3, 3\) does not fit: give one positive integer, or 2 of them"),
        ({"stride": 0}, "Stride 0 does not fit: give one positive integer, or 2 of them"),
        ({"dilation": 1.5}, "Dilation 1.5 does not fit: give one positive integer, or 2 of them"),
        ({"mode": "stages"}, r"Unknown mode 'stages': did you mean 'stage'\?"),
        ({"order": "norm-conv-act"}, r"Unknown order 'norm-conv-act': did you mean '.*-.*-.*'\?"),
        ({"split_order": "offical"}, r"Unknown split order 'offical': did you mean 'official'\?"),
        ({"pass_through": "pooling"}, r"Unknown pass-through 'pooling': did you mean 'pool'\?"),
        ({"padding_mode": "zeroes"}, r"Unknown padding mode 'zeroes': did you mean 'zeros'\?"),
        ({"norm": "batchnorm"}, r"Unknown normalisation 'batchnorm': did you mean 'batch'\?"),
        ({"act": "rleu"}, r"Unknown activation 'rleu': did you mean 'relu'\?"),
        ({"stride": 2}, "Stride 2 does not fit the hierarchical mode, which adds splits: use mode='stage'"),
        ({"stride": (1, 2)}, r"Stride \(1, 2\) does not fit the hierarchical mode"),
        (
            {"stride": 2, "mode": "stage", "pass_through": "identity"},
            "Stride 2 does not fit pass_through='identity': use 'pool' or 'conv'",
        ),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(InputError, match=message) as caught:
        Res2Conv(**{"width": 4, **options})
    assert "\n" not in str(caught.value)
