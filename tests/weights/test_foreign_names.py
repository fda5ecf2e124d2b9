"""Names of detection programs and of PaddleClas, written from their sources; round trips keep every bit."""

import itertools

import pytest
import torch

from res2net.backbones.graphs import GRAPHS
from res2net.backbones.registry import build
from res2net.errors import InputError
from res2net.weights import FORMATS, SAME_NAMES, from_native, to_native

TORCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
PADDLE_NORM = ("weight", "bias", "_mean", "_variance")


def of(module, names):
    return {f"{module}.{name}" for name in names}


def paddle_names(layers, scale, *, vd):
    """All parameters of PaddleClas's `Res2Net(layers)` or `Res2Net_vd(layers)`."""
    depth = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 12, 48, 3)}[layers]
    modules = ["conv1_1", "conv1_2", "conv1_3"] if vd else ["conv1"]
    for block, count in enumerate(depth):
        for i in range(count):
            if layers in (101, 152, 200) and block == 2:
                name = f"res{block + 2}a" if i == 0 else f"res{block + 2}b{i}"
            else:
                name = f"res{block + 2}{chr(97 + i)}"
            parts = ["conv0", *(f"{name}_branch2b_{s + 1}" for s in range(scale - 1)), "conv2"]
            modules += [f"bb_{block}_{i}.{part}" for part in (*parts, *(["short"] if i == 0 else []))]
    names = {"out.weight", "out.bias"}
    for module in modules:
        names |= {f"{module}._conv.weight"} | of(f"{module}._batch_norm", PADDLE_NORM)
    return names


@pytest.mark.parametrize(
    ("name", "layers", "scale", "vd"),
    [
        ("res2net50_26w_4s", 50, 4, False),
        ("res2net50_14w_8s", 50, 8, False),
        ("res2net101_26w_4s", 101, 4, False),
        ("res2net50d", 50, 4, True),
        ("res2net101d", 101, 4, True),
        ("res2net152d", 152, 4, True),
        ("res2net200d", 200, 4, True),
    ],
)
def test_names_of_paddle_are_those_of_its_source(name, layers, scale, vd):
    with torch.device("meta"):
        tensors = build(name, graph="paddle").state_dict()
    foreign = from_native(tensors, "paddle")
    assert set(foreign) == paddle_names(layers, scale, vd=vd)
    assert foreign["out.weight"].shape == (2048, 1000)
    native = to_native(foreign)
    assert native.format == "paddle"
    counters = {key for key in tensors if key.endswith("num_batches_tracked")}
    assert {key: t.shape for key, t in native.tensors.items()} == {
        key: t.shape for key, t in tensors.items() if key not in counters
    }


def detectron2_names(depth, scale):
    """All tensors of the fork's `ResNet`, with `BN`, which has the names of torch."""
    names = of("linear", ("weight", "bias")) | of("stem.bn1", TORCH_NORM)
    for index in (0, 3, 6):
        names |= {f"stem.conv1.{index}.weight"}
    for index in (1, 4):
        names |= of(f"stem.conv1.{index}", TORCH_NORM)
    for stage, count in enumerate(depth, start=2):
        for i in range(count):
            block = f"res{stage}.{i}"
            for conv in ["conv1", "conv3", *(["shortcut.1"] if i == 0 else [])]:
                names |= {f"{block}.{conv}.weight"} | of(f"{block}.{conv}.norm", TORCH_NORM)
            for s in range(scale - 1):
                names |= {f"{block}.convs.{s}.weight"} | of(f"{block}.bns.{s}", TORCH_NORM)
    return names


def mmdet_names(depth, scale):
    """All tensors of MMDetection's `Res2Net` with a classifier, whose stem is one sequence, ReLUs included."""
    names = of("fc", ("weight", "bias"))
    for index in (0, 3, 6):
        names |= {f"stem.{index}.weight"} | of(f"stem.{index + 1}", TORCH_NORM)
    for layer, count in enumerate(depth, start=1):
        for i in range(count):
            block = f"layer{layer}.{i}"
            pairs = [("conv1", "bn1"), ("conv3", "bn3"), *((f"convs.{s}", f"bns.{s}") for s in range(scale - 1))]
            for conv, norm in pairs + ([("downsample.1", "downsample.2")] if i == 0 else []):
                names |= {f"{block}.{conv}.weight"} | of(f"{block}.{norm}", TORCH_NORM)
    return names


@pytest.mark.parametrize(("format_name", "names"), [("detectron2", detectron2_names), ("mmdet", mmdet_names)])
@pytest.mark.parametrize(("name", "depth"), [("res2net50d", (3, 4, 6, 3)), ("res2net101d", (3, 4, 23, 3))])
def test_names_of_detection_programs_are_those_of_their_sources(format_name, names, name, depth):
    with torch.device("meta"):
        tensors = build(name).state_dict()
    foreign = from_native(tensors, format_name)
    assert set(foreign) == names(depth, 4)
    native = to_native(foreign)
    assert native.format == format_name
    assert native.tensors.keys() == tensors.keys()


