"""Every model that timm has too computes the same numbers, bit by bit, and learns the same."""

import re

import pytest
import timm
import torch

from res2net.backbones.from_timm import TimmBackbone
from res2net.backbones.registry import build, variant, variant_names

# Some are timm's own networks, whose tests are in test_timm_backbones.py.
NAMES = [name for name in variant_names() if timm.is_model(name) and variant(name).build is not TimmBackbone]


def deep_ones_slow(names):
    """The deep networks repeat the blocks of the others: they are for the long run."""
    deep = re.compile(r"\D(101|152|200)")
    return [pytest.param(name, marks=pytest.mark.slow if deep.search(name) else ()) for name in names]


FIRST = ("res2net50_26w_4s", "res2next50", "res2net50d", "seresnet50", "dla60_res2net")
"""One of each kind of block; what is tried of these alone is tried of all in the long run."""
ONE_OF_EACH = [pytest.param(name, marks=() if name in FIRST else pytest.mark.slow) for name in NAMES]


def side(name, odd):
    """Of an image: DLA's poolings drop incomplete windows in timm, so that it takes multiples of 32 only."""
    return -(-odd // 32) * 32 if name.startswith("dla") else odd


def pair(alike, name, **options):
    """Ours and timm's, in evaluation, with the same weights."""
    theirs = {"in_channels": "in_chans"}
    with torch.device("meta"):
        ours = build(name, **options)
        reference = timm.create_model(name, **{theirs.get(option, option): value for option, value in options.items()})
    alike(ours, reference)
    return ours.eval(), reference.eval()


def assert_identical(a, b):
    assert a.shape == b.shape
    assert a.isfinite().all()
    assert a.std() > 0.01
    assert (a - b).abs().max() == 0


def test_the_published_models_are_among_them():
    widths_and_scales = ("48w_2s", "26w_4s", "14w_8s", "26w_6s", "26w_8s")
    others = {"res2net101_26w_4s", "res2next50", "res2net50d", "res2net101d", "dla60_res2net", "dla60_res2next"}
    assert {f"res2net50_{name}" for name in widths_and_scales} | others <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_of_weights(name):
    with torch.device("meta"):
        ours, reference = build(name).state_dict(), timm.create_model(name).state_dict()
    assert {key: t.shape for key, t in ours.items()} == {key: t.shape for key, t in reference.items()}


@pytest.mark.parametrize("name", deep_ones_slow(NAMES))
def test_logits_and_gradients(alike, name):
    ours, reference = pair(alike, name, num_classes=10)
    x = torch.randn(2, 3, 64, 64)
    logits, expected = ours(x), reference(x)
    assert_identical(logits, expected)
    gradients = torch.autograd.grad(logits.square().sum(), list(ours.parameters()))
    names = [name for name, _ in ours.named_parameters()]
    expected_gradients = torch.autograd.grad(expected.square().sum(), [reference.get_parameter(n) for n in names])
    for gradient, right in zip(gradients, expected_gradients, strict=True):
        assert (gradient - right).norm() <= 1e-6 * right.norm()
        assert right.norm() > 0


@pytest.mark.parametrize("name", [FIRST[0], *(pytest.param(name, marks=pytest.mark.slow) for name in FIRST[1:])])
def test_a_step_of_training(alike, name):
    ours, reference = pair(alike, name, num_classes=10)
    # Their weights are the same tensors, but statistics are to change in each.
    reference.load_state_dict({key: t.clone() for key, t in ours.state_dict().items()}, assign=True)
    x = torch.randn(4, 3, 64, 64)
    assert_identical(ours.train()(x), reference.train()(x))
    for key, tensor in reference.state_dict().items():
        assert torch.equal(ours.state_dict()[key], tensor), key


@pytest.mark.parametrize("name", [one for one in ONE_OF_EACH if not one.values[0].startswith("dla")])
@pytest.mark.parametrize("output_stride", [8, 16])
@torch.no_grad()
def test_output_strides(alike, name, output_stride):
    ours, reference = pair(alike, name, num_classes=10, output_stride=output_stride)
    x = torch.randn(1, 3, 65, 47)
    assert_identical(ours(x), reference(x))
    assert ours.features(x)[-1].shape[2:] == (-(-65 // output_stride), -(-47 // output_stride))


@pytest.mark.parametrize("name", ONE_OF_EACH)
@pytest.mark.parametrize("in_channels", [1, 5])
@torch.no_grad()
def test_channels_of_the_image(alike, name, in_channels):
    ours, reference = pair(alike, name, num_classes=10, in_channels=in_channels)
    x = torch.randn(1, in_channels, side(name, 33), side(name, 33))
    assert_identical(ours(x), reference(x))


@pytest.mark.parametrize("name", ONE_OF_EACH)
@torch.no_grad()
def test_pyramids_of_features(alike, name):
    """Both begin with the stem at stride 2."""
    with torch.device("meta"):
        ours, reference = build(name), timm.create_model(name, features_only=True)
    alike(ours, reference)
    x = torch.randn(1, 3, side(name, 65), side(name, 47))
    pyramid, expected = ours.eval().features(x), reference.eval()(x)
    for feature, right, stage in zip(pyramid, expected, ours.stages, strict=True):
        assert_identical(feature, right)
        assert feature.shape[1] == stage.channels
    assert [stage.channels for stage in ours.stages] == reference.feature_info.channels()
    assert [stage.stride for stage in ours.stages] == reference.feature_info.reduction()
