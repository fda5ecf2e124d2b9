"""What a network does, recorded while it runs."""

import torch
import torch.nn.functional as F
from torch import nn

from res2net.measure.flow import record
from res2net.surgery.find import followers
from res2net.surgery.spaces import spaces


class Block(nn.Module):
    """A bottleneck with functions between the layers, squeeze-and-excitation and an addition in place."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16)
        self.conv2, self.bn2 = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.squeeze, self.excite = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.conv3, self.unused = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 8, 3)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        gate = self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True))))
        y = self.conv3(y * gate.sigmoid())
        y += x
        return y


def recorded():
    return record(Block().eval(), (torch.randn(1, 8, 6, 6),))


def test_layers_and_functions_are_noted_in_order():
    names = [node.name for node in recorded().nodes]
    assert names[:6] == ["conv1", "bn1", "relu", "conv2", "bn2", "relu"]
    assert names[-2:] == ["conv3", "add_"]
    assert recorded().node("unused") is None


def test_multiply_accumulates_and_shapes():
    flow = recorded()
    assert flow.macs == 36 * (8 * 16 + 16 * 16 * 9 + 16 * 8) + 2 * 16 * 4
    assert flow.shapes == [(1, 8, 6, 6)]


def test_who_follows_whom():
    flow = recorded()
    follow = followers(flow.node("conv2"))
    assert follow.norm is flow.node("bn2")
    assert follow.act.name == "relu"
    assert followers(flow.node("conv3")).norm is None


def test_only_what_sees_the_input_itself_is_raw():
    flow = recorded()
    assert flow.node("conv1").inputs[0].raw
    assert not flow.node("conv2").inputs[0].raw


def test_channels_that_belong_together():
    flow = recorded()
    of = spaces(flow)
    before, behind = of[flow.node("conv2").inputs[0]], of[flow.node("conv2").output]
    assert before is not behind
    assert (set(before.producers), set(before.norms), before.kernels) == ({"conv1"}, {"bn1"}, {"conv2"})
    assert set(behind.producers) == {"excite"}
    assert set(behind.consumers) == {"squeeze", "conv3"}
    assert not before.fixed
    assert not behind.fixed
    assert of[flow.node("conv3").output].fixed, "it comes out"


def test_reshaping_fixes_the_channels():
    class Shuffle(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1)

        def forward(self, x):
            x = self.a(x)
            n, c, h, w = x.shape
            return self.b(x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w))

    flow = record(Shuffle(), (torch.randn(1, 3, 4, 4),))
    assert spaces(flow)[flow.node("a").output].fixed
    assert spaces(flow)[flow.node("b").inputs[0]].fixed


def test_nothing_of_the_record_stays_in_the_network():
    block = Block()
    record(block, (torch.randn(1, 8, 6, 6),))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in block.modules())
