"""Big-Little Net against a forward pass written from the description, and its own ways of the contract."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from res2net.backbones.registry import build, variant_names
from res2net.errors import InputError
from res2net.measure import receptive_field, stage_fields
from res2net.nn import Res2Bottleneck

NAMES = variant_names("blres*")
SMALL = {"channels": (8, 8, 16, 16), "stem_channels": 8, "base_width": 32, "num_classes": 5}


def small(alike, name="blres2net50_26w_4s", **options):
    with torch.device("meta"):
        model = build(name, **SMALL | options)
    alike(model)
    return model.eval()


class Naive:
    """The network as the paper and section 4 of the Res2Net journal paper tell it, on a dictionary of weights.

    Big branches work at half the size and end without ReLU, little ones with half of the channels; what is halved goes
    through a 3x3 average of stride 2 in the shortcut, and in the splits' blocks in place of the last convolution.
    """

    def __init__(self, weights, layers, scale):
        self.weights, self.layers, self.scale = weights, layers, scale

    def conv(self, x, name, stride=1):
        weight = self.weights[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def norm(self, x, name):
        scale, shift, mean, variance = (
            self.weights[f"{name}.{part}"][:, None, None] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / (variance + 1e-5) ** 0.5 * scale + shift

    def sized(self, x, name, stride):
        """The k x k convolutions of a block, or those of its splits."""
        if self.scale == 1:
            return self.norm(self.conv(x, f"{name}.conv2", stride), f"{name}.bn2").relu()
        splits, outputs = x.chunk(self.scale, 1), []
        for index in range(self.scale - 1):
            given = splits[index]
            if stride == 1 and index > 0:
                given = given + outputs[-1]
            outputs.append(self.norm(self.conv(given, f"{name}.convs.{index}", stride), f"{name}.bns.{index}").relu())
        outputs.append(splits[-1] if stride == 1 else F.avg_pool2d(splits[-1], 3, stride, 1))
        return torch.cat(outputs, 1)

    def block(self, x, name, stride, relu=True):
        y = self.norm(self.conv(x, f"{name}.conv1"), f"{name}.bn1").relu()
        y = self.norm(self.conv(self.sized(y, name, stride), f"{name}.conv3"), f"{name}.bn3")
        shortcut = F.avg_pool2d(x, 3, stride, 1) if stride == 2 else x
        first = 1 if stride == 2 else 0
        if f"{name}.downsample.{first}.weight" in self.weights:
            projected = self.conv(shortcut, f"{name}.downsample.{first}")
            shortcut = self.norm(projected, f"{name}.downsample.{first + 1}")
        y = y + shortcut
        return y.relu() if relu else y

    def branches(self, x, name, layers, stride):
        big = x
        for index in range(layers - 1):
            big = self.block(big, f"{name}.big.{index}", stride=2 if index == 0 else 1, relu=index < layers - 2)
        little = x
        for index in range(max(1, layers // 4 - 1)):
            little = self.block(little, f"{name}.little.{index}", stride=1)
        little = self.norm(self.conv(little, f"{name}.little_e.0"), f"{name}.little_e.1")
        rows, columns = (torch.arange(size) // 2 for size in little.shape[2:])
        enlarged = big[:, :, rows][:, :, :, columns]
        return self.block((enlarged + little).relu(), f"{name}.fusion.0", stride)

    def features(self, x):
        x = self.norm(self.conv(x, "conv1", 2), "bn1").relu()
        yield x
        big = self.norm(self.conv(x, "stem.big.0", 2), "stem.big.1")
        little = self.norm(self.conv(x, "stem.little.0"), "stem.little.1").relu()
        little = self.norm(self.conv(little, "stem.little.3", 2), "stem.little.4").relu()
        little = self.norm(self.conv(little, "stem.little.6"), "stem.little.7")
        x = self.norm(self.conv((big + little).relu(), "stem.fusion.0"), "stem.fusion.1").relu()
        yield x
        for index, stride in enumerate((2, 2, 1)):
            x = self.branches(x, f"layer{index + 1}", self.layers[index], stride)
            yield x
        for index in range(self.layers[3]):
            x = self.block(x, f"layer4.{index}", stride=2 if index == 0 else 1)
        yield x

    def logits(self, x):
        mean = list(self.features(x))[-1].mean((2, 3))
        return mean @ self.weights["fc.weight"].T + self.weights["fc.bias"]


LAYERS = {"50": (3, 4, 6, 3), "101": (4, 8, 18, 3)}


@pytest.mark.parametrize("size", [(64, 64), (75, 50), (33, 97)])
@pytest.mark.parametrize("name", ["blresnet50", "blres2net50_26w_4s"])
def test_features_logits_and_gradients(alike, name, size):
    model = small(alike, name).double()
    naive = Naive(
        dict(model.named_parameters()) | dict(model.named_buffers()), (3, 4, 6, 3), 4 if "2net" in name else 1
    )
    x = torch.randn(2, 3, *size, dtype=torch.double)
    for feature, expected in zip(model.features(x), naive.features(x), strict=True):
        assert expected.std() > 0.01
        torch.testing.assert_close(feature, expected, rtol=1e-10, atol=1e-10)
    logits, expected = model(x), naive.logits(x)
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-10)
    weights = list(model.parameters())
    found, right = (torch.autograd.grad(output.square().sum(), weights) for output in (logits, expected))
    for gradient, other in zip(found, right, strict=True):
        assert (gradient - other).norm() <= 1e-6 * other.norm()
    assert sum(bool(gradient.any()) for gradient in found) > 0.9 * len(found)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_the_named_networks_have_these_layers(alike, name):
    """With all channels, in single precision."""
    with torch.device("meta"):
        model = build(name, num_classes=10)
    alike(model)
    depth = next(depth for depth in LAYERS if f"net{depth}" in name)
    naive = Naive(model.state_dict(), LAYERS[depth], 4 if "2net" in name else 1)
    x = torch.randn(1, 3, 64, 64)
    logits, expected = model.eval()(x), naive.logits(x)
    assert expected.std() > 0.01
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_the_four_networks():
    assert set(NAMES) == {"blresnet50", "blresnet101", "blres2net50_26w_4s", "blres2net101_26w_4s"}


def test_numbers_of_blocks_and_channels():
    with torch.device("meta"):
        model = build("blresnet101", alpha=4, beta=2)
    for layer, big, little, channels in ((1, 3, 1, 256), (2, 7, 3, 512), (3, 17, 8, 1024)):
        module = model.get_submodule(f"layer{layer}")
        assert (len(module.big), len(module.little), len(module.fusion)) == (big, little, 1)
        assert module.big[-1].out_channels == module.fusion[0].out_channels == channels
        assert module.little[-1].out_channels == channels // 4
        assert isinstance(module.big[-1].act3, nn.Identity)
        assert isinstance(module.big[0].act3, nn.ReLU)
    assert model.stem.little[0].out_channels == 16


@pytest.mark.parametrize("output_stride", [32, 8])
def test_only_blocks_that_halve_the_size_are_stage_blocks(output_stride):
    with torch.device("meta"):
        model = build("blres2net50_26w_4s", output_stride=output_stride)
    found = {key for key, module in model.named_modules() if getattr(module, "mode", None) == "stage"}
    assert found == {"layer1.big.0", "layer2.big.0", "layer3.big.0", "layer1.fusion.0", "layer2.fusion.0", "layer4.0"}


# Dilation


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", NAMES)
def test_weights_are_the_same_at_any_output_stride(name, output_stride):
    with torch.device("meta"):
        natural, dilated = build(name).state_dict(), build(name, output_stride=output_stride).state_dict()
    assert {key: t.shape for key, t in natural.items()} == {key: t.shape for key, t in dilated.items()}


@pytest.mark.parametrize(("output_stride", "same"), [(16, 6), (8, 4)])
@pytest.mark.parametrize("name", ["blresnet50", "blres2net50_26w_4s"])
@torch.no_grad()
def test_a_dilated_network_computes_the_same_and_what_lies_between(alike, name, output_stride, same):
    """Of the first stages, every second position is that of the network with strides.

    Behind them, a big branch of half the size sees other positions.
    """
    natural, dilated = small(alike, name), small(alike, name, output_stride=output_stride)
    x = torch.randn(2, 3, 75, 64)
    pyramid = dilated.features(x)
    strides = [stage.stride for stage in natural.stages]
    assert [stage.stride for stage in dilated.stages] == [min(stride, output_stride) for stride in strides]
    for expected, feature, stride in list(zip(natural.features(x), pyramid, strides, strict=True))[:same]:
        step = max(1, stride // output_stride)
        torch.testing.assert_close(feature[:, :, ::step, ::step], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("output_stride", [4, 12, 64])
def test_output_strides_that_are_not_possible(output_stride):
    sentence = rf"Output stride {output_stride} is not possible here: choose one of \[32, 16, 8\]\."
    with torch.device("meta"), pytest.raises(InputError, match=sentence):
        build("blresnet50", output_stride=output_stride)


# Receptive fields


@pytest.mark.parametrize("output_stride", [32, 16, 8])
@pytest.mark.parametrize("name", ["blresnet50", "blres2net50_26w_4s"])
def test_receptive_fields_are_those_of_gradients(name, output_stride):
    """Even and odd positions behind an enlarged map do not see the same way around them: one of them is told."""
    options = SMALL | {"channels": (8, 8, 8, 8), "num_classes": 0}
    model = build(name, **options, output_stride=output_stride).double().eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.uniform_(0.5, 1.5).div_(module.weight[0].numel())
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(1)
    x = torch.ones(1, 3, 32, 4096, dtype=torch.double, requires_grad=True)
    fields = stage_fields(model)
    for output, field, stage in zip(model.features(x), fields, model.stages, strict=True):
        assert field.stride == stage.stride
        seen_by_two = []
        for centre in (output.shape[3] // 2, output.shape[3] // 2 + 1):
            (gradient,) = torch.autograd.grad(output[..., centre].sum(), x, retain_graph=True)
            seen = gradient.abs().sum((0, 1, 2)).nonzero().flatten()
            first, last = seen.min().item(), seen.max().item()
            assert 0 < first < last < x.shape[3] - 1
            seen_by_two.append((first - centre * field.stride, last - centre * field.stride))
        assert (field.first, field.last) in seen_by_two
        assert field.largest == max(last - first + 1 for first, last in seen_by_two)
    assert receptive_field(model) == fields[-1]


# The contract, for this family


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_any_dimension(dims):
    model = build("blres2net50_26w_4s", **SMALL, dims=dims, in_channels=2)
    x = torch.randn(2, 2, *(35, 18, 21)[:dims])
    for feature, stage in zip(model.features(x), model.stages, strict=True):
        assert feature.shape == (2, stage.channels, *(-(-side // stage.stride) for side in x.shape[2:]))
    model(x).sum().backward()
    assert all(tensor.grad is not None for tensor in model.parameters())


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("output_stride", [32, 8])
def test_the_pyramid_is_not_changed_by_what_comes_after(norm, output_stride, assert_pyramid_stays):
    model = build("blres2net50_26w_4s", **SMALL, norm=norm, output_stride=output_stride).eval()
    assert_pyramid_stays(model)


@pytest.mark.parametrize("stages", range(7))
def test_frozen_stages_do_not_change(stages):
    model = build("blresnet50", **SMALL, zero_init_last=False).freeze(stages)
    levels = [{"conv1", "bn1"}, {"stem"}, *({f"layer{index}"} for index in range(1, 5))]
    before = copy.deepcopy(model.state_dict())
    model(torch.randn(4, 3, 64, 64)).square().sum().backward()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor -= 0 if tensor.grad is None else tensor.grad + 0.1
    changed = {key.split(".")[0] for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed == set().union({"fc"}, *levels[stages:])


def test_names_of_stages():
    with torch.device("meta"):
        assert build("blresnet50").stage_names == ("conv1", "stem", "layer1", "layer2", "layer3", "layer4")


@pytest.mark.parametrize("zero_init_last", [False, True])
@pytest.mark.parametrize("name", ["blresnet50", "blres2net50_26w_4s"])
def test_initial_weights(name, zero_init_last):
    options = {} if zero_init_last else {"zero_init_last": False}
    model = build(name, **SMALL | {"channels": (32, 32, 64, 64)}, **options)
    blocks = [module for module in model.modules() if isinstance(module, Res2Bottleneck)]
    assert len(blocks) == 19
    last = {id(block.bn3) for block in blocks}
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            zero = zero_init_last and id(module) in last
            assert (module.weight == (0 if zero else 1)).all()
            assert (module.bias == 0).all()
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            deviation = (2 / (module.out_channels * module.kernel_size[0] ** 2)) ** 0.5
            assert module.weight.std().item() == pytest.approx(deviation, rel=0.05)


def test_stochastic_depth_rises_linearly():
    with torch.device("meta"):
        model = build("blres2net50_26w_4s", drop_path_rate=0.3)
    rates = [getattr(block.drop_path, "p", 0.0) for block in model.modules() if isinstance(block, Res2Bottleneck)]
    assert rates == pytest.approx([0.3 * index / 18 for index in range(19)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": (3, 4, 6)}, "3 stages of layers and 4 of channels: give as many of each, at least 2"),
        ({"layers": (3,), "channels": (8,)}, "1 stages of layers and 1 of channels"),
        ({"layers": (3, 1, 6, 3)}, r"Layers \(3, 1, 6, 3\) do not fit: a stage of two branches needs two or more"),
        ({"layers": (3, 4, 6, 0)}, "Number of layers 0 does not fit: give a positive integer"),
        ({"alpha": 0}, "Alpha 0 does not fit: give a positive integer"),
        ({"beta": -1}, "Beta -1 does not fit: give a positive integer"),
        ({"alpha": 3}, "64 channels are not divisible by alpha 3: choose others"),
        ({"in_channels": 0}, "1000 classes and 0 input channels"),
        ({"dropout": 1.0}, "Dropout 1.0 does not fit"),
        ({"drop_path_rate": 1.0}, "Drop path 1.0 does not fit"),
        ({"dims": 4}, "Unknown number of dimensions 4"),
        ({"base_width": 0}, "Base width 0 does not fit"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with torch.device("meta"), pytest.raises(InputError, match=message) as caught:
        build("blres2net50_26w_4s", **options)
    assert "\n" not in str(caught.value)
