"""Our backbones in Detectron2, of which stand-ins replace the registry and the classes that it asks for."""

import sys
from collections import namedtuple
from types import ModuleType, SimpleNamespace

import pytest
import torch

from res2net.adapters.detectron2 import register
from res2net.errors import InputError
from res2net.zoo import create_model

NAME = "res2net50_26w_4s"
SMALL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "stem_channels": 8, "base_width": 32}
ShapeSpec = namedtuple("ShapeSpec", ["channels", "height", "width", "stride"], defaults=(None,) * 4)


class DetectronBackbone(torch.nn.Module):
    """As `detectron2.modeling.backbone.Backbone`, whose pyramids ask for an instance of it."""

    @property
    def size_divisibility(self):
        return 0

    @property
    def padding_constraints(self):
        return {}

    def output_shape(self):
        return {name: ShapeSpec(channels=self._out_feature_channels[name]) for name in self._out_features}


class Registry(dict):
    """As `fvcore.common.registry.Registry`: by the name of what is registered."""

    def register(self, thing):
        assert thing.__name__ not in self
        self[thing.__name__] = thing


@pytest.fixture
def registry(monkeypatch):
    modules = {name: ModuleType(name) for name in ("detectron2", "detectron2.layers", "detectron2.modeling")}
    modules["detectron2.modeling.backbone"] = ModuleType("detectron2.modeling.backbone")
    modules["detectron2.layers"].ShapeSpec = ShapeSpec
    modules["detectron2.modeling.backbone"].Backbone = DetectronBackbone
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    registry = Registry()
    register(registry)
    return registry


def make(registry, out_features=("stage2", "stage4"), freeze_at=0, channels=3, **options):
    ours = SimpleNamespace(NAME=NAME, WEIGHTS="", OUT_FEATURES=list(out_features), OPTIONS={**SMALL, **options})
    model = SimpleNamespace(RES2NET=ours, BACKBONE=SimpleNamespace(FREEZE_AT=freeze_at))
    build = registry["build_multi_scale_backbone"]
    return build(SimpleNamespace(MODEL=model), ShapeSpec(channels=channels))


@torch.no_grad()
def test_maps_are_our_features(registry, lively):
    backbone = make(registry, channels=2, output_stride=16).eval()
    assert isinstance(backbone, DetectronBackbone)
    weights = lively(backbone.backbone)
    ours = create_model(NAME, num_classes=0, in_channels=2, output_stride=16, **SMALL).eval()
    ours.load_state_dict(weights)
    x = torch.randn(1, 2, 64, 64)
    maps, pyramid = backbone(x), ours.features(x)
    assert list(maps) == ["stage2", "stage4"]
    assert torch.equal(maps["stage2"], pyramid[2])
    assert torch.equal(maps["stage4"], pyramid[4])
    shapes = backbone.output_shape()
    assert {name: (shape.channels, shape.stride) for name, shape in shapes.items()} == {
        "stage2": (32, 8),
        "stage4": (32, 16),
    }
    assert backbone.size_divisibility == 16


def test_frozen_stages(registry):
    backbone = make(registry, freeze_at=2)
    learning = {name.split(".")[1] for name, p in backbone.named_parameters() if p.requires_grad}
    assert learning == {"layer2", "layer3", "layer4"}


@pytest.mark.parametrize("names", [[], ["res5"]])
def test_maps_that_do_not_exist(registry, names):
    with pytest.raises(InputError, match="do not exist: choose among stem, stage1, stage2, stage3, stage4"):
        make(registry, names)
