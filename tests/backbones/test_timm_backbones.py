"""Networks of timm as backbones: the same numbers as in timm, and what they refuse."""

import copy

import pytest
import timm
import torch

from res2net.backbones.from_timm import TimmBackbone
from res2net.backbones.registry import build, variant, variant_names
from res2net.errors import InputError
from res2net.weights import Checkpoint, to_native
from res2net.zoo import create_model

NAMES = [name for name in variant_names() if variant(name).build is TimmBackbone]
SMALL = ["inception_v3", "densenet161", "vgg16", "hrnet_w18"]
LARGE = [pytest.param("hrnet_w48", marks=pytest.mark.slow)]

# Millions of parameters: VGG Table 2 of the source (138), torchvision's table without Inception's second classifier
# (27.2 with it), DenseNet and HRNet as their authors tell.
PUBLISHED = {
    "vgg16": (138_357_544, "138.4"),
    "inception_v3": (23_834_568, "23.8"),
    "densenet161": (28_681_000, "28.7"),
    "hrnet_w18": (21_299_004, "21.3"),
    "hrnet_w48": (77_469_864, "77.5"),
}


def on_meta(name, **options):
    with torch.device("meta"):
        return build(name, **options).eval()


def test_the_rows_of_the_published_tables_are_there():
    assert set(NAMES) == {*SMALL, "hrnet_w48"} == set(PUBLISHED)
    assert "resnext101_64x4d" in variant_names()


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_of_timm_and_published(name):
    exact, millions = PUBLISHED[name]
    count = sum(tensor.numel() for tensor in on_meta(name).parameters())
    with torch.device("meta"):
        assert count == exact == sum(tensor.numel() for tensor in timm.create_model(name).parameters())
    assert f"{count / 1e6:.1f}" == millions
    assert variant(name).parameters == count


def test_resnext101_64x4d_has_the_published_parameters():
    assert sum(tensor.numel() for tensor in on_meta("resnext101_64x4d").parameters()) == 83_455_272


@pytest.mark.parametrize("name", SMALL + LARGE)
@torch.no_grad()
def test_logits_are_those_of_timm(alike, name):
    ours = on_meta(name, num_classes=10, in_channels=4)
    with torch.device("meta"):
        reference = timm.create_model(name, num_classes=10, in_chans=4).eval()
    alike(ours.network, reference)
    x = torch.randn(1, 4, 96, 128)
    logits, expected = ours(x), reference(x)
    assert expected.isfinite().all()
    assert expected.std() > 0
    assert torch.equal(logits, expected)


@pytest.mark.parametrize("name", SMALL + LARGE)
@torch.no_grad()
def test_pyramids_are_those_of_timm(alike, name):
    ours = on_meta(name, num_classes=0)
    with torch.device("meta"):
        reference = timm.create_model(name, features_only=True, out_indices=range(len(ours.stages))).eval()
    alike(ours)
    # timm gives the parts of a pyramid other names, in the same order.
    given = ours.network.state_dict()
    assert len(given) == len(reference.state_dict())
    reference.load_state_dict(dict(zip(reference.state_dict(), given.values(), strict=True)), assign=True)
    x = torch.randn(1, 3, 128, 96)
    pyramid, expected = ours.features(x), reference(x)
    assert all(torch.equal(feature, right) for feature, right in zip(pyramid, expected, strict=True))
    assert pyramid[-1].std() > 0
    assert torch.equal(ours(x), pyramid[-1])
    assert [stage.channels for stage in ours.stages] == reference.feature_info.channels()
    assert [stage.stride for stage in ours.stages] == reference.feature_info.reduction()


