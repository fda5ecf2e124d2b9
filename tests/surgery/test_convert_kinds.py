"""Convolutions of every kind: what takes their place is a layer as any other."""

import copy

import pytest
import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame
from torch import nn

import res2net
from res2net.surgery.convert import converted, record_copy
from res2net.surgery.plan import Options, plan

KINDS = {
    "dense": lambda: nn.Conv2d(16, 32, 3, padding=1),
    "depthwise": lambda: nn.Conv2d(16, 16, 5, padding=2, groups=16),
    "same": lambda: Conv2dSame(16, 32, 3, stride=2),
    "same, depthwise": lambda: Conv2dSame(16, 16, 5, stride=2, groups=16),
    "reflect": lambda: nn.Conv2d(16, 32, 3, padding=1, padding_mode="reflect"),
    "replicate": lambda: nn.Conv2d(16, 32, 3, stride=2, padding=1, padding_mode="replicate"),
    "circular": lambda: nn.Conv2d(16, 16, 3, padding=1, groups=16, padding_mode="circular"),
    "few groups": lambda: nn.Conv2d(16, 32, 3, padding=1, groups=2),
    "many groups": lambda: nn.Conv2d(16, 32, 3, padding=1, groups=8),
    "depthwise, twice": lambda: nn.Conv2d(16, 32, 7, stride=2, padding=3, groups=16),
    "depthwise, halved": lambda: nn.Conv2d(16, 8, 3, padding=1, groups=8),
}


@pytest.fixture(params=KINDS)
def plain(request):
    """A network with one convolution to replace."""
    torch.manual_seed(0)
    conv = KINDS[request.param]()
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        *(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(conv.out_channels, 4)),
    )


@pytest.mark.parametrize("budget", ["parameters", "macs"])
def test_costs_are_foretold(plain, budget):
    """To the last weight: the budget of a network is as good as this."""
    options = Options(4, budget, None, None, None, False, "official")
    inputs = (torch.randn(1, 3, 16, 16),)
    twin, flow = record_copy(plain, inputs)
    units, kept = plan(twin, flow, options)
    assert [one.name for one in kept] == ["0"]
    new, after = converted(plain, units, options, inputs)
    changes = {
        "parameters": sum(t.numel() for t in new.parameters()) - sum(t.numel() for t in plain.parameters()),
        "macs": after.macs - flow.macs,
    }
    for metric, change in changes.items():
        assert sum(unit.cost(unit.number, metric) - unit.before(metric) for unit in units) == change


def test_it_has_the_shapes_of_the_original_and_learns(plain):
    new, report = res2net.convert(plain)
    assert report.share == 1
    for size in ((16, 16), (17, 15), (9, 20)):
        x = torch.randn(2, 3, *size)
        assert new[:6](x).shape == plain[:6](x).shape
    y = torch.arange(16) % 4
    x = torch.randn(16, 3, 12, 12) + 3 * torch.eye(4, 3)[y, :, None, None]  # the class is a colour
    optimizer = torch.optim.SGD(new.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(15):
        loss = F.cross_entropy(new(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_it_survives_copies_state_dicts_and_export(plain):
    new = res2net.convert(plain)[0].eval()
    x = torch.randn(2, 3, 19, 18)
    y = new(x)
    other = copy.deepcopy(new)
    assert torch.equal(other(x), y)
    with torch.no_grad():
        for tensor in other.parameters():
            tensor.zero_()
    assert not torch.equal(other(x), y)
    other.load_state_dict(new.state_dict())
    assert torch.equal(other(x), y)
    sides = {2: torch.export.Dim("height", min=8), 3: torch.export.Dim("width", min=8)}
    exported = torch.export.export(new, (x,), dynamic_shapes=(sides,)).module()
    torch.testing.assert_close(exported(x), y)
    larger = torch.randn(2, 3, 24, 31)
    torch.testing.assert_close(exported(larger), new(larger))
