"""The exact rewrite for inference: the same function, to rounding."""

import copy
import pickle

import pytest
import timm
import torch
import torchvision.models as tv
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import res2net
from res2net import convert, create_model, list_models, optimize
from res2net.errors import InputError
from res2net.nn import Res2Bottleneck, Res2Conv
from res2net.surgery.fused import ATTRIBUTES, PackedConv

TARGETS = ("eager", "export")
# One small or shallow network of each family; the whole list runs with `-m slow`.
SHALLOW = {"layers": (1, 1, 1, 1)}
SMALL: dict[str, dict] = {
    "res2net20_26w_4s_tiny": {},
    "res2net14_26w_4s": {},
    "resnet14d": {},
    "cifar_res2next29_6c24w_4s": {"depth": 11},
    "ecapa_tdnn_512": {},
    "res2net3d20_26w_4s_tiny": {},
    "blres2net50_26w_4s": {"layers": (2, 2, 2, 2)},
    "dla60_res2net": {},
    "seresnet50": SHALLOW,
    "res2net50d": SHALLOW,
    "res2netplus50_26w_4s": SHALLOW,
}


def with_random_statistics(model):
    """The model in evaluation, with statistics and weights of its normalisations that no fresh network has."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            with torch.no_grad():
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
                if module.affine:
                    module.weight.uniform_(0.5, 1.2)
                    module.bias.normal_(0, 0.2)
    return model.eval()


def resnet10():
    return tv.resnet.ResNet(tv.resnet.BasicBlock, [1, 1, 1, 1], num_classes=5)


def difference(one, two):
    return ((one - two).abs().max() / two.abs().max()).item()


def check_exact(model, *shapes):
    with_random_statistics(model)
    for target in TARGETS:
        rewritten = optimize(model, target, example_input=torch.randn(shapes[0]))
        assert not rewritten.training
        assert not any(tensor.requires_grad for tensor in rewritten.parameters())
        with torch.no_grad():
            for shape in shapes:
                x = torch.randn(shape)
                assert difference(rewritten(x), model(x)) <= 1e-5, (target, shape)


SIZES = {1: ((2, 200), (1, 133)), 2: ((2, 64, 64), (1, 97, 75)), 3: ((1, 8, 32, 32), (1, 5, 41, 37))}


LARGER = ("cifar_res2next29_6c24w_4s", "blres2net50_26w_4s", "res2netplus50_26w_4s")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LARGER else ()) for name in SMALL]
)
def test_every_family_stays_the_same_function(name):
    torch.manual_seed(0)
    model = create_model(name, num_classes=7, **SMALL[name])
    check_exact(model, *((batch, model.in_channels, *size) for batch, *size in SIZES[model.dims]))


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_every_model_stays_the_same_function(name):
    torch.manual_seed(0)
    model = create_model(name, num_classes=7)
    odd = (197, 155) if model.size_multiple == 1 else (192, 160)
    sizes = ((1, 160, 160), (1, *odd)) if model.dims == 2 else SIZES[model.dims]
    check_exact(model, *((batch, model.in_channels, *size) for batch, *size in sizes))


@pytest.mark.parametrize(
    "graph",
    [
        "official",
        "paddle",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("mmdet", "detectron2", "maskrcnn")),
    ],
)
def test_every_graph_stays_the_same_function(graph):
    torch.manual_seed(0)
    check_exact(create_model("res2net14_26w_4s", graph=graph), (2, 3, 64, 64), (1, 3, 65, 71))


@pytest.mark.parametrize("order", ["conv-norm-act", "conv-act-norm", "norm-act-conv"])
@pytest.mark.parametrize("mode", ["hierarchical", "stage"])
@pytest.mark.parametrize("split_order", ["official", "paper", "arxiv-v1"])
@pytest.mark.parametrize("act", ["relu", "silu", "mish"])
def test_every_chain_stays_the_same_function(order, mode, split_order, act):
    torch.manual_seed(0)
    module = Res2Conv(6, scale=4, order=order, mode=mode, split_order=split_order, act=act)
    check_exact(module, (2, 24, 9, 11), (1, 24, 1, 1))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: tv.resnet18(num_classes=5), id="resnet18"),
        pytest.param(lambda: tv.mobilenet_v3_small(num_classes=5), id="mobilenet_v3"),
        pytest.param(lambda: tv.DenseNet(24, (2, 3, 2, 2), 48, num_classes=5), id="densenet"),
        pytest.param(lambda: tv.shufflenet_v2_x0_5(num_classes=5), id="shufflenet"),
        pytest.param(lambda: timm.create_model("regnetx_002", num_classes=5), id="regnet"),
        pytest.param(lambda: timm.create_model("convnext_atto", num_classes=5), id="layer normalisations"),
        pytest.param(
            lambda: timm.create_model("tf_efficientnet_b0", num_classes=5),
            id="norms that act, pads",
        ),
        pytest.param(lambda: convert(resnet10())[0], id="converted resnet10"),
        pytest.param(
            lambda: convert(timm.create_model("regnetx_002", num_classes=5))[0],
            id="converted regnet",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda: convert(tv.mobilenet_v2(num_classes=5))[0], id="converted mobilenet", marks=pytest.mark.slow
        ),
    ],
)
def test_networks_of_others_and_converted_ones_stay_the_same_function(make):
    torch.manual_seed(0)
    check_exact(make(), (2, 3, 64, 64), (1, 3, 75, 67))


def test_features_stay_the_same():
    torch.manual_seed(0)
    model = with_random_statistics(create_model("res2net14_26w_4s", output_stride=16))
    x = torch.randn(1, 3, 75, 91)
    for target in TARGETS:
        with torch.no_grad():
            pairs = list(zip(optimize(model, target).features(x), model.features(x), strict=True))
        assert len(pairs) == 5
        assert all(difference(one, two) <= 1e-5 for one, two in pairs)


def test_no_normalisation_and_no_plain_convolution_is_left():
    model = create_model("res2net14_26w_4s")
    rewritten = optimize(model)
    assert not any(isinstance(module, _BatchNorm | nn.Conv2d) for module in rewritten.modules())
    # In each of the four stages the first block has one grouped convolution in the place of three.
    convolutions = sum(isinstance(module, nn.Conv2d) for module in model.modules())
    assert sum(isinstance(module, PackedConv) for module in rewritten.modules()) == convolutions - 4 * 2
    plain = optimize(model, "export")
    assert not any(isinstance(module, _BatchNorm | PackedConv) for module in plain.modules())


def test_the_given_network_is_not_changed():
    model = create_model("res2net14_26w_4s").train()
    before = copy.deepcopy(model.state_dict())
    optimize(model)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert any(isinstance(module, Res2Bottleneck) for module in model.modules())


@pytest.mark.parametrize("act", [cls for cls in ATTRIBUTES if cls is not nn.Hardtanh], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("other", [False, True], ids=["alone", "added"])
def test_a_packed_convolution_equals_its_layers(act, other):
    torch.manual_seed(0)
    conv = nn.Conv2d(12, 20, 3, stride=2, padding=1, groups=2)
    packed = PackedConv(conv, act())
    x = torch.randn(2, 12, 9, 8)
    added = torch.randn(2, 20, 5, 4).to(memory_format=torch.channels_last) if other else None
    with torch.no_grad():
        expected = act()(conv(x) + (added if other else 0))
        assert difference(packed(x, added), expected) < 1e-5
        assert difference(packed(x[:, :, :, ::2][..., :4], None), act()(conv(x[:, :, :, ::2]))) < 1e-5


def test_bf16_is_as_near_as_bf16_can_be():
    torch.manual_seed(0)
    model = with_random_statistics(create_model("res2net14_26w_4s", num_classes=7))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = optimize(copy.deepcopy(model).bfloat16())(x.bfloat16())
        assert found.dtype == torch.bfloat16
        assert difference(found.float(), model(x)) < 0.05


def test_a_rewritten_network_can_be_copied_and_saved():
    torch.manual_seed(0)
    model = with_random_statistics(create_model("res2net14_26w_4s", num_classes=7))
    rewritten, x = optimize(model), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = rewritten(x)
        assert torch.equal(copy.deepcopy(rewritten)(x), expected)
        assert torch.equal(pickle.loads(pickle.dumps(rewritten))(x), expected)
        other = optimize(create_model("res2net14_26w_4s", num_classes=7))
        assert not torch.equal(other(x), expected)
        other.load_state_dict(rewritten.state_dict())
        assert torch.equal(other(x), expected)
        assert rewritten.to(torch.bfloat16)(x.bfloat16()).dtype == torch.bfloat16


def test_a_state_without_a_weight_is_refused():
    rewritten = optimize(create_model("res2net14_26w_4s"))
    state = rewritten.state_dict()
    del state["conv1.weight"]
    with pytest.raises(RuntimeError, match=r"conv1\.weight"):
        rewritten.load_state_dict(state)


@pytest.mark.parametrize("name", ["res2net14_26w_4s", "converted resnet10"])
def test_the_target_export_exports_and_compiles(name):
    torch.manual_seed(0)
    model = create_model("res2net14_26w_4s") if name == "res2net14_26w_4s" else convert(resnet10())[0]
    rewritten = optimize(with_random_statistics(model), "export")
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model(x)
        assert difference(torch.export.export(rewritten, (x,)).module()(x), expected) < 1e-5
        assert difference(torch.compile(rewritten, backend="eager", fullgraph=True)(x), expected) < 1e-5


def test_a_normalisation_that_reads_more_than_the_convolution_stays():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.other = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(3, 4, 3)

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y) + y + self.norm(self.other(x))

    check_exact(Twice(), (2, 3, 9, 9), (1, 3, 7, 8))


def test_layers_that_stand_in_two_places_are_rewritten_in_both():
    class Shown(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
            self.layers = nn.Sequential(self.conv, self.norm, nn.ReLU())

        def forward(self, x):
            return self.layers(x)

    check_exact(Shown(), (2, 3, 9, 9), (1, 3, 7, 8))


def test_training_statistics_are_not_folded():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)

        def forward(self, x):
            return self.norm(self.conv(x))

    model, x = Own().eval(), torch.randn(4, 3, 9, 9)
    assert difference(optimize(model, example_input=x)(x), model(x).detach()) < 1e-5


def test_what_is_refused():
    with pytest.raises(InputError, match="Unknown target 'eagr': did you mean 'eager'"):
        optimize(create_model("res2net14_26w_4s"), "eagr")
    with pytest.raises(InputError, match="does not run with an input of"):
        optimize(create_model("res2net14_26w_4s"), example_input=torch.randn(1, 5, 64, 64))
    assert res2net.optimize is optimize
