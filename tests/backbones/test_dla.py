"""Deep layer aggregation: what timm's networks do not show."""

import copy

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from res2net.backbones.dilated import DilatedMaxPool
from res2net.backbones.registry import build, variant_names
from res2net.errors import InputError
from res2net.measure import receptive_field, stage_fields
from res2net.nn import Res2Bottleneck
from res2net.weights import Checkpoint, check_usable, find_record, load
from res2net.zoo import create_model

NAMES = variant_names("dla*")
LEVELS = (1, 1, 1, 2, 3, 1)
SMALL = {"channels": (4, 6, 8, 16, 16, 24), "base_width": 64, "cardinality": 1, "num_classes": 5}
UNUSED = ("level3", "level4", "level4.tree1")
"""Trees of trees, of which the official code has a projection that it does not apply."""


def small(alike, name="dla60_res2net", **options):
    with torch.device("meta"):
        model = build(name, **SMALL | options)
    alike(model)
    return model.eval()


def test_the_four_networks_of_the_paper():
    assert set(NAMES) == {"dla60", "dla60x", "dla60_res2net", "dla60_res2next"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(64, 96), (45, 71), (33, 50)])
@torch.no_grad()
def test_images_of_any_size(alike, name, size):
    """Where a pooling keeps incomplete windows, timm's network takes them too."""
    with torch.device("meta"):
        ours, reference = build(name, num_classes=10), timm.create_model(name, num_classes=10)
    alike(ours, reference)
    for module in reference.modules():
        if isinstance(module, nn.MaxPool2d):
            module.ceil_mode = True
    x = torch.randn(1, 3, *size)
    logits, expected = ours.eval()(x), reference.eval()(x)
    assert expected.std() > 0.01
    assert (logits - expected).abs().max() == 0


