"""Res2NetPlus: the same network with the normalisation after the activation, which is Mish."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from res2net.backbones.registry import build
from res2net.errors import InputError
from res2net.measure import stage_fields
from res2net.nn import Res2Bottleneck, stem_layers

NAME = "res2netplus50_26w_4s"


def on_meta(name, **options):
    with torch.device("meta"):
        return build(name, **options)


def norm(x, weights, name):
    statistics = (weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *statistics)


def naive_block(x, weights, scale, stage, stride):
    """Convolution, Mish, normalisation; the last convolution without Mish, which comes after the addition."""
    y = norm(F.mish(F.conv2d(x, weights["conv1.weight"])), weights, "bn1")
    *splits, last = y.chunk(scale, 1)
    outputs = []
    for index, split in enumerate(splits):
        split = split + outputs[-1] if index and not stage else split
        split = F.conv2d(split, weights[f"convs.{index}.weight"], padding=1, stride=stride)
        outputs.append(norm(F.mish(split), weights, f"bns.{index}"))
    last = F.avg_pool2d(last, 3, stride, 1) if stage else last
    y = F.conv2d(torch.cat((*outputs, last), 1), weights["conv3.weight"])
    return F.mish(norm(y, weights, "bn3") + x[:, :, ::stride, ::stride])


@pytest.mark.parametrize(("mode", "stride"), [("hierarchical", 1), ("stage", 1), ("stage", 2)])
def test_a_block(alike, mode, stride):
    shortcut = nn.AvgPool2d(1, stride)
    with torch.device("meta"):
        block = Res2Bottleneck(
            32, 8, base_width=32, act="mish", order="conv-act-norm", mode=mode, stride=stride, downsample=shortcut
        ).eval()
    alike(block)
    x = torch.randn(2, 32, 9, 8)
    expected = naive_block(x, block.state_dict(), 4, mode == "stage", stride)
    torch.testing.assert_close(block(x.clone()), expected)


def test_a_plain_block(alike):
    with torch.device("meta"):
        block = Res2Bottleneck(32, 8, base_width=64, scale=1, act="mish", order="conv-act-norm").eval()
    alike(block)
    weights, x = block.state_dict(), torch.randn(2, 32, 9, 8)
    y = norm(F.mish(F.conv2d(x, weights["conv1.weight"])), weights, "bn1")
    y = norm(F.mish(F.conv2d(y, weights["conv2.weight"], padding=1)), weights, "bn2")
    expected = F.mish(norm(F.conv2d(y, weights["conv3.weight"]), weights, "bn3") + x)
    torch.testing.assert_close(block(x), expected)


def test_the_stem(alike):
    with torch.device("meta"):
        model = build(NAME, layers=(1,), channels=(8,), stem_channels=8, base_width=32).eval()
    alike(model)
    weights, x = model.state_dict(), torch.randn(2, 3, 17, 12)
    y = norm(F.mish(F.conv2d(x, weights["conv1.0.weight"], stride=2, padding=1)), weights, "conv1.2")
    y = norm(F.mish(F.conv2d(y, weights["conv1.3.weight"], padding=1)), weights, "conv1.5")
    y = norm(F.mish(F.conv2d(y, weights["conv1.6.weight"], padding=1)), weights, "bn1")
    torch.testing.assert_close(model.features(x)[0], y)


def test_it_has_the_parameters_and_the_fields_of_v1b():
    plus, v1b = on_meta(NAME), on_meta("res2net50d")
    assert sum(tensor.numel() for tensor in plus.parameters()) == 25_718_352
    assert sum(tensor.numel() for tensor in v1b.parameters()) == 25_718_352
    assert stage_fields(plus) == stage_fields(v1b)
    activations = [module for module in plus.modules() if isinstance(module, nn.Mish)]
    assert len(activations) == sum(isinstance(module, nn.ReLU) for module in v1b.modules())


def test_the_usual_order_is_the_default():
    usual, named = on_meta("res2net26_26w_4s"), on_meta("res2net26_26w_4s", order="conv-norm-act")
    assert str(usual) == str(named)
    kinds = [type(layer).__name__ for layer in stem_layers("deep", 3, 8)[0]]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]


def test_training_reaches_every_parameter():
    model = build(NAME, layers=(1, 2), channels=(8, 16), stem_channels=8, base_width=32, zero_init_last=False)
    model(torch.randn(2, 3, 33, 30)).square().sum().backward()
    assert all(tensor.grad is not None for tensor in model.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "norm-act-conv"}, "Unknown order of a block 'norm-act-conv': did you mean 'conv-norm-act'"),
        ({"order": "conv_act_norm"}, r"did you mean 'conv-act-norm'\?"),
        (
            {"act": "relu", "recompute": True},
            "Recomputing does not fit order='conv-act-norm': it needs order='conv-norm",
        ),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(InputError, match=message):
        on_meta(NAME, **options)
