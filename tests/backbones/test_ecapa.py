"""ECAPA-TDNN: the sizes of the paper, and its function written down once more."""

import pytest
import torch
import torch.nn.functional as F

from res2net.backbones.ecapa import AttentiveStatistics
from res2net.backbones.registry import build
from res2net.errors import InputError
from res2net.measure import stage_fields

SMALL = {"channels": 32, "in_channels": 5, "num_classes": 3, "embedding": 6}


@pytest.mark.parametrize(("channels", "exact", "paper"), [(512, 6_191_104, 6.2e6), (1024, 14_657_472, 14.7e6)])
def test_parameters_are_those_of_the_paper(channels, exact, paper):
    """Without the classifier, up to the embedding."""
    with torch.device("meta"):
        model = build(f"ecapa_tdnn_{channels}", num_classes=0)
    count = sum(tensor.numel() for tensor in model.parameters())
    assert count == exact
    assert count == pytest.approx(paper, rel=0.01)


class Naive:
    """The network by its formulas, in evaluation, from tensors by name."""

    def __init__(self, weights):
        self.weights = weights

    def conv(self, x, name, dilation=1):
        weight = self.weights[f"{name}.weight"]
        padding = (weight.shape[2] - 1) // 2 * dilation
        return F.conv1d(x, weight, self.weights[f"{name}.bias"], padding=padding, dilation=dilation)

    def norm(self, x, name):
        mean, variance, scale, shift = (
            self.weights[f"{name}.{part}"].view(1, -1, *(1,) * (x.ndim - 2))
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    def block(self, x, name, dilation):
        y = self.norm(self.conv(x, f"{name}.layer1.0").relu(), f"{name}.layer1.2")
        splits = y.chunk(8, 1)
        outputs = [splits[0]]
        for index in range(7):
            split = splits[index + 1] + (outputs[-1] if index else 0)
            split = self.conv(split, f"{name}.res2.convs.{index}", dilation).relu()
            outputs.append(self.norm(split, f"{name}.res2.bns.{index}"))
        y = self.norm(self.conv(torch.cat(outputs, 1), f"{name}.layer3.0").relu(), f"{name}.layer3.2")
        gate = self.conv(y.mean(2, keepdim=True), f"{name}.se.fc1").relu()
        return x + y * self.conv(gate, f"{name}.se.fc2").sigmoid()

    def __call__(self, x, summed):
        stem = self.norm(self.conv(x, "stem.0").relu(), "stem.2")
        first = self.block(stem, "blocks.0", 2)
        second = self.block(stem + first if summed else first, "blocks.1", 3)
        third = self.block(stem + first + second if summed else second, "blocks.2", 4)
        frames = self.conv(torch.cat((first, second, third), 1), "aggregation.0").relu()
        mean, deviation = frames.mean(2), frames.var(2, correction=0).clamp_min(1e-5).sqrt()
        context = torch.stack((mean, deviation), 1).flatten(1).unsqueeze(2).repeat(1, 1, frames.shape[2])
        scores = self.conv(self.conv(torch.cat((frames, context), 1), "pool.hidden").tanh(), "pool.scores")
        attention = scores.exp() / scores.exp().sum(2, keepdim=True)
        mean = (attention * frames).sum(2)
        deviation = ((attention * frames.square()).sum(2) - mean.square()).clamp_min(1e-5).sqrt()
        pooled = self.norm(torch.cat((mean, deviation), 1), "bn")
        embedding = self.norm(
            F.linear(pooled, self.weights["embedding.weight"], self.weights["embedding.bias"]), "embedding_bn"
        )
        logits = F.linear(embedding, self.weights["fc.weight"], self.weights["fc.bias"])
        return [stem, first, second, third], embedding, logits


@pytest.mark.parametrize("summed", [True, False])
@torch.no_grad()
def test_the_function_of_the_paper(alike, summed):
    with torch.device("meta"):
        model = build("ecapa_tdnn_512", **SMALL, summed_inputs=summed).eval()
    alike(model)
    model.double()
    x = torch.randn(2, 5, 40, dtype=torch.float64)
    features, embedding, logits = Naive(model.state_dict())(x, summed)
    for feature, expected in zip(model.features(x), features, strict=True):
        torch.testing.assert_close(feature, expected)
    assert embedding.std() > 0.01
    torch.testing.assert_close(model.embed(x), embedding)
    torch.testing.assert_close(model(x), logits)


def test_an_embedding_has_192_numbers_for_any_length():
    with torch.device("meta"):
        model = build("ecapa_tdnn_1024").eval()
        for frames in (1, 10, 300):
            assert model.embed(torch.empty(2, 80, frames)).shape == (2, 192)


def test_without_a_classifier_the_embedding_is_there():
    model = build("ecapa_tdnn_512", **{**SMALL, "num_classes": 0}).eval()
    x = torch.randn(2, 5, 30)
    assert torch.equal(model(x), model.features(x)[-1])
    assert model.embed(x).shape == (2, 6)


def test_a_silent_signal_has_finite_gradients():
    """The deviation of equal frames is 0, where a root has no slope."""
    model = build("ecapa_tdnn_512", **SMALL)
    model(torch.zeros(2, 5, 20)).sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in model.parameters())


def test_every_parameter_learns():
    model = build("ecapa_tdnn_512", **SMALL)
    model(torch.randn(4, 5, 30)).square().sum().backward()
    assert all(tensor.grad is not None for tensor in model.parameters())


def test_a_block_sees_seven_dilated_convolutions_more():
    fields = stage_fields(build("ecapa_tdnn_512", **SMALL))
    assert [field.largest for field in fields] == [5, 5 + 7 * 2 * 2, 5 + 7 * 2 * 5, 5 + 7 * 2 * 9]
    assert [field.smallest for field in fields] == [5] * 4


@pytest.mark.parametrize("output_stride", [2, 8, 16, 32])
def test_there_are_no_strides(output_stride):
    with pytest.raises(
        InputError,
        match=rf"^Output stride {output_stride} is not possible here: this network has no stride .*, so choose 1\.$",
    ):
        build("ecapa_tdnn_512", output_stride=output_stride)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 7}, "Scale 7 does not divide 512 channels: choose one that does"),
        ({"scale": 0}, "Scale 0 does not fit: give a positive integer"),
        ({"channels": 0}, "Channels 0 does not fit: give a positive integer"),
        ({"embedding": 0}, "Embedding 0 does not fit: give a positive integer"),
        ({"in_channels": 0}, "0 input channels: give at least 0 and at least 1"),
        ({"drop_path_rate": 1.0}, "Drop path 1.0 does not fit"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(InputError, match=message), torch.device("meta"):
        build("ecapa_tdnn_512", **options)


@pytest.mark.parametrize("floor", [1e-5, 1e-7, 1e-2])
def test_the_variance_floor_is_an_option(floor):
    """A signal that does not change has no variance; the deviation is the root of the floor."""
    frames = torch.full((1, 4, 50), 0.25)
    pool = AttentiveStatistics(4, 2, variance_floor=floor)
    mean, deviation = pool(frames).chunk(2, 1)
    torch.testing.assert_close(mean, torch.full((1, 4), 0.25))
    torch.testing.assert_close(deviation, torch.full((1, 4), floor**0.5))
    model = build("ecapa_tdnn_512", channels=16, variance_floor=floor)
    assert model.pool.variance_floor == floor


@pytest.mark.parametrize("floor", [0, -1.0, 2.0])
def test_a_variance_floor_out_of_range(floor):
    with pytest.raises(InputError, match="Variance floor"):
        build("ecapa_tdnn_512", channels=16, variance_floor=floor)
