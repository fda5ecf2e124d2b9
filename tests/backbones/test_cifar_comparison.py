"""Wide ResNet and DenseNet-BC for 32x32 images: published sizes, and the functions of their papers."""

import pytest
import torch
import torch.nn.functional as F

from res2net.backbones.registry import build
from res2net.errors import InputError

WRN, DENSENET = "cifar_wrn28_10", "cifar_densenetbc190_k40"


def parameters(name, **options):
    with torch.device("meta"):
        return sum(tensor.numel() for tensor in build(name, **options).parameters())


def test_the_published_parameters():
    """36.5 M holds for either number of classes, 25.6 M for 10 only."""
    assert parameters(WRN, num_classes=10) == 36_479_194
    assert parameters(WRN, num_classes=100) == 36_536_884
    assert parameters(DENSENET, num_classes=10) == 25_624_430
    assert parameters(DENSENET, num_classes=100) == 25_821_620


@pytest.mark.parametrize(
    ("name", "options", "published"),
    [
        # Zagoruyko and Komodakis, Tables 2 and 4, in millions.
        (WRN, {"depth": 40, "widen": 1}, "0.6"),
        (WRN, {"depth": 40, "widen": 4}, "8.9"),
        (WRN, {"depth": 16, "widen": 8}, "11.0"),
        (WRN, {"depth": 28, "widen": 12}, "52.5"),
        # Huang et al., Table 2.
        (DENSENET, {"depth": 100, "growth_rate": 12}, "0.8"),
        (DENSENET, {"depth": 250, "growth_rate": 24}, "15.3"),
    ],
)
def test_other_published_sizes(name, options, published):
    assert f"{parameters(name, num_classes=10, **options) / 1e6:.1f}" == published


def norm_relu(x, weights, name):
    statistics = (weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.relu(F.batch_norm(x, *statistics))


def classified(x, weights):
    return norm_relu(x, weights, "bn").mean((2, 3)) @ weights["fc.weight"].T + weights["fc.bias"]


def naive_wrn(x, weights, blocks):
    x = F.conv2d(x, weights["conv1.weight"], padding=1)
    for stage in (1, 2, 3):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = norm_relu(x, weights, f"{name}.bn1")
            if block == 0:
                x = F.conv2d(y, weights[f"{name}.shortcut.weight"], stride=stride)
            y = F.conv2d(y, weights[f"{name}.conv1.weight"], stride=stride, padding=1)
            x = x + F.conv2d(norm_relu(y, weights, f"{name}.bn2"), weights[f"{name}.conv2.weight"], padding=1)
    return classified(x, weights)


def naive_densenet(x, weights, layers):
    x = F.conv2d(x, weights["conv1.weight"], padding=1)
    for block in (1, 2, 3):
        if block > 1:
            x = norm_relu(x, weights, f"transition{block - 1}.0")
            x = F.avg_pool2d(F.conv2d(x, weights[f"transition{block - 1}.2.weight"]), 2)
        for layer in range(layers):
            name = f"block{block}.{layer}"
            y = F.conv2d(norm_relu(x, weights, f"{name}.bn1"), weights[f"{name}.conv1.weight"])
            x = torch.cat(
                (x, F.conv2d(norm_relu(y, weights, f"{name}.bn2"), weights[f"{name}.conv2.weight"], padding=1)), 1
            )
    return classified(x, weights)


@pytest.mark.parametrize(
    ("name", "options", "naive", "repeats"),
    [
        (WRN, {"depth": 16, "widen": 2}, naive_wrn, 2),
        (DENSENET, {"depth": 16, "growth_rate": 6}, naive_densenet, 2),
    ],
)
def test_the_function_of_the_paper(alike, name, options, naive, repeats):
    with torch.device("meta"):
        model = build(name, num_classes=7, **options).eval()
    alike(model)
    x = torch.randn(2, 3, 32, 32)
    expected = naive(x, model.state_dict(), repeats)
    assert expected.std() > 0.01
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("size", [(32, 40), (19, 27), (3, 2)])
@pytest.mark.parametrize("output_stride", [2, 1])
@pytest.mark.parametrize(("name", "options"), [(WRN, {"depth": 16, "widen": 2}), (DENSENET, {"depth": 16})])
@torch.no_grad()
def test_a_dilated_network_computes_the_same_and_what_lies_between(alike, name, options, output_stride, size):
    """Every second or fourth position is that of the network with strides, with the same weights."""
    with torch.device("meta"):
        natural, dilated = (build(name, **options, **given).eval() for given in ({}, {"output_stride": output_stride}))
    alike(natural, dilated)
    assert natural.state_dict().keys() == dilated.state_dict().keys()
    assert [stage.stride for stage in dilated.stages] == [min(s.stride, output_stride) for s in natural.stages]
    x = torch.randn(2, 3, *size)
    for expected, feature, stage in zip(natural.features(x), dilated.features(x), natural.stages, strict=True):
        step = max(1, stage.stride // output_stride)
        assert feature.shape[2:] == tuple(-(-side * step // stage.stride) for side in size)
        assert expected.std() > 0.01
        torch.testing.assert_close(feature[:, :, ::step, ::step], expected, rtol=1e-4, atol=1e-4)


def test_residual_branches_are_dropped_more_and_more():
    model = build(WRN, depth=16, widen=1, drop_path_rate=0.5)
    rates = [getattr(block.drop_path, "p", 0.0) for stage in (1, 2, 3) for block in getattr(model, f"layer{stage}")]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_dropout_inside_the_blocks():
    model = build(WRN, depth=10, widen=1, block_dropout=0.3)
    assert model.layer1[0].dropout.p == 0.3
    x = torch.randn(2, 3, 16, 16)
    assert not torch.equal(model(x), model(x))


@pytest.mark.parametrize("options", [(WRN, {"depth": 10, "widen": 1}), (DENSENET, {"depth": 10, "growth_rate": 4})])
def test_every_parameter_learns(options):
    name, small = options
    model = build(name, **small)
    model(torch.randn(2, 3, 13, 18)).square().sum().backward()
    assert all(tensor.grad is not None and tensor.grad.any() for tensor in model.parameters())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (WRN, {"depth": 29}, r"Depth 29 does not fit: choose 6 n \+ 4, such as 16, 28 or 40\."),
        (WRN, {"depth": 4}, "Depth 4 does not fit"),
        (WRN, {"widen": 0}, "Widening factor 0 does not fit: give a positive integer"),
        (WRN, {"output_stride": 8}, r"Output stride 8 is not possible here: choose one of \[4, 2, 1\]\."),
        (DENSENET, {"output_stride": 3}, r"Output stride 3 is not possible here: choose one of \[4, 2, 1\]\."),
        (WRN, {"drop_path_rate": 1.0}, "Drop path 1.0 does not fit"),
        (WRN, {"block_dropout": 1.0}, "Dropout 1.0 does not fit"),
        (DENSENET, {"depth": 189}, r"Depth 189 does not fit: choose 6 n \+ 4, such as 100, 190 or 250\."),
        (DENSENET, {"growth_rate": 0}, "Growth rate 0 does not fit: give a positive integer"),
        (
            DENSENET,
            {"drop_path_rate": 0.1},
            "Drop path 0.1 does not fit: this network drops no residual branch, so give 0",
        ),
        (DENSENET, {"num_classes": -1}, "-1 classes and 3 input channels: give at least 0 and at least 1"),
    ],
)
def test_options_that_do_not_fit(name, options, message):
    with pytest.raises(InputError, match=message), torch.device("meta"):
        build(name, **options)
