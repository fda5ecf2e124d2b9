"""The same weights under the names of other programs give exactly the same outputs."""

import pytest
import torch

from res2net.backbones.registry import build
from res2net.errors import InputError
from res2net.weights import FORMATS, Checkpoint, from_native, load, to_native

NAMES = ["res2net26_26w_4s", "res2net50d", "resnet26", "resnet26d"]
HAS = {
    "official": NAMES,
    "mmpretrain": NAMES,
    "mmdet": ["res2net50d", "resnet26d"],
    "detectron2": ["res2net50d"],
    "maskrcnn": ["res2net26_26w_4s"],
    "paddle": ["res2net26_26w_4s", "res2net50d"],
}
"""Which of them the program of each format has."""


def test_every_format_is_tested():
    assert HAS.keys() == FORMATS.keys()


@pytest.mark.parametrize(("format_name", "name"), [(key, name) for key, names in HAS.items() for name in names])
def test_there_and_back_gives_the_same_outputs(tiny, name, format_name):
    model, other = tiny(name, seed=1), tiny(name, seed=2)
    x = torch.randn(2, 3, 32, 32)
    assert not torch.equal(model(x), other(x))
    foreign = from_native(model.state_dict(), format_name)
    report = load(other, Checkpoint(foreign))
    assert report.format == format_name
    assert torch.equal(model(x), other(x))


@pytest.mark.parametrize("name", ["res2net50_14w_8s", "res2next50", "res2net50d", "resnet50d", "seresnet50"])
def test_timm_has_our_names_and_shapes(name):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        ours, theirs = build(name).state_dict(), timm.create_model(name).state_dict()
    native = to_native(theirs)
    assert native.format == "official"
    assert native.dropped == ()
    assert {key: t.shape for key, t in native.tensors.items()} == {key: t.shape for key, t in ours.items()}


def test_torchvision_has_our_names_and_shapes():
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        ours, theirs = build("resnet50").state_dict(), torchvision.models.resnet50().state_dict()
    native = to_native(theirs)
    assert {key: t.shape for key, t in native.tensors.items()} == {key: t.shape for key, t in ours.items()}


def mmpretrain_names(*, deep: bool, convs: int, shortcut_pools: tuple[bool, bool]) -> set[str]:
    """All names of an MMPretrain `ImageClassifier` with two stages of one block, written from its source.

    Its `ResNet` or `Res2Net` is under `backbone`, its `LinearClsHead` under `head`. A deep stem is a Sequential of
    three `ConvModule`s (`conv`, `bn`). `convs` is the number of split convolutions, 0 for a plain bottleneck.
    """
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = {"head.fc.weight", "head.fc.bias"}
    if deep:
        for i in range(3):
            names |= {f"backbone.stem.{i}.conv.weight"} | {f"backbone.stem.{i}.bn.{n}" for n in norm}
    else:
        names |= {"backbone.conv1.weight"} | {f"backbone.bn1.{n}" for n in norm}
    for stage, pooled in enumerate(shortcut_pools, start=1):
        block = f"backbone.layer{stage}.0"
        middle = [("convs.%d" % i, "bns.%d" % i) for i in range(convs)] or [("conv2", "bn2")]  # noqa: UP031
        shortcut = [(f"downsample.{int(pooled)}", f"downsample.{int(pooled) + 1}")]
        for conv, bn in [("conv1", "bn1"), *middle, ("conv3", "bn3"), *shortcut]:
            names |= {f"{block}.{conv}.weight"} | {f"{block}.{bn}.{n}" for n in norm}
    return names


@pytest.mark.parametrize(
    ("options", "layout"),
    [
        ({"scale": 4, "base_width": 26}, {"deep": False, "convs": 3, "shortcut_pools": (False, False)}),
        (
            {"scale": 4, "base_width": 26, "stem": "deep", "shortcut": "avg_pool"},
            {"deep": True, "convs": 3, "shortcut_pools": (True, True)},
        ),
        ({}, {"deep": False, "convs": 0, "shortcut_pools": (False, False)}),
        # Its ResNetV1c has the deep stem alone; its ResNetV1d pools only where the shortcut has a stride.
        ({"stem": "deep"}, {"deep": True, "convs": 0, "shortcut_pools": (False, False)}),
        (
            {"stem": "deep", "shortcut": "avg_pool"},
            {"deep": True, "convs": 0, "shortcut_pools": (False, True)},
        ),
    ],
    ids=["Res2Net", "Res2Net v1d", "ResNet", "ResNetV1c", "ResNetV1d"],
)
def test_mmpretrain_names_are_those_of_its_source(options, layout):
    model = build("resnet14", layers=(1, 1), channels=(8, 16), stem_channels=8, num_classes=5, **options)
    foreign = from_native(model.state_dict(), "mmpretrain")
    assert set(foreign) == mmpretrain_names(**layout)
    native = to_native(foreign)
    assert native.format == "mmpretrain"
    assert native.tensors.keys() == model.state_dict().keys()
    # Both keep the order of the model, so that pairs must hold the same tensor.
    assert all(ours is theirs for ours, theirs in zip(native.tensors.values(), foreign.values(), strict=True))


