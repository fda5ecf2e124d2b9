"""What every backbone of the registry offers, whatever its family."""

import inspect

import pytest
import torch

from res2net.backbones.registry import build, variant, variant_names
from res2net.errors import InputError
from res2net.measure import stage_fields

NAMES = variant_names()
FIRST = {variant(name).about: name for name in reversed(NAMES)}.values()
"""The first variant of each family; the others have more of the same layers."""
LARGE = ("densenet161", "hrnet_w18", "inception_v3")
FAMILIES = [pytest.param(name, marks=() if name in FIRST and name not in LARGE else pytest.mark.slow) for name in NAMES]
SIZES = ((65, 97, 33), (100, 71, 64))

# What a few networks do otherwise than the others; each name is here for a reason of its source.
OF_TIMM = {"vgg16", "inception_v3", "densenet161", "hrnet_w18", "hrnet_w48"}
INEXACT_SIZES = OF_TIMM  # incomplete windows are dropped, Inception does not pad, HRNet takes multiples of 32 only
OWN_STRIDE_ONLY = {"inception_v3", "hrnet_w18", "hrnet_w48", "ecapa_tdnn_512", "ecapa_tdnn_1024"}
SAME_FIELDS = {"hrnet_w18", "hrnet_w48"}  # branches exchange their maps, so several stages see as much
LAYERS_IN_SEVERAL_PLACES = {"hrnet_w18", "hrnet_w48"}  # one ReLU for all sums of a module
WITH_LAYERS_BEFORE_THE_CLASSIFIER = {"vgg16", "hrnet_w18", "hrnet_w48", "ecapa_tdnn_512", "ecapa_tdnn_1024"}


def on_meta(name, **options):
    with torch.device("meta"):
        return build(name, **options).eval().requires_grad_(False)


