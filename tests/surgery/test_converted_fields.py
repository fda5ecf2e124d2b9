"""Receptive fields of converted networks, against gradients."""

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

import res2net
from res2net.measure import receptive_field


def positive(model):
    """In double precision and evaluation, without a path lost: positive weights, averages instead of maxima."""
    model = model.double().eval()
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.MaxPool2d):
            model.set_submodule(name, nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding))
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.uniform_(0.5, 1.5).div_(layer.weight[0].numel())
                if layer.bias is not None:
                    layer.bias.fill_(0.1)
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.ones_(layer.weight)
    return model


class Unpadded(nn.Module):
    """Convolutions without padding or of even kernels: what takes their place cuts off what is too much."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 32, 3, padding=0), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 32, 3, padding=2, dilation=2), nn.BatchNorm2d(32), nn.ReLU()),
        )

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize(
    "make",
    [lambda: ResNet(Bottleneck, [1, 2, 1, 1]), lambda: ResNet(BasicBlock, [1, 1, 1, 1]), Unpadded],
    ids=["bottleneck", "basic", "unpadded"],
)
def test_fields_are_those_of_gradients(make):
    network = make()
    new, report = res2net.convert(network, example_input=torch.zeros(1, 3, 64, 64))
    assert report.replaced
    field, before = receptive_field(new), receptive_field(network)
    if isinstance(network, ResNet):
        new = nn.Sequential(*list(new.children())[:-2])  # what is behind sees everything
    assert field.stride == before.stride
    assert field.largest > before.largest
    x = torch.ones(1, 3, 64, 1600, dtype=torch.double, requires_grad=True)
    output = positive(new)(x)
    centre = output.shape[3] // 2
    (gradient,) = torch.autograd.grad(output[..., centre].sum(), x)
    seen = gradient.sum((0, 1, 2)).nonzero().flatten()
    assert 0 < seen.min() < seen.max() < x.shape[3] - 1
    assert (seen.min().item(), seen.max().item()) == field.at(centre)
