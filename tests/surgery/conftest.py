"""Networks of many kinds, small enough to train for a step."""

from functools import partial

import pytest
import timm
import torch
import torchvision.models as tv
from torch import nn
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.vgg import make_layers

import res2net


class UNet(nn.Module):
    """Two levels, with transposed convolutions up and concatenations across."""

    def __init__(self):
        super().__init__()
        self.down1, self.down2 = self.double(3, 16), self.double(16, 32)
        self.bottom = self.double(32, 64)
        self.up2, self.up1 = nn.ConvTranspose2d(64, 32, 2, stride=2), nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.join2, self.join1 = self.double(64, 32), self.double(32, 16)
        self.last = nn.Conv2d(16, 5, 1)

    def double(self, inputs, outputs):
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.GroupNorm(4, outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.GroupNorm(4, outputs),
            nn.SiLU(),
        )

    def forward(self, x):
        fine = self.down1(x)
        coarse = self.down2(nn.functional.max_pool2d(fine, 2))
        x = self.bottom(nn.functional.max_pool2d(coarse, 2))
        x = self.join2(torch.cat([self.up2(x), coarse], 1))
        x = self.join1(torch.cat([self.up1(x), fine], 1))
        return self.last(x)


class Tdnn(nn.Module):
    """A time-delay network for sounds (Waibel et al., 1989): dilated, without padding."""

    def __init__(self):
        super().__init__()
        layers = []
        channels = 24
        for kernel, dilation in ((5, 1), (3, 2), (3, 3), (1, 1)):
            layers += [nn.Conv1d(channels, 64, kernel, dilation=dilation), nn.ReLU(), nn.BatchNorm1d(64)]
            channels = 64
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(128, 10)

    def forward(self, x):
        x = self.layers(x)
        return self.fc(torch.cat([x.mean(-1), x.std(-1)], 1))


def plain(batch_norm):
    layers = make_layers([16, "M", 32, "M", 64, 64, "M", 64], batch_norm)
    return nn.Sequential(layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def convnext():
    blocks = [CNBlockConfig(32, 64, 2), CNBlockConfig(64, 128, 2), CNBlockConfig(128, None, 1)]
    return tv.ConvNeXt(blocks, num_classes=10)


def r3d():
    stem, block = tv.video.resnet.BasicStem, tv.video.resnet.BasicBlock
    return tv.video.VideoResNet(block, [tv.video.resnet.Conv3DSimple] * 4, [1, 1, 1, 1], stem, num_classes=10)


SHALLOW = [1, 2, 1, 1]
IMAGE = (2, 3, 64, 64)

NETWORKS = {
    "resnet": (partial(ResNet, BasicBlock, SHALLOW, 10), IMAGE),
    "resnet, bottlenecks": (partial(ResNet, Bottleneck, SHALLOW, 10), IMAGE),
    "wide resnet": (partial(ResNet, Bottleneck, [1, 1, 1, 1], 10, width_per_group=128), IMAGE),
    "resnext": (partial(ResNet, Bottleneck, SHALLOW, 10, groups=32, width_per_group=4), IMAGE),
    "regnet x": (partial(tv.regnet_x_400mf, num_classes=10), IMAGE),
    "regnet y": (partial(tv.regnet_y_400mf, num_classes=10), IMAGE),
    "convnext of torchvision": (convnext, IMAGE),
    "convnext of timm": (partial(timm.create_model, "convnext_atto", num_classes=10, depths=(1, 1, 2, 1)), IMAGE),
    "densenet": (partial(tv.DenseNet, 24, (2, 3, 2, 2), 48, num_classes=10), IMAGE),
    "mobilenet v2": (partial(tv.mobilenet_v2, num_classes=10), IMAGE),
    "mobilenet v3": (partial(tv.mobilenet_v3_small, num_classes=10), IMAGE),
    "efficientnet of torchvision": (partial(tv.efficientnet_b0, num_classes=10), IMAGE),
    "efficientnet of timm": (partial(timm.create_model, "efficientnet_b0", num_classes=10), IMAGE),
    "efficientnet of tensorflow": (partial(timm.create_model, "tf_efficientnet_b0", num_classes=10), (2, 3, 65, 72)),
    "resnest": (partial(timm.create_model, "resnest14d", num_classes=10), IMAGE),
    "fastvit": (partial(timm.create_model, "fastvit_t8", num_classes=10), IMAGE),
    "vgg": (partial(plain, False), IMAGE),
    "vgg, batch norm": (partial(plain, True), IMAGE),
    "squeezenet": (partial(tv.squeezenet1_1, num_classes=10), IMAGE),
    "googlenet": (partial(tv.googlenet, num_classes=10, aux_logits=False, init_weights=False), IMAGE),
    "shufflenet": (partial(tv.shufflenet_v2_x0_5, num_classes=10), IMAGE),
    "u-net": (UNet, IMAGE),
    "csp darknet": (partial(timm.create_model, "cspdarknet53", num_classes=10), IMAGE),
    "dla": (partial(timm.create_model, "dla46_c", num_classes=10), IMAGE),
    "hrnet": (partial(timm.create_model, "hrnet_w18_small", num_classes=10), IMAGE),
    "repvgg": (partial(timm.create_model, "repvgg_a0", num_classes=10), IMAGE),
    "se-resnet": (partial(timm.create_model, "seresnet18", num_classes=10), IMAGE),
    "xception": (partial(timm.create_model, "legacy_xception", num_classes=10), (2, 3, 96, 96)),
    "r(2+1)d": (partial(tv.video.r2plus1d_18, num_classes=10), (2, 3, 8, 48, 48)),
    "r3d": (r3d, (2, 3, 4, 32, 32)),
    "tdnn": (Tdnn, (2, 24, 100)),
    "inception v3": (partial(tv.inception_v3, num_classes=10, aux_logits=False, init_weights=False), (2, 3, 139, 139)),
    "mnasnet": (partial(tv.mnasnet0_5, num_classes=10), IMAGE),
    "resnet d": (partial(timm.create_model, "resnet26d", num_classes=10), IMAGE),
    "resnet v2": (partial(timm.create_model, "resnetv2_18", num_classes=10), IMAGE),
    "res2net": (partial(res2net.create_model, "res2net14_26w_4s", num_classes=10), IMAGE),
    "plain bottlenecks of res2net": (partial(res2net.create_model, "resnet14", num_classes=10), IMAGE),
}


# Large, and made of what the others are made of.
LARGE = (
    *("csp darknet", "efficientnet of timm", "efficientnet of torchvision", "fastvit", "googlenet", "hrnet"),
    *("inception v3", "mobilenet v2", "r(2+1)d", "regnet x", "regnet y", "repvgg", "resnest", "xception"),
)


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in NETWORKS],
)
def network(request):
    """A function that makes the network, and the shape of its input."""
    torch.manual_seed(0)
    return NETWORKS[request.param]


@pytest.fixture
def bottlenecks():
    """A small ResNet of bottlenecks of torchvision."""
    torch.manual_seed(0)
    return ResNet(Bottleneck, SHALLOW, 10).eval()