def image(model, size):
    if model.variant_name in INEXACT_SIZES:
        size = [-(-side // 96) * 96 for side in size]
    return torch.empty(2, model.in_channels, *size[: model.dims], device="meta")


def assert_declares_its_pyramid(model, x):
    pyramid = model.features(x)
    assert len(pyramid) == len(model.stages) == len(model.stage_modules())
    assert model.exact_sizes is (model.variant_name not in INEXACT_SIZES)
    for feature, stage in zip(pyramid, model.stages, strict=True):
        sides = tuple(-(-side // stage.stride) for side in x.shape[2:])
        assert feature.shape[:2] == (len(x), stage.channels)
        if model.variant_name == "inception_v3":
            assert all(0 <= side - own <= 5 for side, own in zip(sides, feature.shape[2:], strict=True))
        else:
            assert feature.shape[2:] == sides
    assert model.output_stride == model.stages[-1].stride
    strides = [stage.stride for stage in model.stages]
    assert strides == sorted(strides)


@pytest.mark.parametrize("name", FAMILIES)
def test_stages_are_as_declared(name):
    model = on_meta(name)
    for size in SIZES:
        assert_declares_its_pyramid(model, image(model, size))


@pytest.mark.parametrize("name", FAMILIES)
def test_output_strides(name):
    natural = on_meta(name).output_stride
    for output_stride in {8, 16, 32} - {natural}:
        if output_stride > natural or name in OWN_STRIDE_ONLY:
            why = ".* so choose" if name in OWN_STRIDE_ONLY else "choose one of"
            with pytest.raises(InputError, match=rf"Output stride {output_stride} is not possible here: {why}"):
                on_meta(name, output_stride=output_stride)
            continue
        model = on_meta(name, output_stride=output_stride)
        assert model.output_stride == output_stride
        assert_declares_its_pyramid(model, image(model, SIZES[0]))
    assert on_meta(name, output_stride=natural).output_stride == natural


@pytest.mark.parametrize("name", FAMILIES)
def test_channels_of_the_image_and_no_classifier(name):
    model = on_meta(name, in_channels=5, num_classes=0)
    x = image(model, SIZES[0])
    assert (model.in_channels, model.num_classes) == (5, 0)
    assert model.get_submodule(model.input_layer_name).weight.shape[1] == 5
    assert model(x).shape == model.features(x)[-1].shape
    assert not any(key.startswith(f"{model.classifier_name}.") for key in model.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_is_of_a_stage_or_of_the_classifier(name):
    model = on_meta(name, num_classes=7)
    assert len(model.get_submodule(model.classifier_name).weight) == 7
    in_stages = {id(t) for stage in model.stage_modules() for module in stage for t in module.parameters()}
    classifier = {f"{model.classifier_name}.{kind}" for kind in ("weight", "bias")}
    others = {key for key, tensor in model.named_parameters() if id(tensor) not in in_stages}
    assert classifier <= others
    assert (others > classifier) is (name in WITH_LAYERS_BEFORE_THE_CLASSIFIER)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_receptive_field_of_each_stage_is_known(name):
    model = on_meta(name)
    fields = stage_fields(model)
    assert [field.stride for field in fields] == [stage.stride for stage in model.stages]
    sizes = [field.largest for field in fields]
    assert sizes == sorted(sizes)
    assert (len(sizes) == len(set(sizes))) is (name not in SAME_FIELDS)
    assert all(min(field.paths) == field.smallest for field in fields)


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_come_from_layers_of_one_place_each(name):
    """A layer used in several places, such as an activation, breaks what is measured or quantized by place."""
    calls = []
    model = on_meta(name)
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, *_: calls.append(module))
    assert model(image(model, SIZES[0])).shape == (2, model.num_classes)
    assert (len(calls) == len(set(calls))) is (name not in LAYERS_IN_SEVERAL_PLACES)


@pytest.mark.parametrize("name", NAMES)
def test_options_are_named_and_a_misspelt_one_comes_with_the_nearest(name):
    parameters = inspect.signature(variant(name).build).parameters.values()
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters)
    assert {"num_classes", "in_channels", "output_stride", "drop_path_rate"} <= set(variant(name).option_names)
    with pytest.raises(InputError, match=rf"Model '{name}' has no option 'num_clases': did you mean 'num_classes'\?"):
        on_meta(name, num_clases=3)


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_says_what_it_is(name):
    assert variant(name).about
    assert variant(name).about[-1] != "."


@pytest.mark.parametrize(
    "name", ["resnet14", "resnet14d", "res2net14_26w_4s", "seres2net50_26w_4s", "cifar_seres2next29_6c24w_4s"]
)
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_the_pyramid_is_not_changed_by_what_comes_after(name, norm, assert_pyramid_stays):
    """Activations work in place: none may reach a feature that was already given out."""
    tiny = {"layers": (1, 2, 1, 1), "channels": (8, 16, 16, 16), "norm": norm, "stem_channels": 8}
    model = build(name, **({"stem_channels": 8} if name.startswith("cifar") else tiny)).eval()
    assert_pyramid_stays(model)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("shortcut", ["conv", "avg_pool"])
@pytest.mark.parametrize("stem", ["conv7", "deep", "conv3", "simple"])
def test_a_resnet_in_any_dimension(dims, stem, shortcut):
    model = build(
        "res2net26_26w_4s",
        layers=(1, 2),
        channels=(8, 16),
        stem_channels=8,
        dims=dims,
        stem=stem,
        shortcut=shortcut,
        base_width=32,
        num_classes=3,
        in_channels=2,
    )
    x = torch.randn(2, 2, *(33, 18, 21)[:dims])
    assert_declares_its_pyramid(model, x)
    model(x).sum().backward()
    assert all(tensor.grad is not None for tensor in model.parameters())


def test_stochastic_depth_rises_linearly():
    model = on_meta("res2net50_26w_4s", drop_path_rate=0.3)
    rates = [getattr(block.drop_path, "p", 0.0) for layer in range(1, 5) for block in getattr(model, f"layer{layer}")]
    assert rates == pytest.approx([0.3 * index / 15 for index in range(16)])


def test_dropout_is_before_the_classifier():
    model = build("resnet14", layers=(1,), channels=(8,), stem_channels=8, num_classes=3, dropout=0.5)
    assert model.dropout.p == 0.5
    x = torch.randn(1, 3, 16, 16)
    assert not torch.equal(model(x), model(x))
    assert torch.equal(model.eval()(x), model(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ()}, "0 stages of layers and 4 of channels: give as many of each, at least 1"),
        ({"layers": (1, 1)}, "2 stages of layers and 4 of channels: give as many of each"),
        ({"layers": (1, 0, 1, 1)}, "Number of layers 0 does not fit: give a positive integer"),
        ({"channels": (8, 0, 8, 8)}, "Number of channels 0 does not fit: give a positive integer"),
        ({"num_classes": -1}, "-1 classes and 3 input channels: give at least 0 and at least 1"),
        ({"in_channels": 0}, "1000 classes and 0 input channels: give at least 0 and at least 1"),
        ({"stem": "deep", "stem_channels": 1}, "Output channels 0 does not fit: give a positive integer"),
        ({"output_stride": 12}, r"Output stride 12 is not possible here: choose one of \[32, 16, 8, 4\]"),
        ({"stem": "conv5"}, "Unknown stem 'conv5': did you mean 'conv"),
        ({"shortcut": "max_pool"}, r"Unknown shortcut 'max_pool': did you mean 'avg_pool'\?"),
        ({"dropout": 1.0}, "Dropout 1.0 does not fit: give a probability"),
        ({"drop_path_rate": 1.0}, "Drop path 1.0 does not fit: give a probability"),
        ({"stage_pass_through": "identity"}, "Stride 2 does not fit pass_through='identity'"),
        ({"dims": 4}, "Unknown number of dimensions 4"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(InputError, match=message) as caught:
        on_meta("res2net14_26w_4s", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("depth", [9, 10, 30, 2])
def test_depths_of_the_cifar_family(depth):
    with pytest.raises(InputError, match=rf"Depth {depth} does not fit: choose 9 n \+ 2, such as 29, 56 or 164"):
        on_meta("cifar_resnext29_8c64w", depth=depth)