def official(weights, outputs):
    """The state of the authors' network: also a projection of each tree of trees, as their code would make it."""
    extra = {}
    for tree, width in zip(UNUSED, outputs, strict=True):
        extra[f"{tree}.project.0.weight"] = torch.randn(width, width // 2, 1, 1)
        for statistic in ("weight", "bias", "running_mean", "running_var"):
            extra[f"{tree}.project.1.{statistic}"] = torch.randn(width)
        extra[f"{tree}.project.1.num_batches_tracked"] = torch.tensor(7)
    return {**weights, **extra}


@pytest.mark.parametrize("name", ["dla60_res2net", "dla60_res2next"])
def test_the_authors_files_can_be_loaded(alike, name):
    record = find_record(name)
    check_usable(record)
    assert record.model == name
    with torch.device("meta"):
        source = build(name)
    alike(source)
    given = official(source.state_dict(), (256, 512, 512))
    assert (
        sum(t.numel() for key, t in given.items() if "running" not in key and "batches" not in key)
        == {
            "dla60_res2net": 21_145_544,
            "dla60_res2next": 17_330_456,
        }[name]
    )
    model = create_model(name, Checkpoint(given))
    assert all(torch.equal(tensor, given[key]) for key, tensor in model.state_dict().items())
    report = load(build(name), Checkpoint(given))
    assert report.format == "official"
    assert len(report.dropped) == 18
    assert {key.split(".project.")[0] for key in report.dropped} == set(UNUSED)


def test_weights_of_another_classifier_and_another_image(alike):
    given = Checkpoint(small(alike).state_dict())
    with pytest.raises(InputError, match="a classifier of 5 classes and the model a classifier of 7"):
        create_model("dla60_res2net", given, **SMALL | {"num_classes": 7})
    options = SMALL | {"num_classes": 7, "in_channels": 1}
    model = create_model("dla60_res2net", given, adapt_classifier=True, adapt_input=True, **options)
    assert model.fc.weight.shape == (7, 24, 1, 1)
    assert torch.allclose(model.base_layer[0].weight[:, 0], given.tensors["base_layer.0.weight"].sum(1))


def test_the_projection_that_is_used_is_not_dropped(alike):
    given = official(small(alike).state_dict(), (16, 16, 16))
    del given["level5.project.0.weight"]
    with pytest.raises(InputError, match=r"1 are missing \(such as level5\.project\.0\.weight\)"):
        load(build("dla60_res2net", **SMALL), Checkpoint(given))


def test_only_blocks_that_halve_the_size_are_stage_blocks():
    first = {"level2.tree1", "level3.tree1.tree1", "level4.tree1.tree1.tree1", "level5.tree1"}
    for output_stride in (32, 8):
        with torch.device("meta"):
            model = build("dla60_res2net", output_stride=output_stride)
        assert sum(isinstance(module, Res2Bottleneck) for module in model.modules()) == 16
        assert {key for key, b in model.named_modules() if getattr(b, "mode", None) == "stage"} == first


def test_a_residual_from_outside():
    block = Res2Bottleneck(8, 4, base_width=64, scale=4, expansion=2).eval()
    x, residual = torch.randn(2, 1, 8, 5, 6)
    kept = residual.clone()
    branch = block(x, torch.full_like(x, 100.0)) - 100
    torch.testing.assert_close(block(x, residual), F.relu(branch + residual), rtol=0, atol=1e-4)
    assert torch.equal(block(x, x), block(x))
    assert torch.equal(residual, kept)


# Dilation


@pytest.mark.parametrize("output_stride", [4, 8, 16])
@pytest.mark.parametrize("name", NAMES)
def test_weights_are_the_same_at_any_output_stride(name, output_stride):
    with torch.device("meta"):
        natural, dilated = build(name).state_dict(), build(name, output_stride=output_stride).state_dict()
    assert {key: t.shape for key, t in natural.items()} == {key: t.shape for key, t in dilated.items()}


@pytest.mark.parametrize("size", [(64, 96), (75, 50)])
@pytest.mark.parametrize(
    ("name", "output_stride"), [("dla60", 16), ("dla60", 8), ("dla60", 4), ("dla60x", 8), ("dla60_res2net", 16)]
)
@torch.no_grad()
def test_a_dilated_network_computes_the_same_and_what_lies_between(alike, name, output_stride, size):
    """Every second position is that of the network with strides (Res2 blocks: until a dilated pooling would be due)."""
    natural, dilated = small(alike, name), small(alike, name, output_stride=output_stride)
    x = torch.randn(2, 3, *size)
    for expected, feature, stage in zip(natural.features(x), dilated.features(x), natural.stages, strict=True):
        step = max(1, stage.stride // output_stride)
        assert feature.shape[2] > expected.shape[2] or step == 1
        torch.testing.assert_close(feature[:, :, ::step, ::step], expected, rtol=1e-4, atol=1e-5)


# Receptive fields


class FourPositions(nn.Module):
    """The sum of the positions that a dilated pooling compares."""

    def __init__(self, dilation):
        super().__init__()
        self.dilation = dilation

    def forward(self, x):
        d = self.dilation
        padded = F.pad(x, (0, d, 0, d))
        return sum(padded[..., i : i + x.shape[2], j : j + x.shape[3]] for i in (0, d) for j in (0, d))


def without_maxima(model):
    """A copy in double precision that loses no path: positive weights, sums instead of maxima."""
    model = copy.deepcopy(model).double().eval()
    for name, module in list(model.named_modules()):
        if isinstance(module, DilatedMaxPool):
            model.set_submodule(name, FourPositions(module.pool.dilation))
        elif isinstance(module, nn.MaxPool2d) and not name.endswith("downsample.pool"):
            model.set_submodule(name, nn.AvgPool2d(2))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.uniform_(0.5, 1.5).div_(module.weight[0].numel())
    return model


@pytest.mark.parametrize("output_stride", [32, 16, 8])
@pytest.mark.parametrize("name", ["dla60", "dla60_res2net"])
def test_receptive_fields_are_those_of_gradients(name, output_stride):
    levels = (1, 1, 1, 2, 2, 1) if name == "dla60" else (1, 1, 1, 2, 1, 1)
    model = build(name, **SMALL | {"levels": levels, "output_stride": output_stride, "num_classes": 0})
    x = torch.ones(1, 3, 32, 960, dtype=torch.double, requires_grad=True)
    fields = stage_fields(model)
    for output, field, stage in zip(without_maxima(model).features(x), fields, model.stages, strict=True):
        assert field.stride == stage.stride
        centre = output.shape[3] // 2
        (gradient,) = torch.autograd.grad(output[..., centre].sum(), x, retain_graph=True)
        seen = gradient.abs().sum((0, 1, 2)).nonzero().flatten()
        expected = (field.first + centre * field.stride, field.last + centre * field.stride)
        assert 0 < expected[0] < expected[1] < x.shape[3] - 1
        assert (seen.min(), seen.max()) == expected
    assert receptive_field(model) == fields[-1]


# The contract, for this family


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_any_dimension(dims):
    model = build("dla60_res2net", **SMALL, levels=(1, 2, 1, 2, 1, 1), dims=dims, in_channels=2)
    x = torch.randn(2, 2, *(35, 18, 21)[:dims])
    for feature, stage in zip(model.features(x), model.stages, strict=True):
        assert feature.shape == (2, stage.channels, *(-(-side // stage.stride) for side in x.shape[2:]))
    logits = model(x)
    assert logits.shape == (2, 5)
    logits.sum().backward()
    assert all(tensor.grad is not None for tensor in model.parameters())


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("output_stride", [32, 8])
def test_the_pyramid_is_not_changed_by_what_comes_after(norm, output_stride, assert_pyramid_stays):
    model = build("dla60_res2net", **SMALL, norm=norm, output_stride=output_stride).eval()
    assert_pyramid_stays(model)


@pytest.mark.parametrize("stages", range(6))
def test_frozen_levels_do_not_change(stages):
    model = build("dla60_res2net", **SMALL).freeze(stages)
    frozen = [["base_layer", "level0", "level1"], ["level2"], ["level3"], ["level4"], ["level5"]][:stages]
    before = copy.deepcopy(model.state_dict())
    model(torch.randn(4, 3, 64, 64)).square().sum().backward()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor -= 0 if tensor.grad is None else tensor.grad + 0.1
    changed = {key.split(".")[0] for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
    parts = {"base_layer", *(f"level{index}" for index in range(6)), "fc"}
    assert changed == parts - {part for level in frozen for part in level}


def test_names_of_stages():
    with torch.device("meta"):
        assert build("dla60").stage_names == ("stem", "level2", "level3", "level4", "level5")


def test_initial_weights_are_those_of_the_official_code():
    model = build("dla60_res2net")
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 20_000:
            deviation = (2 / (module.out_channels * module.kernel_size[0] ** 2)) ** 0.5
            assert module.weight.std().item() == pytest.approx(deviation, rel=0.05)
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.min() == 1
            assert module.bias.abs().max() == 0
    zeroed = build("dla60_res2net", **SMALL, zero_init_last=True)
    for module in zeroed.modules():
        if isinstance(module, Res2Bottleneck):
            assert module.bn3.weight.abs().max() == 0


def test_stochastic_depth_rises_linearly():
    with torch.device("meta"):
        model = build("dla60_res2net", drop_path_rate=0.3)
    rates = [getattr(block.drop_path, "p", 0.0) for block in model.modules() if isinstance(block, Res2Bottleneck)]
    assert rates == pytest.approx([0.3 * index / 15 for index in range(16)])


def test_recomputing_gives_the_same_gradients():
    model = build("dla60_res2net", **SMALL)
    saving = build("dla60_res2net", **SMALL, recompute=True)
    saving.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, 64, 64)
    for network in (model, saving):
        network(x).square().sum().backward()
    for tensor, other in zip(model.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(other.grad, tensor.grad, rtol=1e-4, atol=1e-4 * tensor.grad.abs().max().item())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": (1, 1)}, "2 stages of levels and 6 of channels: give as many of each, at least 3"),
        ({"levels": (1, 1), "channels": (8, 8)}, "2 stages of levels and 2 of channels"),
        ({"levels": (1, 1, 1, 0, 1, 1)}, "Number of levels 0 does not fit: give a positive integer"),
        ({"channels": (4, 0, 8, 8, 8, 8)}, "Number of channels 0 does not fit: give a positive integer"),
        ({"channels": (4, 4, 8, 9, 8, 8)}, "9 channels of a tree do not fit: give an even number"),
        ({"output_stride": 12}, r"Output stride 12 is not possible here: choose one of \[32, 16, 8, 4\]"),
        ({"num_classes": -1}, "-1 classes and 3 input channels"),
        ({"dropout": 1.0}, "Dropout 1.0 does not fit"),
        ({"drop_path_rate": 1.0}, "Drop path 1.0 does not fit"),
        ({"dims": 4}, "Unknown number of dimensions 4"),
        ({"base_width": 0}, "Base width 0 does not fit"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with torch.device("meta"), pytest.raises(InputError, match=message) as caught:
        build("dla60_res2net", **options)
    assert "\n" not in str(caught.value)
