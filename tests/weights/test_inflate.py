"""Weights for images made into weights for volumes."""

import pytest
import torch
import torch.nn.functional as F

from res2net.backbones.registry import build
from res2net.errors import InputError
from res2net.measure import stage_fields
from res2net.weights import inflate

# Small, but with all that a ResNet can have but squeeze-and-excitation.
SMALL = {"layers": (1, 2), "channels": (8, 16), "stem_channels": 8, "base_width": 32, "num_classes": 5}
DEPTH = 120


def pair(dims=2, **options):
    """A network, whose normalisations do something, and the inflated one with one dimension more, in evaluation."""
    torch.manual_seed(0)
    flat = build("res2net26_26w_4s", dims=dims, **{**SMALL, **options}, zero_init_last=False).eval()
    for name, tensor in flat.state_dict().items():
        if "bn" in name and tensor.is_floating_point():
            tensor.add_(torch.rand_like(tensor) * 0.5)
    deep = build("res2net26_26w_4s", dims=dims + 1, **{**SMALL, **options}).eval()
    deep.load_state_dict(inflate(flat.state_dict(), deep))
    return flat, deep


def inside(field, depth, positions):
    """The positions of a stage whose receptive field lies inside a volume of that depth."""
    return [
        index
        for index in range(positions)
        if field.first + index * field.stride >= 0 and field.last + index * field.stride < depth
    ]


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize(
    "options",
    [{"stem": "conv3"}, {"stem": "conv7"}, {"stem": "deep", "shortcut": "avg_pool"}, {"cardinality": 2}],
    ids=lambda options: "-".join(map(str, options.values())),
)
@torch.no_grad()
def test_where_no_border_is_seen_the_features_are_those_of_the_image(dims, options):
    flat, deep = pair(dims, **options)
    x = torch.randn(2, 3, *(17, 14)[:dims])
    volume = x.unsqueeze(2).repeat(1, 1, DEPTH, *(1,) * dims)
    for expected, feature, field in zip(
        flat.features(x), deep.features(volume), stage_fields(deep, axis=0), strict=True
    ):
        same = inside(field, DEPTH, feature.shape[2])
        assert 0 < len(same) < feature.shape[2]
        for index in same:
            torch.testing.assert_close(feature[:, :, index], expected, rtol=1e-4, atol=1e-4)
        assert (feature[:, :, 0] - expected).abs().max() > 1e-2, "zeros lie before the first position"


@torch.no_grad()
def test_a_network_without_depth_computes_the_same_everywhere():
    """A volume of depth 1 and kernels of depth 1: nothing is repeated."""
    conv = torch.nn.Conv3d(3, 4, (1, 3, 3), padding=(0, 1, 1))
    flat = torch.nn.Conv2d(3, 4, 3, padding=1)
    conv.load_state_dict(inflate(flat.state_dict(), conv))
    x = torch.randn(1, 3, 9, 8)
    torch.testing.assert_close(conv(x.unsqueeze(2))[:, :, 0], flat(x))


@torch.no_grad()
def test_a_convolution_whose_border_is_replicated_computes_the_same_everywhere():
    flat, deep = torch.nn.Conv2d(3, 4, 3, bias=True), torch.nn.Conv3d(3, 4, (5, 3, 3))
    deep.load_state_dict(inflate(flat.state_dict(), deep))
    x = torch.randn(1, 3, 9, 8)
    volume = F.pad(x.unsqueeze(2).repeat(1, 1, 6, 1, 1), (0, 0, 0, 0, 2, 2), mode="replicate")
    expected = flat(x).unsqueeze(2).expand(-1, -1, 6, -1, -1)
    torch.testing.assert_close(deep(volume), expected)


def test_kernels_are_repeated_and_divided_and_all_else_is_kept():
    flat, deep = pair()
    tensors = flat.state_dict()
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    inflated = inflate(tensors, deep)
    assert list(inflated) == list(deep.state_dict())
    for name, tensor in inflated.items():
        assert torch.equal(tensors[name], before[name])
        if tensor.ndim == 5:
            assert tensor.shape[2] in (1, 3, 7)
            torch.testing.assert_close(tensor.sum(2), tensors[name])
            assert torch.equal(tensor, tensor[:, :, :1].expand_as(tensor))
        else:
            assert tensor is tensors[name]


def test_the_named_network_takes_the_weights_of_res2net50():
    with torch.device("meta"):
        flat, deep = build("res2net50_26w_4s"), build("res2net3d50_26w_4s")
    inflated = inflate(flat.state_dict(), deep)
    assert {name: t.shape for name, t in inflated.items()} == {name: t.shape for name, t in deep.state_dict().items()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 7}, r"fc.weight has shape \(5, 64\), which cannot be repeated along one axis to \(7, 64\)"),
        (
            {"in_channels": 1},
            r"conv1.weight has shape \(8, 3, 7, 7\), which cannot be repeated along one axis to \(8, 1, 7, 7, 7\)",
        ),
        ({"layers": (2, 2)}, r"The weights lack \d+ of the model's tensors \(such as layer1.1.convs.0.weight\)"),
        ({"layers": (1, 1)}, r"The weights have \d+ unexpected tensors \(such as layer2.1.convs.0.weight\)"),
        ({"num_classes": 0}, r"The weights have 2 unexpected tensors \(such as fc.weight\)"),
    ],
)
def test_other_networks_are_refused(options, message):
    flat, _ = pair()
    deep = build("res2net26_26w_4s", dims=3, **{**SMALL, **options})
    with pytest.raises(InputError, match=message) as caught:
        inflate(flat.state_dict(), deep)
    assert "\n" not in str(caught.value)


def test_weights_of_a_volume_are_no_weights_of_a_image():
    flat, deep = pair()
    with pytest.raises(InputError, match=r"conv1.weight has shape .* which cannot be repeated along one axis to"):
        inflate(deep.state_dict(), flat)