def test_the_stem_of_mmpretrain_by_name(tiny):
    """The pairs written out, since order alone would not notice two exchanged layers."""
    ours = tiny("res2net50d").state_dict()
    theirs = from_native(ours, "mmpretrain")
    for key, foreign in {
        "conv1.0.weight": "backbone.stem.0.conv.weight",
        "conv1.1.running_var": "backbone.stem.0.bn.running_var",
        "conv1.3.weight": "backbone.stem.1.conv.weight",
        "conv1.4.bias": "backbone.stem.1.bn.bias",
        "conv1.6.weight": "backbone.stem.2.conv.weight",
        "bn1.weight": "backbone.stem.2.bn.weight",
        "layer3.0.bns.2.running_mean": "backbone.layer3.0.bns.2.running_mean",
        "fc.bias": "head.fc.bias",
    }.items():
        assert theirs[foreign] is ours[key]


def test_features_of_mmpretrain_without_a_head(tiny):
    model = tiny(num_classes=0)
    report = load(tiny(num_classes=0, seed=3), Checkpoint(from_native(model.state_dict(), "mmpretrain")))
    assert set(report.loaded) == set(model.state_dict())


def test_the_official_dla_holds_eighteen_tensors_that_timm_drops():
    """Trees of trees at level3, level4 and level4.tree1 have a projection that nothing computes with."""
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        theirs = timm.create_model("dla60_res2net").state_dict()
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    unused = {f"{tree}.project.0.weight" for tree in ("level3", "level4", "level4.tree1")}
    unused |= {f"{tree}.project.1.{n}" for tree in ("level3", "level4", "level4.tree1") for n in norm}
    official = {**theirs, **{name: torch.ones(1) for name in unused}}

    native = to_native(official)
    assert set(native.dropped) == unused
    assert len(unused) == 18
    assert native.tensors.keys() == theirs.keys()
    assert to_native(theirs).dropped == ()


@pytest.mark.parametrize("name", ["dla60", "dla60x", "dla60_res2net", "dla60_res2next"])
def test_a_dla_for_the_official_code_has_them(name):
    with torch.device("meta"):
        ours = build(name).state_dict()
    official = from_native(ours, "official")
    assert len(official) == len(ours) + 18
    # A projection goes from the channels of the level before to those of its own, the tree within a tree alike.
    for tree, channels in (("level3", (256, 128)), ("level4", (512, 256)), ("level4.tree1", (512, 256))):
        assert official[f"{tree}.project.0.weight"].shape == (*channels, 1, 1)
        assert official[f"{tree}.project.1.running_var"].shape == channels[:1]
    native = to_native(official)
    assert native.tensors.keys() == ours.keys()
    assert len(native.dropped) == 18
    assert from_native(ours, "timm").keys() == ours.keys()


@pytest.mark.parametrize(("name", "parameters"), [("dla60_res2net", 21_145_544), ("dla60_res2next", 17_330_456)])
def test_with_them_a_dla_has_the_parameters_of_the_official_files(name, parameters):
    with torch.device("meta"):
        model = build(name)
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    official = from_native(model.state_dict(), "official")
    assert sum(t.numel() for n, t in official.items() if not n.endswith(buffers)) == parameters


def test_an_unknown_format_names_some_names_and_the_known_formats():
    with pytest.raises(InputError, match=r"\(stages\.0\.w, stages\.1\.w, \.\.\.\).*known: detectron2, .*, official"):
        to_native({"stages.0.w": torch.ones(1), "stages.1.w": torch.ones(1)})


def test_names_of_a_network_of_another_family_are_native_to_it():
    tensors = {"stages.0.w": torch.ones(1)}
    assert to_native(tensors, native_names=["stages.0.w"]).tensors == tensors


def test_an_unknown_target_format_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'mmpretrain'"):
        from_native({}, "mmpretrained")


def test_two_tensors_that_would_get_one_name_are_refused():
    tensors = {"backbone.conv1.weight": torch.ones(1), "conv1.weight": torch.zeros(1)}
    with pytest.raises(InputError, match="have the same name"):
        to_native(tensors)