PAIRS = {
    ("res2net50d", "detectron2"): {
        "conv1.4.running_var": "stem.conv1.4.running_var",
        "bn1.weight": "stem.bn1.weight",
        "layer1.0.conv1.weight": "res2.0.conv1.weight",
        "layer1.0.bn1.weight": "res2.0.conv1.norm.weight",
        "layer4.0.bns.1.bias": "res5.0.bns.1.bias",
        "layer2.0.bn3.running_mean": "res3.0.conv3.norm.running_mean",
        "layer3.0.downsample.1.weight": "res4.0.shortcut.1.weight",
        "layer3.0.downsample.2.weight": "res4.0.shortcut.1.norm.weight",
        "fc.bias": "linear.bias",
    },
    ("res2net50d", "mmdet"): {
        "conv1.6.weight": "stem.6.weight",
        "conv1.1.bias": "stem.1.bias",
        "bn1.weight": "stem.7.weight",
        "layer1.1.bns.1.weight": "layer1.1.bns.1.weight",
    },
    ("res2net26_26w_4s", "maskrcnn"): {
        "conv1.weight": "stem.conv1.weight",
        "bn1.weight": "stem.bn1.weight",
        "layer1.1.bns.1.weight": "layer1.1.bns.1.weight",
    },
    ("res2net50d", "paddle"): {
        "conv1.3.weight": "conv1_2._conv.weight",
        "conv1.4.running_var": "conv1_2._batch_norm._variance",
        "bn1.running_mean": "conv1_3._batch_norm._mean",
        "layer1.1.convs.2.weight": "bb_0_1.res2b_branch2b_3._conv.weight",
        "layer1.1.bns.2.bias": "bb_0_1.res2b_branch2b_3._batch_norm.bias",
        "layer3.0.downsample.1.weight": "bb_2_0.short._conv.weight",
        "layer3.0.downsample.2.weight": "bb_2_0.short._batch_norm.weight",
        "layer4.0.bn3.weight": "bb_3_0.conv2._batch_norm.weight",
    },
    ("res2net26_26w_4s", "paddle"): {
        "conv1.weight": "conv1._conv.weight",
        "bn1.bias": "conv1._batch_norm.bias",
        "layer2.0.downsample.0.weight": "bb_1_0.short._conv.weight",
        "layer2.0.downsample.1.running_mean": "bb_1_0.short._batch_norm._mean",
        "layer2.0.conv1.weight": "bb_1_0.conv0._conv.weight",
    },
}


@pytest.mark.parametrize(("name", "format_name"), PAIRS, ids="-".join)
def test_the_tensors_of_some_names(tiny, name, format_name):
    """The sets of names alone would not notice two exchanged layers."""
    ours = tiny(name).state_dict()
    theirs = from_native(ours, format_name)
    for key, foreign in PAIRS[name, format_name].items():
        assert theirs[foreign] is ours[key]
    back = to_native(theirs).tensors
    for key, foreign in PAIRS[name, format_name].items():
        assert back[key] is theirs[foreign]


@pytest.mark.parametrize(("name", "format_name"), [*PAIRS, ("res2net50d", "mmpretrain"), ("resnet26", "torchvision")])
@pytest.mark.parametrize("num_classes", [5, 0])
def test_round_trips_keep_every_bit(tiny, name, format_name, num_classes):
    """All but what Paddle does not have: counters of batches."""
    ours = tiny(name, num_classes=num_classes).state_dict()
    back = to_native(from_native(ours, format_name)).tensors
    left_out = {key for key in ours if key.endswith("num_batches_tracked")} if format_name == "paddle" else set()
    assert back.keys() == ours.keys() - left_out
    for key, tensor in back.items():
        assert tensor.dtype == ours[key].dtype
        assert torch.equal(tensor, ours[key])


def test_through_all_formats_in_turn(tiny):
    ours = tensors = tiny("res2net50d").state_dict()
    for format_name in ("detectron2", "mmdet", "mmpretrain", "timm", "paddle", "detectron2"):
        foreign = from_native(tensors, format_name)
        assert to_native(foreign).format == ("official" if format_name == "timm" else format_name)
        tensors = to_native(foreign).tensors
    assert all(torch.equal(tensor, ours[key]) for key, tensor in tensors.items())


def test_paddle_classifiers_are_transposed(tiny):
    ours = tiny().state_dict()
    assert torch.equal(from_native(ours, "paddle")["out.weight"], ours["fc.weight"].t())


def test_what_is_no_classifier_is_not_transposed():
    out = torch.zeros(2, 3, 1, 1)
    assert to_native({"bb_0_0.conv0._conv.weight": out, "out.weight": out}).tensors["fc.weight"].shape == out.shape


