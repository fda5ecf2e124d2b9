"""The residual bottleneck, against torchvision's and a loop written from the published code."""

import copy
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models.resnet import Bottleneck

from res2net.errors import InputError
from res2net.kernels import SplitOrder
from res2net.nn import Res2Bottleneck, initialise, shortcut_layers
from res2net.nn.layers import NormName
from res2net.nn.res2conv import Mode, PassThrough

SMALL = {"base_width": 32, "scale": 4}
"""Splits of `planes // 2` channels."""


def official(block, x):
    """The forward of the published code: bottleneck with the last split pooled or passed."""
    first = isinstance(block.downsample, nn.Sequential)
    splits = F.relu(block.bn1(block.conv1(x))).chunk(block.scale, 1)
    outputs = []
    for i, (conv, norm) in enumerate(zip(block.convs, block.bns, strict=True)):
        added = splits[i] if first or not outputs else outputs[-1] + splits[i]
        outputs.append(F.relu(norm(conv(added))))
    stride = block.convs[0].stride
    last = F.avg_pool2d(splits[-1], 3, stride, 1) if first else splits[-1]
    return F.relu(block.bn3(block.conv3(torch.cat([*outputs, last], 1))) + block.downsample(x))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_hierarchical_block_is_the_published_one(lively, scale, training):
    block = lively(Res2Bottleneck(32, 8, base_width=32, scale=scale)).train(training)
    x = torch.randn(2, 32, 6, 7, dtype=torch.double)
    expected = official(copy.deepcopy(block), x)
    torch.testing.assert_close(block(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_stage_block_is_the_published_one(lively, stride):
    shortcut = shortcut_layers("conv", 16, 32, stride=stride)
    block = lively(Res2Bottleneck(16, 8, **SMALL, mode="stage", stride=stride, downsample=shortcut)).eval()
    x = torch.randn(2, 16, 6, 7, dtype=torch.double)
    torch.testing.assert_close(block(x), official(block, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("groups", "base_width"), [(1, 64), (8, 16)])
@pytest.mark.parametrize("stride", [1, 2])
def test_scale_1_is_torchvisions_bottleneck(lively, stride, groups, base_width):
    def shortcut():
        return None if stride == 1 else nn.Sequential(nn.Conv2d(64, 64, 1, stride, bias=False), nn.BatchNorm2d(64))

    options = {"base_width": base_width, "stride": stride}
    reference = lively(Bottleneck(64, 16, downsample=shortcut(), groups=groups, **options))
    block = Res2Bottleneck(64, 16, scale=1, downsample=shortcut(), cardinality=groups, **options).double()
    block.load_state_dict(reference.state_dict())
    x = torch.randn(2, 64, 7, 8, dtype=torch.double)
    for training in (True, False):
        assert torch.equal(block.train(training)(x), reference.train(training)(x))
    for name, tensor in reference.state_dict().items():
        assert torch.equal(block.state_dict()[name], tensor)


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_official_and_paper_order_are_one_function_of_permuted_weights(lively, dims, scale, mode):
    options = {"base_width": 32, "scale": scale, "dims": dims, "mode": mode}
    block = lively(Res2Bottleneck(32, 8, **options)).eval()
    paper = Res2Bottleneck(32, 8, **options, split_order="paper").double().eval()
    weights = block.state_dict()
    for name, tensor in weights.items():
        if name.startswith(("conv1.", "bn1.")) and tensor.ndim:
            weights[name] = tensor.roll(block.width, 0)
    weights["conv3.weight"] = weights["conv3.weight"].roll(block.width, 1)
    paper.load_state_dict(weights)
    x = torch.randn(2, 32, *(5, 6, 4)[:dims], dtype=torch.double)
    torch.testing.assert_close(paper(x), block(x), rtol=1e-12, atol=1e-12)
    paper.load_state_dict(block.state_dict())
    assert not torch.allclose(paper(x), block(x))


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({}, 26),
        ({"planes": 512}, 208),
        ({"base_width": 14, "scale": 8, "planes": 128}, 28),
        ({"base_width": 4, "cardinality": 8}, 32),
        ({"base_width": 26, "planes": 32}, 13),
        ({"base_width": 4, "cardinality": 32, "planes": 24}, 32),
    ],
)
def test_the_width_is_rounded_down_before_it_is_multiplied_by_the_groups(options, width):
    block = Res2Bottleneck(64, **{"planes": 64, **options})
    assert block.width == width
    assert block.conv1.out_channels == width * block.scale
    assert block.out_channels == block.conv3.out_channels == 4 * options.get("planes", 64)


def test_the_expansion_is_an_option():
    assert Res2Bottleneck(16, 8, **SMALL, expansion=2)(torch.randn(1, 16, 4, 4)).shape == (1, 16, 4, 4)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_names_of_weights_are_the_official_ones(scale):
    block = Res2Bottleneck(32, 8, base_width=32, scale=scale, se_reduction=16, downsample=nn.Conv2d(32, 32, 1))
    middle = {"conv2", "bn2"} if scale == 1 else {f"{kind}.{i}" for kind in ("convs", "bns") for i in range(scale - 1)}
    names = {name.rsplit(".", 1)[0] for name in block.state_dict()}
    assert names == middle | {"conv1", "bn1", "conv3", "bn3", "se.fc1", "se.fc2", "downsample"}


def test_the_gate_comes_before_the_addition():
    block = Res2Bottleneck(32, 8, **SMALL, se_reduction=2).eval()
    for layer in (block.se.fc1, block.se.fc2):
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, 0)
    plain = Res2Bottleneck(32, 8, **SMALL).eval()
    plain.load_state_dict({name: t for name, t in block.state_dict().items() if not name.startswith("se.")})
    nn.init.constant_(plain.bn3.weight, 0.5)  # a gate of zeros halves the branch
    x = torch.randn(2, 32, 5, 5)
    torch.testing.assert_close(block(x), plain(x))


