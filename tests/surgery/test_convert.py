"""What `convert` puts where."""

import copy
from fnmatch import fnmatchcase

import pytest
import torch
import torchvision.models as tv
from torch import nn

import res2net
from res2net.errors import InputError
from res2net.nn import Res2Conv
from res2net.surgery import Reason

FIRST_BLOCKS = "layer?.0.conv2"


def native_name(name):
    """Of a weight of a converted torchvision ResNet, in our ResNet."""
    return name.replace(".conv2.convs", ".convs").replace(".conv2.bns", ".bns")


def test_resnet50_becomes_res2net50():
    with torch.device("meta"):
        plain = tv.resnet50()
        expected = res2net.create_model("res2net50_26w_4s")
    new, report = res2net.convert(plain, scale=4, base_width=26, stage=FIRST_BLOCKS)
    shapes = {native_name(name): tensor.shape for name, tensor in new.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in expected.state_dict().items()}
    assert report.after.parameters == 25_699_120
    assert round(report.after.macs / 1e9, 2) == 4.26


def test_a_converted_resnet_computes_what_the_res2net_does():
    torch.manual_seed(0)
    plain = tv.resnet.ResNet(tv.resnet.Bottleneck, [2, 2, 1, 1], 10)
    new, _ = res2net.convert(plain, scale=4, base_width=26, stage=FIRST_BLOCKS)
    expected = res2net.create_model("res2net50_26w_4s", layers=(2, 2, 1, 1), num_classes=10, zero_init_last=False)
    with torch.no_grad():
        for tensor in new.buffers():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5)
    expected.load_state_dict({native_name(name): tensor for name, tensor in new.state_dict().items()})
    x = torch.randn(2, 3, 65, 47)
    logits = expected.eval()(x)
    assert logits.std() > 1e-3
    torch.testing.assert_close(new.eval()(x), logits, rtol=1e-5, atol=1e-6)


def test_the_given_network_is_not_changed(bottlenecks):
    before = copy.deepcopy(bottlenecks.state_dict())
    text = str(bottlenecks)
    new, _ = res2net.convert(bottlenecks)
    assert str(bottlenecks) == text
    assert all(torch.equal(tensor, before[name]) for name, tensor in bottlenecks.state_dict().items())
    assert not {tensor.data_ptr() for tensor in new.parameters()} & {t.data_ptr() for t in bottlenecks.parameters()}


def test_layers_that_stay_keep_their_weights(bottlenecks):
    new, report = res2net.convert(bottlenecks)
    assert torch.equal(new.conv1.weight, bottlenecks.conv1.weight)
    assert torch.equal(new.layer1[0].downsample[0].weight, bottlenecks.layer1[0].downsample[0].weight)
    assert [one.reason for one in report.kept] == [Reason.STEM]
    assert new.layer1[0].conv1.out_channels == new.layer1[0].conv2.channels == new.layer1[0].conv3.in_channels
    assert new.layer1[0].bn1.num_features == new.layer1[0].conv2.channels
    assert isinstance(new.layer1[0].bn2, nn.Identity)


def test_the_report_tells_everything(bottlenecks):
    _, report = res2net.convert(bottlenecks, only=["layer1.*", "layer2.*"])
    assert [one.name for one in report.replaced] == ["layer1.0.conv2", "layer2.0.conv2", "layer2.1.conv2"]
    assert {one.name: one.reason for one in report.kept} == {
        "conv1": Reason.STEM,
        "layer3.0.conv2": Reason.NOT_CHOSEN,
        "layer4.0.conv2": Reason.NOT_CHOSEN,
    }
    text = str(report)
    assert "layer2.0.conv2: 3x3, 128 to 128, stride 2 -> 4 splits of" in text
    assert "layer4.0.conv2: 3x3, 512 to 512, stride 2 kept: not selected by the option `only`" in text
    assert f"{report.before.parameters:,} -> {report.after.parameters:,}" in text


@pytest.mark.parametrize(
    "only", ["layer3.*", lambda name, conv: fnmatchcase(name, "layer3.*") and conv.in_channels == 256]
)
def test_convolutions_are_chosen_by_name_or_function(bottlenecks, only):
    _, report = res2net.convert(bottlenecks, only=only)
    assert [one.name for one in report.replaced] == ["layer3.0.conv2"]


def test_a_budget_of_width_keeps_the_channels(bottlenecks):
    new, report = res2net.convert(bottlenecks, budget="width")
    assert all(
        new.get_submodule(one.name).channels == bottlenecks.get_submodule(one.name).in_channels
        for one in report.replaced
    )
    assert new.layer1[0].conv1.weight.equal(bottlenecks.layer1[0].conv1.weight) is False
    assert report.after.parameters < report.before.parameters


