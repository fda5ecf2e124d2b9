"""Networks whose outputs have sizes that depend on values, and convolutions whose weights are computed from others."""

import pytest
import torch
from torch import nn
from torchvision.ops import nms

from res2net.errors import InputError
from res2net.nn import Res2Conv
from res2net.surgery import Reason, convert


class Tail(nn.Module):
    """A small network, and a function of its features."""

    def __init__(self, tail, *middle):
        super().__init__()
        self.tail = tail
        self.first = nn.Conv2d(3, 16, 1)
        self.net = nn.Sequential(*(middle or (nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())))
        self.last = nn.Conv2d(16, 5, 1)

    def forward(self, x):
        return self.tail(self.last(self.net(self.first(x))))


def detections(y):
    boxes = y.flatten(2)[0, :4].T.cumsum(1)
    scores = y.flatten(2)[0, 4]
    kept = nms(boxes, scores, 0.5)
    return [{"boxes": boxes[kept], "scores": scores[kept], "labels": torch.ones_like(kept)}]


TAILS = {
    "a mask": lambda y: y[y > 0],
    "a mask of rows": lambda y: y.flatten(2)[0].T[y.flatten(2)[0, 0] > 0],
    "nonzero": lambda y: (y > 0).nonzero(),
    "where": lambda y: torch.where(y > 0),
    "masked_select": lambda y: torch.masked_select(y, y > 0),
    "unique": lambda y: y.round().unique(),
    "detections": detections,
    "a threshold within": lambda y: torch.cat([y.flatten(), y[y > y.mean()] * 2]),
    "beside an output of a fixed size": lambda y: {"all": y, "some": y[y > 0], "mean": y[y > 0].mean()},
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_sizes_that_depend_on_values_are_not_compared(tail):
    torch.manual_seed(0)
    model = Tail(tail).eval()
    new, report = convert(model, example_input=torch.randn(1, 3, 8, 8))
    assert isinstance(new.net[0], Res2Conv)
    assert [one.name for one in report.replaced] == ["net.0"]
    assert report.by_value
    assert "macs depend on what each network finds" in str(report)
    for _ in range(3):
        new(torch.randn(1, 3, 12, 9))


def test_fixed_sizes_are_compared_and_named():
    _, report = convert(Tail(lambda y: y.mean((2, 3))), example_input=torch.randn(1, 3, 8, 8))
    assert not report.by_value
    assert "macs depend" not in str(report)


class OddChannels(nn.Module):
    """Has an output whose size is that of a layer inside, which conversion replaces."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)

    def forward(self, x):
        y = self.conv(x)
        return y.new_zeros(sum(1 for _ in self.modules()))


def test_the_reason_is_that_of_the_network():
    with pytest.raises(InputError, match=r"has outputs of \[\(\d+,\)\] and not of \[\(2,\)\]"):
        convert(OddChannels(), stem=True, example_input=torch.randn(1, 3, 8, 8))


def old_weight_norm(conv):
    with pytest.warns(FutureWarning, match="weight_norm"):
        return nn.utils.weight_norm(conv)


COMPUTED = {
    "weight normalisation": nn.utils.parametrizations.weight_norm,
    "weight normalisation of before": old_weight_norm,
    "spectral normalisation": nn.utils.parametrizations.spectral_norm,
}


@pytest.mark.parametrize("norm", COMPUTED.values(), ids=COMPUTED)
@pytest.mark.parametrize("has_run", [False, True])
def test_convolutions_with_computed_weights_are_kept(norm, has_run):
    middle = (norm(nn.Conv2d(16, 16, 3, padding=1)), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())
    model = Tail(lambda y: y.mean((2, 3)), *middle).eval()
    x = torch.randn(2, 3, 8, 8)
    if has_run:
        model(x)
    before = model(x)
    new, report = convert(model, example_input=x)
    assert [(one.name, one.reason) for one in report.kept] == [("net.0", Reason.COMPUTED_WEIGHT)]
    assert [one.name for one in report.replaced] == ["net.1"]
    assert "its weight is computed from others" in str(report)
    assert new(x).shape == before.shape
    new(x).sum().backward()
    assert torch.equal(model(x), before)
    assert all(parameter.grad is not None for parameter in new.net[0].parameters())


@pytest.mark.slow  # 6 to 10 seconds each
@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn", "fcos_resnet50_fpn"])
def test_detectors_of_torchvision(name):
    from torchvision.models import detection

    build = getattr(detection, name)
    model = build(weights=None, weights_backbone=None, num_classes=3, min_size=96, max_size=128)
    images = [torch.rand(3, 96, 128)]
    new, report = convert(model, example_input=(images,))
    assert report.share == 1
    assert set(new.eval()(images)[0]) == {"boxes", "labels", "scores"}