def test_a_dropped_branch_leaves_the_shortcut_and_the_others_are_scaled_up():
    torch.manual_seed(0)
    block = Res2Bottleneck(32, 8, **SMALL, drop_path=0.25, norm="group")
    x = torch.randn(64, 32, 3, 3)
    y, shortcut = block(x), F.relu(x)
    dropped = torch.tensor([torch.equal(*pair) for pair in zip(y, shortcut, strict=True)])
    assert 4 < dropped.sum() < 32
    branch = block.eval().bn3(block.conv3(super(Res2Bottleneck, block).forward(F.relu(block.bn1(block.conv1(x))))))
    torch.testing.assert_close(y[~dropped], F.relu(x + branch / 0.75)[~dropped])
    torch.testing.assert_close(block(x), F.relu(x + branch))


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("options", [{}, {"se_reduction": 4}, {"drop_path": 0.5}, {"scale": 1}])
def test_the_input_is_left_alone(norm, options):
    block = Res2Bottleneck(32, 8, **SMALL | {"norm": norm} | options)
    x = torch.randn(2, 32, 5, 5)
    before = x.clone()
    for training in (True, False):
        block.train(training)(x)
        assert torch.equal(x, before)


@st.composite
def blocks(draw):
    dims = draw(st.integers(1, 3))
    mode, stride = draw(st.sampled_from([("hierarchical", 1), ("stage", 1), ("stage", 2)]))
    planes = draw(st.sampled_from([4, 6, 8]))
    pass_through = draw(st.sampled_from([None, "pool", "conv"] if stride > 1 else [None, *get_args(PassThrough)]))
    expansion = draw(st.integers(1, 4))
    shortcut = shortcut_layers("conv", 5, planes * expansion, stride=stride, dims=dims)
    return Res2Bottleneck(
        5,
        planes,
        base_width=draw(st.sampled_from([16, 26, 64])),
        scale=draw(st.integers(1, 5)),
        cardinality=draw(st.integers(1, 3)),
        expansion=expansion,
        downsample=shortcut,
        se_reduction=draw(st.sampled_from([None, 1, 16])),
        drop_path=draw(st.sampled_from([0.0, 0.1])),
        norm=draw(st.sampled_from(get_args(NormName))),
        dims=dims,
        kernel_size=draw(st.sampled_from([3, 5])),
        stride=stride,
        dilation=draw(st.integers(1, 2)),
        mode=mode,
        split_order=draw(st.sampled_from(get_args(SplitOrder))),
        pass_through=pass_through,
        pool_counts_padding=draw(st.booleans()),
    )