def test_a_basic_block_of_the_same_width_is_replaced_in_its_place():
    plain = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
    )
    new, _ = res2net.convert(plain, budget="width")
    assert isinstance(new[4], Res2Conv)
    assert isinstance(new[5], nn.Identity)
    assert isinstance(new[6], nn.Identity)
    assert new[1].conv_in.out_channels == new[1].res2.channels == 16


def test_a_stride_has_no_additions_and_a_pooled_split(bottlenecks):
    new, _ = res2net.convert(bottlenecks)
    assert new.layer1[0].conv2.mode == "hierarchical"
    assert new.layer2[0].conv2.mode == "stage"
    assert new.layer2[0].conv2.pool is not None
    assert new.layer2[1].conv2.mode == "hierarchical"


def test_depthwise_splits():
    block = nn.Sequential(
        nn.Conv2d(3, 16, 1),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
        nn.Conv2d(16, 64, 1),
        nn.BatchNorm2d(64),
        nn.ReLU6(),
        nn.Conv2d(64, 64, 5, padding=2, groups=64, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU6(),
        nn.Conv2d(64, 16, 1),
        nn.BatchNorm2d(16),
    )
    new, report = res2net.convert(block)
    module = new[6]
    assert all(conv.groups == conv.in_channels == module.width for conv in module.convs)
    assert all(conv.kernel_size == (5, 5) for conv in module.convs)
    assert all(isinstance(act, nn.ReLU6) for act in module.acts)
    assert new[3].out_channels == new[9].in_channels == module.channels
    assert "depthwise" in report.replaced[0].after


def test_groups_keep_their_width():
    plain = tv.resnet.ResNet(tv.resnet.Bottleneck, [1, 1, 1, 1], 10, groups=32, width_per_group=4)
    new, _ = res2net.convert(plain)
    for number, width in enumerate((4, 8, 16, 32), 1):
        for conv in new.get_submodule(f"layer{number}.0.conv2").convs:
            assert conv.in_channels // conv.groups == width


@pytest.mark.parametrize(
    ("norm", "act"),
    [
        (lambda: nn.BatchNorm2d(32, eps=1e-3, momentum=0.03), nn.SiLU),
        (lambda: nn.GroupNorm(4, 32), lambda: nn.LeakyReLU(0.1)),
        (lambda: nn.InstanceNorm2d(32, affine=True), nn.ELU),
        (lambda: nn.BatchNorm2d(32), nn.PReLU),
        (lambda: nn.BatchNorm2d(32), nn.Hardswish),
    ],
)
def test_splits_have_the_networks_own_normalisation_and_activation(norm, act):
    plain = nn.Sequential(nn.Conv2d(3, 32, 3), norm(), act(), nn.Conv2d(32, 32, 3, padding=1), norm(), act())
    new, _ = res2net.convert(plain)
    module = new[3].res2
    for made, wanted in ((module.bns[0], norm()), (module.acts[0], act()), (new[3].norm_in, norm())):
        assert type(made) is type(wanted)
    for option in ("eps", "momentum", "affine"):
        assert getattr(module.bns[0], option, None) == getattr(norm(), option, None)
    assert getattr(module.acts[0], "negative_slope", None) == getattr(act(), "negative_slope", None)


def test_a_network_without_normalisation_stays_so():
    plain = nn.Sequential(nn.Conv2d(3, 32, 3), nn.Tanh(), nn.Conv2d(32, 32, 3), nn.Tanh())
    new, _ = res2net.convert(plain)
    assert not [module for module in new.modules() if isinstance(module, nn.BatchNorm2d)]
    assert isinstance(new[2].res2.acts[0], nn.Tanh)
    assert all(conv.bias is not None for conv in new[2].res2.convs)


def test_an_activation_that_cannot_go_and_would_be_applied_twice_keeps_its_normalisation():
    class Shared(nn.Module):
        def __init__(self, act):
            super().__init__()
            self.stem, self.conv1 = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 1)
            self.bn1, self.bn2 = nn.BatchNorm2d(32), nn.BatchNorm2d(32)
            self.conv2, self.conv3 = nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 16, 1)
            self.act = act

        def forward(self, x):
            x = self.act(self.bn1(self.conv1(self.stem(x))))
            return self.conv3(self.act(self.bn2(self.conv2(x))))

    silu, _ = res2net.convert(Shared(nn.SiLU()))
    assert isinstance(silu.conv2, Res2Conv)
    assert silu.bn2.num_features == silu.conv2.channels
    relu, _ = res2net.convert(Shared(nn.ReLU()))
    assert isinstance(relu.bn2, nn.Identity)
    assert isinstance(relu.act, nn.ReLU)


def test_reasons():
    class Own(nn.Conv2d):
        def forward(self, x):
            return super().forward(x)

    plain = nn.Sequential(
        nn.Conv2d(3, 10, 3),
        nn.ConvTranspose2d(10, 28, 2, stride=2),
        Own(28, 28, 3),
        Res2Conv(7, scale=4),
        nn.Conv2d(28, 7, 1),
        nn.Conv2d(7, 7, 3, groups=7),
    )
    _, report = res2net.convert(plain, only=lambda name, _: name != "x")
    assert report.replaced == ()
    assert [one.reason for one in report.kept] == [
        Reason.STEM,
        Reason.TRANSPOSED,
        Reason.OWN_FORWARD,
        *[Reason.MULTI_SCALE] * 3,
        Reason.INDIVISIBLE,
    ]
    assert report.share == 0