def test_the_classifier_that_detectron2s_converter_puts_in_the_stem(tiny):
    theirs = from_native(tiny("res2net50d").state_dict(), "detectron2")
    for kind in ("weight", "bias"):
        theirs[f"stem.fc.{kind}"] = theirs.pop(f"linear.{kind}")
    assert torch.equal(to_native(theirs).tensors["fc.weight"], theirs["stem.fc.weight"])


@pytest.mark.parametrize("program", SAME_NAMES)
def test_programs_with_the_official_names(tiny, program):
    ours = tiny("resnet26").state_dict()
    theirs = from_native(ours, program)
    assert theirs.keys() == ours.keys()
    assert to_native(theirs).format == "official"


def test_each_format_names_a_graph():
    assert {name: known.graph for name, known in FORMATS.items() if known.graph != "official"} == {
        name: name for name in ("detectron2", "paddle", "mmdet", "maskrcnn")
    }
    assert {known.graph for known in FORMATS.values()} == set(GRAPHS)


@pytest.mark.parametrize(
    ("name", "options", "format_name", "message"),
    [
        ("res2net26_26w_4s", {}, "mmdet", "only for networks with a deep stem"),
        ("res2net26_26w_4s", {}, "detectron2", "only Res2Nets with a deep stem and pooled shortcuts"),
        ("resnet26d", {}, "detectron2", "only Res2Nets with a deep stem and pooled shortcuts"),
        ("res2net26_26w_4s", {"stem": "deep"}, "detectron2", r"no tensor 'layer1\.0\.downsample\.0\.weight'"),
        ("res2net26_26w_4s", {"stem": "deep"}, "paddle", r"no tensor 'layer1\.0\.downsample\.0\.weight'"),
        ("res2net26_26w_4s", {"shortcut": "avg_pool"}, "paddle", r"no tensor 'layer1\.0\.downsample\.2\.weight'"),
        ("res2net26_26w_4s", {"shortcut": "avg_pool"}, "maskrcnn", r"no tensor 'layer1\.0\.downsample\.2\.weight'"),
        ("res2net26_26w_4s", {"se_reduction": 4}, "paddle", r"no tensor 'layer1\.0\.se\.fc1\.weight'"),
        ("res2net50d", {"se_reduction": 4}, "mmpretrain", r"no tensor 'layer1\.0\.se\.fc1\.weight'"),
        ("res2net50d", {"se_reduction": 4}, "mmdet", r"no tensor 'layer1\.0\.se\.fc1\.weight'"),
        ("res2net50d", {}, "maskrcnn", "only Res2Nets with a stem of one convolution"),
        ("resnet26", {}, "paddle", "PaddleClas uses this format for Res2Nets only"),
        ("res2net26_26w_4s", {}, "torchvision", "torchvision has no Res2Net"),
        ("resnet26d", {}, "torchvision", "no deep stem"),
        ("res2net26_26w_4s", {}, "padle", r"Unknown format 'padle': did you mean 'paddle'\?"),
    ],
)
def test_what_a_program_does_not_have_is_refused(tiny, name, options, format_name, message):
    with pytest.raises(InputError, match=message) as caught:
        from_native(tiny(name, **options).state_dict(), format_name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format_name", ["paddle", "detectron2", "mmdet"])
def test_a_tensor_that_a_format_does_not_have_is_named(tiny, format_name):
    theirs = from_native(tiny("res2net50d").state_dict(), format_name) | {"neck.0.weight": torch.ones(1)}
    with pytest.raises(InputError, match=r"no tensor 'neck\.0\.weight'"):
        to_native(theirs)


def test_no_format_takes_the_names_of_another(tiny):
    """Whatever the order in which they are tried."""
    names = {format_name: from_native(tiny(name).state_dict(), format_name) for name, format_name in PAIRS}
    names["official"] = tiny().state_dict()
    for (owner, tensors), (other, known) in itertools.product(names.items(), FORMATS.items()):
        assert known.recognise(tensors) == (owner == other), (owner, other)


def test_a_family_with_the_mark_of_a_format_among_its_own_names():
    tensors = {"stem.0.weight": torch.ones(1), "layers.0.weight": torch.ones(1)}
    assert to_native(tensors, native_names=[*tensors, "fc.weight"]).format == "official"


def test_the_first_shortcut_of_mmdetections_resnet_d_has_no_pooling(tiny):
    """Its `ResLayer` pools only beside a stride, its `Res2Layer` always."""
    plain, ours = from_native(tiny("resnet26d").state_dict(), "mmdet"), tiny("resnet26d").state_dict()
    assert torch.equal(plain["layer1.0.downsample.0.weight"], ours["layer1.0.downsample.1.weight"])
    assert torch.equal(plain["layer2.0.downsample.1.weight"], ours["layer2.0.downsample.1.weight"])
    assert to_native(plain).tensors.keys() == ours.keys()
    assert "layer1.0.downsample.1.weight" in from_native(tiny("res2net50d").state_dict(), "mmdet")
