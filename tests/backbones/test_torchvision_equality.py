"""The plain networks are torchvision's, bit by bit."""

import pytest
import torch
import torchvision

from res2net.backbones.registry import build


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_64x4d"])
def test_logits_and_names_of_weights(alike, name):
    with torch.device("meta"):
        ours, reference = build(name), getattr(torchvision.models, name)()
    assert set(ours.state_dict()) == set(reference.state_dict())
    alike(ours, reference)
    x = torch.randn(2, 3, 65, 47)
    logits, expected = ours.eval()(x), reference.eval()(x)
    assert logits.isfinite().all()
    assert logits.std() > 0.01
    assert (logits - expected).abs().max() == 0


def test_a_dilated_network(alike):
    with torch.device("meta"):
        ours = build("resnet50", output_stride=8)
        reference = torchvision.models.resnet50(replace_stride_with_dilation=[False, True, True])
    alike(ours, reference)
    x = torch.randn(1, 3, 65, 47)
    assert (ours.eval()(x) - reference.eval()(x)).abs().max() == 0
