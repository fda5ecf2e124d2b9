"""Receptive fields: theory against gradients, position by position."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from res2net.backbones.registry import build
from res2net.backbones.resnet import ResNet
from res2net.errors import InputError
from res2net.measure import ReceptiveField, receptive_field, split_fields, stage_fields
from res2net.nn import Res2Bottleneck, Res2Conv, SqueezeExcitation


def positive(module):
    """A copy in double precision and evaluation that loses no path: positive weights, averages instead of maxima."""
    module = copy.deepcopy(module).double().eval()
    for name, child in list(module.named_modules()):
        if isinstance(child, nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d):
            average = getattr(nn, type(child).__name__.replace("Max", "Avg"))
            module.set_submodule(name, average(child.kernel_size, stride=child.stride, padding=child.padding))
    with torch.no_grad():
        for child in module.modules():
            if isinstance(child, nn.Conv1d | nn.Conv2d | nn.Conv3d):
                child.weight.uniform_(0.5, 1.5).div_(child.weight[0].numel())
            elif isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                child.weight.uniform_(0.5, 1.5)
    return module


def assert_sees(output, x, field, axis=-1):
    """The central position of `output` has a gradient exactly from the first to the last position of `field`."""
    centre = tuple(size // 2 for size in output.shape[2:])
    (gradient,) = torch.autograd.grad(output[(0, slice(None), *centre)].sum(), x, retain_graph=True)
    others = tuple(d for d in range(x.ndim) if d != x.ndim + axis)
    seen = gradient.abs().sum(others).nonzero().flatten()
    shift = centre[axis] * field.stride
    expected = (field.first + shift, field.last + shift)
    assert expected[0] > 0, "the image is too small for the test"
    assert expected[1] < x.shape[axis] - 1, "the image is too small for the test"
    assert (seen.min().item(), seen.max().item()) == expected


def ones(channels, *size):
    return torch.ones(1, channels, *size, dtype=torch.float64, requires_grad=True)


STACKS = {
    "one convolution": [nn.Conv2d(1, 2, 3, padding=1)],
    "convolutions with strides": [
        nn.Conv2d(1, 2, 7, stride=2, padding=3),
        nn.Conv2d(2, 2, 3, stride=2, padding=1),
        nn.Conv2d(2, 2, 3, padding=1),
    ],
    "dilation": [nn.Conv2d(1, 2, 3, padding=4, dilation=4), nn.Conv2d(2, 2, 5, padding=2, groups=2)],
    "no padding": [nn.Conv2d(1, 2, 4), nn.AvgPool2d(2), nn.Conv2d(2, 2, 3, padding="valid")],
    "padding by name": [nn.Conv2d(1, 2, 4, padding="same", dilation=3), nn.Conv2d(2, 2, 3, padding="same")],
    "even windows": [nn.AvgPool2d(2), nn.Conv2d(1, 1, 2, stride=3), nn.AvgPool2d(4, stride=1)],
    "pooling": [nn.MaxPool2d(3, stride=2, padding=1), nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True)],
    "layers of one position": [nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.GELU(), nn.Dropout(), nn.Identity()],
    "nested": [nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(2, 1, 3, stride=2)))],
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("name", STACKS)
def test_stacks_of_layers(name):
    x = ones(1, 61, 61)
    model = positive(nn.Sequential(*STACKS[name]))
    assert_sees(model(x), x, receptive_field(*STACKS[name]))


def test_pooling_to_the_maximum_with_dilation():
    field = receptive_field(nn.MaxPool2d(3, stride=1, padding=2, dilation=2))
    assert field == ReceptiveField(-2, 2, smallest=5)


@pytest.mark.parametrize("axis", [-1, -2, -3])
def test_axes_have_fields_of_their_own(axis):
    model = nn.Sequential(
        nn.Conv3d(1, 2, (1, 3, 5), padding=(0, 1, 2), stride=(1, 2, 1)), nn.Conv3d(2, 1, (3, 3, 1), dilation=(2, 1, 1))
    )
    x = ones(1, 15, 16, 17)
    assert_sees(positive(model)(x), x, receptive_field(model, axis=axis), axis)


BOTTLENECK = {"base_width": 64, "scale": 4}
BLOCKS = {
    "Res2Conv": (8, Res2Conv(2, scale=4)),
    "Res2Conv, paper": (10, Res2Conv(2, scale=5, split_order="paper", dilation=2)),
    "Res2Conv, first version": (6, Res2Conv(2, scale=3, split_order="arxiv-v1", kernel_size=(5, 3))),
    "Res2Conv, stage": (8, Res2Conv(2, scale=4, mode="stage", stride=2)),
    "Res2Conv, stage of identity": (8, Res2Conv(2, scale=4, mode="stage", pass_through="identity")),
    "Res2Conv, all convolved": (8, Res2Conv(2, scale=4, pass_through="conv")),
    "Res2Conv, one split": (2, Res2Conv(2, scale=1, stride=2)),
    "bottleneck": (8, Res2Bottleneck(8, 2, **BOTTLENECK)),
    "bottleneck of a stage": (
        4,
        Res2Bottleneck(4, 2, **BOTTLENECK, mode="stage", stride=2, downsample=nn.Conv2d(4, 8, 1, stride=2)),
    ),
    "bottleneck, shortcut sees more": (
        4,
        Res2Bottleneck(4, 2, **BOTTLENECK, downsample=nn.Conv2d(4, 8, 21, padding=10)),
    ),
}


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("name", BLOCKS)
def test_blocks(name, axis):
    channels, block = BLOCKS[name]
    x = ones(channels, 33, 33)
    assert_sees(positive(block)(x), x, receptive_field(block, axis=axis), axis)


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({}, [3, 5, 7, 1]),
        ({"split_order": "paper"}, [1, 3, 5, 7]),
        ({"split_order": "arxiv-v1"}, [1, 3, 5, 7]),
        ({"mode": "stage"}, [3, 3, 3, 3]),
        ({"mode": "stage", "stride": 2, "split_order": "paper"}, [3, 3, 3, 3]),
        ({"mode": "stage", "pass_through": "identity"}, [3, 3, 3, 1]),
        ({"pass_through": "conv"}, [3, 5, 7, 9]),
        ({"pass_through": "pool"}, [3, 5, 7, 3]),
        ({"dilation": 2}, [5, 9, 13, 1]),
        ({"scale": 8}, [3, 5, 7, 9, 11, 13, 15, 1]),
        ({"scale": 2, "kernel_size": 5}, [5, 1]),
        ({"scale": 1}, [3]),
    ],
)
def test_splits_have_seen_more_and_more(options, fields):
    assert split_fields(Res2Conv(2, **options)) == fields


def test_splits_of_a_bottleneck_are_those_of_its_res2_convolution():
    block = Res2Bottleneck(8, 2, **BOTTLENECK, kernel_size=(3, 5))
    assert split_fields(block) == [5, 9, 13, 1]
    assert split_fields(block, axis=-2) == [3, 5, 7, 1]


TINY = {"channels": (2, 2, 2, 2), "stem_channels": 4, "base_width": 32}
NETWORKS = {
    "resnet": ("resnet26", TINY | {"layers": (1, 2, 1, 1)}, 300),
    "resnet-d": ("resnet26d", TINY | {"layers": (1, 2, 1, 1)}, 300),
    "res2net": ("res2net26_26w_4s", TINY | {"layers": (2, 1, 2, 1)}, 450),
    "res2net, dilated": ("res2net50d", TINY | {"layers": (1, 1, 2, 2), "output_stride": 8}, 400),
    "res2net with gates": ("seres2net50_26w_4s", TINY | {"layers": (1, 1, 1, 1)}, 200),
    "res2net for small images": ("cifar_res2next29_6c24w_4s", {"cardinality": 1, "base_width": 1}, 100),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_stages_of_networks(name):
    variant, options, size = NETWORKS[name]
    # A gate's average sees everything, which is not counted: it is left out.
    model = build(variant, num_classes=0, **options | {"se_reduction": None})
    x = ones(3, size, size)
    pyramid, fields = positive(model).features(x), stage_fields(build(variant, **options))
    assert [field.stride for field in fields] == [stage.stride for stage in model.stages]
    for output, field in zip(pyramid, fields, strict=True):
        assert_sees(output, x, field)
    assert receptive_field(model) == fields[-1]


@pytest.mark.parametrize(("dims", "size"), [(1, (260,)), (3, (70, 70, 70))])
def test_stages_of_networks_in_other_dimensions(dims, size):
    layers = (2, 1, 2) if dims == 1 else (1,)
    model = ResNet(layers, channels=(2,) * len(layers), dims=dims, stem_channels=4, scale=4, base_width=32)
    x = ones(3, *size)
    for output, field in zip(positive(model).features(x), stage_fields(model), strict=True):
        assert_sees(output, x, field)


def test_the_field_of_resnet_50():
    """Its strides are in the 3x3 convolutions; with them in the 1x1 it would be 483 (Araujo et al., 2019)."""
    assert [field.largest for field in stage_fields(build("resnet50"))] == [7, 35, 91, 267, 427]


@pytest.mark.parametrize(
    ("modules", "smallest"),
    [
        ([nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3, stride=2), nn.Conv2d(1, 1, 3)], 9),
        ([Res2Conv(2)], 1),
        ([Res2Conv(2, mode="stage")], 3),
        ([nn.Conv2d(1, 1, 3, stride=2), Res2Conv(2, pass_through="conv", kernel_size=5)], 11),
        ([nn.Conv2d(1, 1, 3), Res2Bottleneck(8, 2, **BOTTLENECK, pass_through="conv")], 3),
    ],
)
def test_the_smallest_view_is_that_of_the_shortest_path(modules, smallest):
    assert receptive_field(*modules).smallest == smallest


def test_what_sees_everything_is_not_counted():
    modules = [nn.Conv2d(8, 8, 3), SqueezeExcitation(8), nn.GroupNorm(2, 8), nn.AdaptiveAvgPool2d(1)]
    assert receptive_field(*modules) == receptive_field(modules[0])


def test_no_modules_see_one_position():
    assert receptive_field() == ReceptiveField()
    assert receptive_field().largest == 1


def test_a_backbone_is_known_by_its_stages():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, stride=2)

        def features(self, x):
            first = self.first(x).relu()
            return [first, self.second(first)]

    assert [field.largest for field in stage_fields(Own())] == [3, 5]
    assert receptive_field(Own(), nn.Conv2d(4, 4, 3)).largest == 9


class AnyCode(nn.Module):
    """Functions between the layers: pooling, a gate, padding, concatenation, enlarging, a shuffle of channels."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, (3, 5), stride=2, padding=(1, 2)), nn.Conv2d(4, 4, 3, dilation=2)
        self.gate = nn.Conv2d(4, 4, 1)
        self.up = nn.ConvTranspose2d(4, 4, 4, stride=2, padding=1)
        self.conv3, self.conv4 = nn.Conv2d(8, 4, 3, padding=1), nn.Conv2d(4, 2, 3, stride=2)

    def forward(self, x):
        fine = F.relu(self.conv1(x))
        low = F.avg_pool2d(fine, 2)
        low = self.conv2(F.pad(low, (1, 3, 2, 2)))
        low = low * self.gate(low.mean((2, 3), keepdim=True)).sigmoid()
        high = self.up(low)
        nearest = F.interpolate(low, scale_factor=2, mode="nearest")
        x = self.conv3(torch.cat((fine, high + nearest), 1))
        n, c, h, w = x.shape
        return self.conv4(x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w))


