"""Our backbones under the detectors of torchvision."""

import copy

import pytest
import torch
import torchvision
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN as TorchvisionBackboneWithFPN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from res2net.adapters.torchvision import BackboneWithFPN, backbone_with_fpn
from res2net.errors import InputError
from res2net.nn import freeze_norms
from res2net.weights import save
from res2net.zoo import create_model

SMALL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "stem_channels": 8, "base_width": 32}


def with_weights(lively, name, **options):
    """The adapter's network in evaluation, and those weights."""
    model = backbone_with_fpn(name, **options).eval()
    return model, lively(model)


@pytest.mark.parametrize("levels", [(1, 2, 3, 4), (2, 4)])
@torch.no_grad()
def test_resnet_computes_what_torchvisions_does(lively, levels):
    model, weights = with_weights(lively, "resnet50", levels=levels, out_channels=16)
    resnet = torchvision.models.resnet50()
    channels = [256 * 2 ** (level - 1) for level in levels]
    names = {f"layer{level}": str(index) for index, level in enumerate(levels)}
    reference = TorchvisionBackboneWithFPN(resnet, names, channels, out_channels=16).eval()
    reference.load_state_dict({name: weights[name] for name in reference.state_dict()})
    x = torch.randn(1, 3, 65, 47)
    maps, expected = model(x), reference(x)
    assert list(maps) == list(expected) == [*map(str, range(len(levels))), "pool"]
    for name, right in expected.items():
        assert torch.equal(maps[name], right)
    assert model.out_channels == reference.out_channels == 16


@torch.no_grad()
def test_frozen_norms_are_those_of_torchvisions_detectors(lively):
    model = backbone_with_fpn("resnet50", frozen_norms=True).train()
    weights = lively(model)
    reference = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=5)
    reference.load_state_dict(weights)
    x = torch.randn(1, 3, 64, 64)
    for found, right in zip(model(x).values(), reference(x).values(), strict=True):
        assert torch.equal(found, right)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    # They keep the weights of the network that they were made of.
    source = create_model("res2net50_26w_4s", num_classes=0, **SMALL).eval()
    before = lively(source)
    frozen = copy.deepcopy(source)
    freeze_norms(frozen)
    torch.testing.assert_close(frozen.train()(x), source(x))
    assert all(torch.equal(tensor, before[name]) for name, tensor in frozen.state_dict().items())


def detector(**options):
    backbone = backbone_with_fpn("res2net50_26w_4s", out_channels=16, **SMALL, **options)
    return FasterRCNN(
        backbone,
        num_classes=3,
        min_size=64,
        max_size=96,
        rpn_anchor_generator=AnchorGenerator(((8,), (16,), (32,), (64,), (96,)), ((0.5, 1.0, 2.0),) * 5),
        rpn_pre_nms_top_n_train=50,
        rpn_post_nms_top_n_train=20,
        rpn_pre_nms_top_n_test=50,
        rpn_post_nms_top_n_test=20,
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], output_size=3, sampling_ratio=2),
    )


@pytest.mark.parametrize("frozen_stages", [0, 2])
def test_a_detector_learns(frozen_stages):
    torch.manual_seed(0)
    model = detector(frozen_stages=frozen_stages).train()
    images = [torch.rand(3, 64, 80), torch.rand(3, 70, 64)]
    boxes = torch.tensor([[4.0, 4.0, 40.0, 50.0], [10.0, 20.0, 60.0, 60.0]])
    targets = [{"boxes": boxes, "labels": torch.tensor([1, 2])} for _ in images]
    losses = model(images, targets)
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    sum(losses.values()).backward()
    learning = {name for name, p in model.backbone.body.named_parameters() if p.grad is not None and p.grad.any()}
    assert any(name.startswith("layer4") for name in learning)
    assert any(name.startswith("conv1") for name in learning) == (frozen_stages == 0)
    assert any(name.startswith("layer1") for name in learning) == (frozen_stages == 0)
    assert all(parameter.grad is not None for parameter in model.backbone.fpn.parameters())
    found = model.eval()(images)
    assert [set(result) for result in found] == [{"boxes", "labels", "scores"}] * 2


@torch.no_grad()
def test_other_extra_blocks_channels_and_strides():
    options = {**SMALL, "in_channels": 2, "output_stride": 16}
    extra = LastLevelP6P7(8, 8)
    model = backbone_with_fpn("res2net50_26w_4s", levels=(2, 3, 4), out_channels=8, extra_blocks=extra, **options)
    maps = model.eval()(torch.randn(1, 2, 64, 64))
    assert {name: tuple(m.shape[1:]) for name, m in maps.items()} == {
        "0": (8, 8, 8),
        "1": (8, 4, 4),
        "2": (8, 4, 4),
        "p6": (8, 2, 2),
        "p7": (8, 1, 1),
    }


def test_weights_of_a_classifier(tmp_path):
    source = create_model("res2net50_26w_4s", num_classes=5, **SMALL)
    save(tmp_path / "a.safetensors", source.state_dict())
    model = backbone_with_fpn("res2net50_26w_4s", tmp_path / "a.safetensors", out_channels=8, **SMALL)
    assert torch.equal(model.body.layer4[0].conv1.weight, source.layer4[0].conv1.weight)


@pytest.mark.parametrize("levels", [(), (5,), (-1,)])
def test_levels_that_do_not_exist(levels):
    with pytest.raises(InputError, match=r"Stages .* do not exist: choose among 0 to 4, the stem first\."):
        BackboneWithFPN(create_model("res2net50_26w_4s", **SMALL), levels=levels)
