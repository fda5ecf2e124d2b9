"""Receptive fields of timm's networks, against gradients and published numbers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from res2net.backbones.from_timm import TimmBackbone
from res2net.measure import stage_fields


def positive(model):
    """In double precision and evaluation, without a path lost: positive weights, averages instead of maxima."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.MaxPool2d):
            pool = nn.AvgPool2d(layer.kernel_size, stride=layer.stride, padding=layer.padding)
            model.set_submodule(name, pool)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.uniform_(0.5, 1.5).div_(layer.weight[0].numel())
    return model.double().eval()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param("inception_v3", (75, 2400), marks=pytest.mark.slow),
        pytest.param("densenet121", (32, 4800), marks=pytest.mark.slow),
        pytest.param("hrnet_w18_small", (32, 2560), marks=pytest.mark.slow),
        ("vgg11", (32, 640)),
    ],
)
@pytest.mark.parametrize("axis", [-1, -2])
def test_fields_are_those_of_gradients(monkeypatch, name, size, axis):
    model = TimmBackbone(name, num_classes=0)
    fields = stage_fields(model, axis)
    monkeypatch.setattr(F, "max_pool2d", F.avg_pool2d)
    size = size if axis == -1 else size[::-1]
    x = torch.ones(1, 3, *size, dtype=torch.double, requires_grad=True)
    for output, field, stage in zip(positive(model).features(x), fields, model.stages, strict=True):
        assert field.stride == stage.stride
        centre = output.shape[axis] // 2
        for place in range(centre, centre + len(field.phases)):
            (gradient,) = torch.autograd.grad(output.select(axis, place).sum(), x, retain_graph=True)
            seen = gradient.sum([d for d in range(4) if d != 4 + axis]).nonzero().flatten()
            assert 0 < seen.min() < seen.max() < x.shape[axis] - 1, "the image is too small for the test"
            assert (seen.min().item(), seen.max().item()) == field.at(place)


def test_published_sizes():
    """Inception v3: 1311 (Araujo et al., Computing Receptive Fields of CNNs, Distill 2019); VGG-16: 212."""
    sizes = {}
    for name in ("inception_v3", "vgg16"):
        with torch.device("meta"):
            sizes[name] = stage_fields(TimmBackbone(name))[-1].largest
    assert sizes == {"inception_v3": 1311, "vgg16": 212}