@pytest.mark.parametrize("axis", [-1, -2])
def test_modules_of_any_code(axis):
    model = AnyCode()
    with torch.no_grad():
        model.gate.weight.zero_()  # what a global average sees is not counted
    x = ones(2, 64, 64)
    model = positive(model)
    with torch.no_grad():
        model.gate.weight.zero_()
        model.up.weight.uniform_(0.5, 1.5)
    field = receptive_field(AnyCode(), axis=axis)
    assert field.stride == 4
    assert_sees(model(x), x, field, axis)


def test_turns_behind_an_enlarged_map():
    """Each position of four sees another way around itself."""
    model = nn.Sequential(nn.Conv2d(1, 1, 3, stride=4, padding=1), nn.Upsample(scale_factor=4), nn.Conv2d(1, 1, 3))

    class Container(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = model

        def forward(self, x):
            return self.layers(x)

    field = receptive_field(Container())
    assert field.stride == 1
    assert len(field.phases) == 4
    x = ones(1, 48, 48)
    output = positive(model)(x)
    for place in range(16, 24):
        (gradient,) = torch.autograd.grad(output[0, 0, 20, place], x, retain_graph=True)
        seen = gradient.sum((0, 1, 2)).nonzero().flatten()
        assert (seen.min().item(), seen.max().item()) == field.at(place)
    assert field.largest == 7
    assert field.paths == {3 + 2: 1}  # 3, and two positions of the larger map further


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x: x.flip(3),
            r"receptive field of 'flip' is not known: the receptive field of this function is not registered",
        ),
        (lambda x: x.softmax(3), "of 'softmax' is not known"),
        (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), "of 'interpolate' is not known"),
        (lambda x: F.interpolate(x, scale_factor=2), "behind an upsampling by 2 is not known"),
        (lambda x: x.permute(0, 2, 3, 1), "of 'permute' is not known"),
        (lambda x: x[..., :40], "of '__getitem__' is not known"),
        (lambda x: x + F.avg_pool2d(x, 2).sum() + F.interpolate(F.avg_pool2d(x, 2), x.shape[2:]).flip(2), "'flip'"),
        (lambda x: F.linear(x, torch.ones(3, 3)), "does not take"),
    ],
)
def test_functions_that_are_not_known(function, message):
    class Container(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return function(self.conv(x))

    with pytest.raises(InputError, match=message) as caught:
        receptive_field(Container())
    assert "\n" not in str(caught.value)


def test_unknown_containers():
    class Mystery(nn.Module):
        pass

    with pytest.raises(
        InputError, match=r"receptive field of a Mystery is not known: it has no layer of a known type; give"
    ):
        receptive_field(nn.Conv2d(3, 4, 3), nn.Sequential(Mystery()))
    with pytest.raises(InputError, match=r"A Mystery has no stages: give a backbone"):
        stage_fields(Mystery())
