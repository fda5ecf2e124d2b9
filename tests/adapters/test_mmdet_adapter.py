"""Our backbones in a registry of MMEngine, which a stand-in with its rules replaces."""

import pytest
import torch

from res2net.adapters.mmdet import MultiScaleBackbone, register
from res2net.errors import InputError
from res2net.weights import save
from res2net.zoo import create_model

NAME = "res2net50_26w_4s"
SMALL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "stem_channels": 8, "base_width": 32}


class Registry:
    """As `mmengine.registry.Registry`: classes by name, built from a dictionary whose `type` is the name."""

    def __init__(self):
        self.modules = {}

    def register_module(self, name=None, force=False, module=None):
        assert force or name not in self.modules
        self.modules[name] = module

    def build(self, cfg):
        options = dict(cfg)
        return self.modules[options.pop("type")](**options)


@pytest.fixture
def registry():
    registry = Registry()
    register(registry)
    return registry


@pytest.mark.parametrize("out_indices", [(1, 2, 3, 4), (2, 4)])
@torch.no_grad()
def test_maps_are_our_features(registry, lively, out_indices):
    options = {**SMALL, "output_stride": 16}
    backbone = registry.build(
        {"type": "MultiScaleBackbone", "name": NAME, "out_indices": out_indices, "options": options}
    ).eval()
    weights = lively(backbone.backbone)
    backbone.init_weights()
    ours = create_model(NAME, num_classes=0, **options).eval()
    ours.load_state_dict(weights)
    x = torch.randn(1, 3, 65, 47)
    maps, pyramid = backbone(x), ours.features(x)
    assert isinstance(maps, tuple)
    for found, index in zip(maps, out_indices, strict=True):
        assert torch.equal(found, pyramid[index])


def test_frozen_stages_and_statistics():
    backbone = MultiScaleBackbone(NAME, frozen_stages=2, norm_eval=True, options=SMALL).train()
    learning = {name.split(".")[1] for name, p in backbone.named_parameters() if p.requires_grad}
    assert learning == {"layer2", "layer3", "layer4"}
    norms = [module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert not any(norm.training for norm in norms)
    assert MultiScaleBackbone(NAME, options=SMALL).train().backbone.bn1.training


def test_weights_of_a_classifier(tmp_path):
    source = create_model(NAME, num_classes=5, **SMALL)
    save(tmp_path / "a.safetensors", source.state_dict())
    backbone = MultiScaleBackbone(NAME, tmp_path / "a.safetensors", options=SMALL)
    assert torch.equal(backbone.backbone.layer4[0].conv1.weight, source.layer4[0].conv1.weight)


def test_a_name_of_ones_own_and_stages_that_do_not_exist():
    registry = Registry()
    register(registry, "Res2NetOurs")
    assert registry.modules == {"Res2NetOurs": MultiScaleBackbone}
    with pytest.raises(InputError, match=r"Stages \[5\] do not exist: choose among 0 to 4, the stem first\."):
        MultiScaleBackbone(NAME, out_indices=[5], options=SMALL)