@pytest.mark.parametrize("output_stride", [16, *(pytest.param(stride, marks=pytest.mark.slow) for stride in (8, 2))])
@pytest.mark.parametrize("name", ["vgg16", "densenet161"])
@torch.no_grad()
def test_a_dilated_network_computes_the_same_and_what_lies_between(alike, name, output_stride):
    natural, dilated = on_meta(name), on_meta(name, output_stride=output_stride)
    alike(natural, dilated)
    assert [stage.stride for stage in dilated.stages] == [min(s.stride, output_stride) for s in natural.stages]
    x = torch.randn(1, 3, 32, 64)
    for expected, feature, stage in zip(natural.features(x), dilated.features(x), natural.stages, strict=True):
        step = max(1, stage.stride // output_stride)
        assert feature.shape[2:] == tuple(side * step // stage.stride for side in x.shape[2:])
        assert expected.std() > 0
        torch.testing.assert_close(feature[:, :, ::step, ::step], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_head_of_a_dilated_vgg_computes_the_same_and_what_lies_between(alike):
    natural, dilated = on_meta("vgg16"), on_meta("vgg16", output_stride=16)
    alike(natural, dilated)
    x = torch.randn(1, 512, 8, 9)
    between = torch.randn(1, 512, 16, 18)
    between[:, :, ::2, ::2] = x
    expected = natural.network.pre_logits(x)
    assert expected.shape[2:] == (2, 3)
    torch.testing.assert_close(dilated.network.pre_logits(between)[:, :, ::2, ::2], expected, rtol=1e-4, atol=1e-4)
    assert dilated(torch.randn(1, 3, 40, 64)).isfinite().all()  # enlarged to the size of the spread kernel


@pytest.mark.parametrize("name", NAMES)
def test_without_a_classifier_nothing_stands_behind_the_features(name):
    model = on_meta(name, num_classes=0)
    in_stages = {id(t) for stage in model.stage_modules() for module in stage for t in module.parameters()}
    assert in_stages == {id(t) for t in model.parameters()}


@pytest.mark.parametrize("name", NAMES)
def test_the_last_module_of_the_last_stage_gives_the_last_features(name):
    """What looks at the last stage of a network, such as Grad-CAM, hooks it."""
    model, given = on_meta(name), []
    x = torch.empty(1, 3, 96, 96, device="meta")
    expected = model.features(x)[-1].shape
    model.stage_modules()[-1][-1].register_forward_hook(lambda _module, _inputs, output: given.append(output.shape))
    model(x)
    assert given == [expected]


@pytest.mark.parametrize("name", NAMES)
def test_freezing(name):
    model = on_meta(name).train()
    for stages in (2, 0):
        assert model.freeze(stages) is model
        frozen = {id(t) for stage in model.stage_modules()[:stages] for module in stage for t in module.parameters()}
        assert bool(frozen) is bool(stages)
        assert {id(t) for t in model.parameters() if not t.requires_grad} == frozen


def test_frozen_statistics_stay():
    model = build("hrnet_w18", num_classes=2).freeze(3).train()
    before = copy.deepcopy(model.state_dict())
    model(torch.randn(2, 3, 64, 64)).sum().backward()
    changed = {key.split(".")[1] for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed == {"transition2", "stage3", "transition3", "stage4", "incre_modules", "downsamp_modules"} | {
        "final_layer"
    }


@pytest.mark.parametrize("name", NAMES)
def test_files_with_the_names_of_timm_are_understood(name):
    with torch.device("meta"):
        theirs = timm.create_model(name).state_dict()
    ours = on_meta(name).state_dict()
    native = to_native(theirs, ours)
    assert native.tensors.keys() == ours.keys()
    assert native.dropped == ()
    assert to_native(ours, ours).tensors.keys() == ours.keys()


@torch.no_grad()
def test_weights_of_timm_with_the_second_classifier_of_inception():
    theirs = timm.create_model("inception_v3", num_classes=5).eval()
    second = {"AuxLogits.fc.weight": torch.zeros(5, 768), "AuxLogits.conv0.bn.bias": torch.zeros(128)}
    model = create_model("inception_v3", Checkpoint(theirs.state_dict() | second, {}, None)).eval()
    assert model.num_classes == 5
    x = torch.randn(1, 3, 75, 80)
    assert torch.equal(model(x), theirs(x))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vgg16", {"output_stride": 12}, r"here: choose one of \[32, 16, 8, 4, 2, 1\]\."),
        (
            "densenet161",
            {"output_stride": 1},
            r"Output stride 1 is not possible here: choose one of \[32, 16, 8, 4, 2\]",
        ),
        ("hrnet_w18", {"output_stride": 16}, "16 is not possible here: its parallel branches .*, so choose 32."),
        (
            "inception_v3",
            {"output_stride": 8},
            "not possible here: some of its poolings are function calls .*, so choose 32.",
        ),
        ("hrnet_w18", {"drop_path_rate": 0.1}, r"Drop path 0.1 does not fit: this network drops no residual branch"),
        ("densenet161", {"num_classes": -1}, "-1 classes and 3 input channels"),
        ("densenet161", {"in_channels": 0}, "0 input channels: give at least 0 and at least 1"),
        ("inception_v3", {"dropout": 1.5}, "Dropout 1.5 does not fit: give a probability"),
    ],
)
def test_options_that_do_not_fit(name, options, message):
    with pytest.raises(InputError, match=message):
        on_meta(name, **options)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("inception_v3", (74, 100), "An image of 74 x 100 is too small for this network: give sides of 75 or more"),
        ("vgg16", (64, 31), "An image of 64 x 31 is too small for this network: give sides of 32 or more"),
        ("densenet161", (31, 64), "give sides of 32 or more"),
        ("hrnet_w18", (64, 100), "An image of 64 x 100 does not fit this network: give multiples of 32"),
    ],
)
def test_images_that_do_not_fit(name, size, message):
    model, x = on_meta(name), torch.empty(1, 3, *size, device="meta")
    for call in (model, model.features):
        with pytest.raises(InputError, match=message):
            call(x)


@pytest.mark.parametrize(
    ("name", "side"), [("inception_v3", 75), ("vgg16", 32), ("densenet161", 32), ("hrnet_w18", 32)]
)
def test_the_smallest_images(name, side):
    assert on_meta(name)(torch.empty(1, 3, side, side, device="meta")).shape == (1, 1000)
