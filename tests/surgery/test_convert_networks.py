"""One call makes networks of any kind multi-scale."""

import pytest
import timm
import torch
import torchvision.models as tv

from res2net import convert
from res2net.nn import Res2Conv
from res2net.surgery import Reason

EXPLAINED = {Reason.STEM, Reason.MULTI_SCALE, Reason.TRANSPOSED}


def test_a_converted_network_has_the_outputs_and_the_budget_and_trains(network):
    make, shape = network
    model = make()
    x = torch.randn(shape)
    new, report = convert(model, example_input=x[:1])
    assert new.training == model.training

    assert abs(report.after.parameters / report.before.parameters - 1) < 0.03
    assert report.before.parameters == sum(tensor.numel() for tensor in model.parameters())
    assert report.after.parameters == sum(tensor.numel() for tensor in new.parameters())
    multi_scale = [name for name, module in new.named_modules() if isinstance(module, Res2Conv)]
    assert len(multi_scale) >= max(1, len(report.replaced))
    assert report.share >= 0.8 or {one.reason for one in report.kept} <= EXPLAINED

    with torch.no_grad():
        assert new.eval()(x).shape == model.eval()(x).shape
    optimizer = torch.optim.SGD(new.train().parameters(), lr=1e-3)
    before = {name: tensor.detach().clone() for name, tensor in new.named_parameters()}
    for _ in range(2):
        optimizer.zero_grad()
        loss = new(x).square().mean()
        assert loss.isfinite()
        loss.backward()
        optimizer.step()
    for name, tensor in new.named_parameters():
        assert tensor.grad is not None, name
        assert tensor.isfinite().all(), name
    changed = [name for name in before if not torch.equal(before[name], dict(new.named_parameters())[name])]
    assert len(changed) > 0.5 * len(before)  # the others wait for normalisations that start at zero


FULL = [
    *("resnet50", "wide_resnet50_2", "resnext50_32x4d", "vgg16_bn", "mobilenet_v2", "squeezenet1_0"),
    *("shufflenet_v2_x1_0", "mnasnet1_0", "convnext_tiny"),
]
FULL_OF_TIMM = [
    *("darknet53", "dla60", "repvgg_a2", "seresnet50", "xception41", "resnet50d", "regnetx_008"),
    *("tf_efficientnet_b0", "mobilenetv3_large_100", "resnetv2_50", "vovnet39a", "skresnet18"),
    *("tf_efficientnetv2_s", "tf_mobilenetv3_large_100", "resnest50d", "resnest50d_4s2x40d", "fastvit_sa12"),
]
# The budget in parameters is kept by every small network above; these are the rest of what budgets depend on.
QUICK = [
    *(("resnet50", "parameters"), ("resnet50", "macs"), ("mobilenet_v2", "macs"), ("skresnet18", "macs")),
]


@pytest.mark.parametrize(
    ("name", "budget"),
    [
        pytest.param(name, budget, marks=() if (name, budget) in QUICK else pytest.mark.slow)
        for name in FULL + FULL_OF_TIMM
        for budget in ("parameters", "macs")
    ],
)
def test_the_budget_is_kept_and_nothing_is_skipped(name, budget):
    with torch.device("meta"):
        model = getattr(tv, name)() if name in FULL else timm.create_model(name)
    _, report = convert(model, budget=budget)
    assert abs(getattr(report.after, budget) / getattr(report.before, budget) - 1) < 0.03
    assert report.share >= 0.8