@given(blocks(), st.tuples(*[st.integers(4, 7)] * 3))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_size_is_divided_by_the_stride_and_every_weight_learns(block, size):
    x = torch.randn(2, 5, *size[: block.dims])
    y = block(x)
    assert y.shape == (2, block.out_channels, *(-(-side // block.stride) for side in size[: block.dims]))
    (y * torch.randn_like(y)).sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in block.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"planes": 2}, "Base width 26 leaves no channel at 2 planes: choose at least 32"),
        ({"planes": 0}, "Planes 0 does not fit: give a positive integer"),
        ({"in_channels": 0}, "Input channels 0 does not fit: give a positive integer"),
        ({"base_width": 6.5}, "Base width 6.5 does not fit: give a positive integer"),
        ({"expansion": 0}, "Output channels 0 does not fit: give a positive integer"),
        ({"cardinality": "8"}, "Cardinality '8' does not fit: give a positive integer"),
        ({"se_reduction": 0}, "Reduction 0 does not fit: give a positive integer"),
        ({"drop_path": 1.0}, "Drop path 1.0 does not fit: give a probability"),
        ({"drop_path": -0.1}, "Drop path -0.1 does not fit: give a probability"),
        ({"stride": 2}, "Stride 2 does not fit the hierarchical mode"),
        ({"norm": "bn"}, "Unknown normalisation 'bn'"),
        ({"act": "swish"}, "Unknown activation 'swish'"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(InputError, match=message) as caught:
        Res2Bottleneck(**{"in_channels": 32, "planes": 8, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("zero_init_last", [True, False])
def test_initial_weights(zero_init_last, dims):
    torch.manual_seed(0)
    block = Res2Bottleneck(256, 64, base_width=64, scale=4, dims=dims)
    initialise(block, zero_init_last=zero_init_last)
    for conv in (block.conv1, block.conv3, *block.convs):
        fan_out = conv.weight[:, 0].numel()
        assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)
    for norm in (block.bn1, *block.bns):
        assert norm.weight.min() == 1
        assert norm.bias.abs().max() == 0
    assert block.bn3.weight.max() == (0 if zero_init_last else 1)


def test_without_normalisation_nothing_starts_at_zero():
    block = Res2Bottleneck(32, 8, **SMALL, norm="none")
    initialise(block, zero_init_last=True)
    assert all(tensor.abs().sum() > 0 for tensor in block.parameters())


@pytest.mark.parametrize("options", [SMALL, SMALL | {"mode": "stage"}, {"scale": 1}, SMALL | {"se_reduction": 4}])
def test_it_can_be_copied_compiled_and_exported(options):
    block = Res2Bottleneck(32, 8, **options).eval()
    x = torch.randn(2, 32, 6, 6)
    with torch.no_grad():
        expected = block(x)
        copied = copy.deepcopy(block)
        assert torch.equal(copied(x), expected)
        assert all(a is not b for a, b in zip(copied.parameters(), block.parameters(), strict=True))
        assert torch.equal(torch.compile(block, backend="eager", fullgraph=True)(x), expected)
        exported = torch.export.export(block, (x,)).module()
        torch.testing.assert_close(exported(x), expected)
