"""Networks as graphs of `torch.fx`, as TorchScript, and in torchvision's feature extractor: the values are the same."""

import pytest
import torch
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from res2net.backbones.registry import build

# Those of torch about torch.jit.script, also for its own layers.
pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning", "ignore:The TorchScript type"
)
SMALL = {"layers": (2, 1, 1, 1), "channels": (8, 16, 32, 64), "stem_channels": 8}
NETWORKS = {
    "resnet50": SMALL,
    "resnet50d": SMALL,
    "resnext50_32x4d": {"layers": (1, 1, 1, 1), "channels": (16, 16, 32, 64), "cardinality": 2, "base_width": 32},
    "seresnet50": SMALL,
    "res2net50_26w_4s": SMALL,
    "res2net50_14w_8s": SMALL,
    "res2net50d": {**SMALL, "graph": "paddle"},
    "res2next50": {**SMALL, "base_width": 8, "cardinality": 2},
    "seres2net50_26w_4s": {**SMALL, "split_order": "arxiv-v1"},
    "res2netplus50_26w_4s": {**SMALL, "output_stride": 8},
    "dla60": {"channels": (8, 8, 16, 16, 32, 32), "levels": (1, 1, 1, 2, 1, 1)},
    "dla60_res2net": {"channels": (8, 8, 16, 16, 32, 32), "levels": (1, 1, 1, 2, 1, 1), "base_width": 128},
    "blres2net50_26w_4s": {"channels": (16, 16, 32, 32), "layers": (2, 2, 2, 2)},
    "cifar_res2next29_6c24w_4s": {"depth": 11, "cardinality": 2, "base_width": 4},
    "ecapa_tdnn_512": {"channels": 16},
    "res2net20_26w_4s_tiny": {"drop_path_rate": 0.1, "dropout": 0.1},
}


def network(name):
    torch.manual_seed(0)
    model = build(name, num_classes=3, **NETWORKS[name]).eval()
    return model, torch.rand(2, model.in_channels, *(48, 65)[: model.dims])


@pytest.mark.parametrize("name", NETWORKS)
def test_graphs_and_scripts_compute_the_same(name):
    model, x = network(name)
    expected = model(x)
    assert torch.equal(torch.fx.symbolic_trace(model)(x), expected)
    if name in ("res2net50_26w_4s", "res2net50d", "dla60_res2net", "blres2net50_26w_4s", "ecapa_tdnn_512"):
        scripted = torch.jit.script(model)
        assert torch.equal(scripted(x), expected)
        assert scripted.state_dict().keys() == model.state_dict().keys()


def test_a_script_can_be_saved_and_takes_other_sizes(tmp_path):
    model, x = network("res2net50_26w_4s")
    torch.jit.script(model).save(tmp_path / "a.pt")
    other = torch.rand(1, 3, 71, 40)
    loaded = torch.jit.load(tmp_path / "a.pt")
    assert torch.equal(loaded(x), model(x))
    assert torch.equal(loaded(other), model(other))


@pytest.mark.parametrize("name", [name for name, options in NETWORKS.items() if "layers" in options])
def test_torchvision_extracts_the_stages(name):
    model, x = network(name)
    names = list(model.stage_names[1:])
    train, evaluate = get_graph_node_names(model)
    assert set(names) <= {node.split(".")[0] for node in train} == {node.split(".")[0] for node in evaluate}
    last = {stage: list(parts)[-1] for stage, parts in model.stage_parts.items()}
    extracted = create_feature_extractor(model, {last[stage]: stage for stage in names})(x)
    for stage, expected in zip(names, model.features(x)[1:], strict=True):
        assert torch.equal(extracted[stage], expected)


def test_volumes_have_graphs_that_take_any_size():
    model = build("res2net3d20_26w_4s_tiny", num_classes=3).eval()
    graph = torch.fx.symbolic_trace(model)
    for size in (16, 5, 33):
        x = torch.rand(1, 3, size, 24, 24)
        assert torch.equal(graph(x), model(x))