def test_the_stem_is_converted_on_request():
    new, report = res2net.convert(nn.Sequential(nn.Conv2d(3, 32, 7, stride=2, padding=3), nn.ReLU()), stem=True)
    assert report.kept == ()
    assert new(torch.randn(1, 3, 20, 20)).shape == (1, 32, 10, 10)


def test_grouped_channels_that_do_not_divide_have_fewer_splits():
    plain = nn.Sequential(nn.Conv2d(3, 9, 3), nn.Conv2d(9, 9, 3, padding=1, groups=9))
    new, report = res2net.convert(plain)
    assert new[1].scale == 3
    assert report.replaced[0].after == "3 splits of 3, depthwise"


def test_mode_dtype_and_device_are_those_of_the_network(bottlenecks):
    new, _ = res2net.convert(bottlenecks.double())
    assert not any(module.training for module in new.modules())
    assert {tensor.dtype for tensor in new.parameters()} == {torch.float64}
    assert new(torch.randn(1, 3, 64, 64, dtype=torch.float64)).shape == (1, 10)
    with torch.device("meta"):
        new, _ = res2net.convert(tv.resnet18())
    assert all(tensor.is_meta for tensor in new.parameters())


def test_several_inputs_and_code_that_cannot_be_traced():
    class Conditional(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x, weights):
            x = self.a(x)
            if weights["shift"].sum().item() > 0:
                x = x + 1
            return {"out": self.b(x) * weights["shift"]}

    inputs = (torch.randn(1, 3, 8, 8), {"shift": torch.ones(1)})
    new, report = res2net.convert(Conditional(), example_input=inputs)
    assert [one.name for one in report.replaced] == ["b"]
    assert new(*inputs)["out"].shape == (1, 8, 8, 8)


def test_channels_that_the_code_knows_are_not_changed():
    class Knows(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.conv1 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 32, 1)
            self.conv2, self.conv3 = nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 8, 1)

        def forward(self, x):
            x = self.conv1(self.stem(x))
            assert x.shape[1] == 32
            return self.conv3(self.conv2(x))

    new, report = res2net.convert(Knows())
    assert report.replaced[0].after.endswith("between 1x1 convolutions")
    assert new.conv1.out_channels == 32


def test_shared_convolutions_stay_shared():
    conv = nn.Conv2d(8, 8, 3, padding=1)
    new, _ = res2net.convert(nn.Sequential(nn.Conv2d(3, 8, 3), conv, nn.ReLU(), conv))
    assert new[1] is new[3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 1}, "Scale 1 is out of range: give 2 or more."),
        ({"scale": 2.5}, "Scale 2.5 does not fit: give a positive integer."),
        ({"budget": "mac"}, "Unknown budget 'mac': did you mean 'macs'?"),
        ({"base_width": 0}, "Base width 0 does not fit"),
        ({"split_order": "papers"}, "did you mean 'paper'?"),
        ({"example_input": ()}, "The example input contains no tensor"),
        ({"example_input": torch.randn(1, 4, 8, 8)}, "give example_input"),
    ],
)
def test_bad_options(bottlenecks, options, message):
    with pytest.raises(InputError) as error:
        res2net.convert(bottlenecks, **options)
    assert message in str(error.value)


def test_a_network_without_convolutions():
    with pytest.raises(InputError, match="no convolution"):
        res2net.convert(nn.Linear(2, 2))


@pytest.fixture(scope="module")
def survivor():
    torch.manual_seed(0)
    plain = (
        tv.resnet.ResNet(tv.resnet.Bottleneck, [1, 1], 10)
        if False
        else nn.Sequential(
            nn.Conv2d(3, 16, 3),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 2, stride=2),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 16, 1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 4, 1),
        )
    )
    return res2net.convert(plain)[0].eval()


def test_it_survives_copies_and_state_dicts(survivor):
    x = torch.randn(2, 3, 19, 19)
    other = copy.deepcopy(survivor)
    assert torch.equal(other(x), survivor(x))
    with torch.no_grad():
        for tensor in other.parameters():
            tensor.zero_()
    other.load_state_dict(survivor.state_dict())
    assert torch.equal(other(x), survivor(x))


def test_it_compiles_and_exports(survivor):
    x = torch.randn(2, 3, 19, 19)
    expected = survivor(x)
    compiled = torch.compile(survivor, backend="eager")
    torch.testing.assert_close(compiled(x), expected)
    exported = torch.export.export(survivor, (x,))
    torch.testing.assert_close(exported.module()(x), expected)
