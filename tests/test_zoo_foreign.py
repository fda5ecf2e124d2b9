"""Weights and names as other programs have them, and options in files that no network has."""

import pytest
import torch
from torch import nn

from res2net.errors import InputError
from res2net.weights import save
from res2net.zoo import create_model, load_model

NAME = "res2net26_26w_4s"
TINY = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "stem_channels": 8, "base_width": 32}


def same_weights(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.fixture
def saved(tmp_path):
    """A model of 5 classes and its file."""
    torch.manual_seed(1)
    model = create_model(NAME, **TINY, num_classes=5).eval()
    path = tmp_path / "model.safetensors"
    save(path, model.state_dict(), {"model": NAME, "options": {**TINY, "num_classes": 5}})
    return model, path


def test_weights_may_be_a_state_dict_or_the_path_that_timm_calls_checkpoint_path(saved):
    model, path = saved
    x = torch.rand(1, 3, 40, 48)
    for weights in (
        model.state_dict(),
        {"state_dict": {f"module.{name}": tensor for name, tensor in model.state_dict().items()}, "epoch": 3},
        {name: nn.Parameter(tensor) for name, tensor in model.state_dict().items() if tensor.is_floating_point()},
    ):
        assert torch.equal(create_model(NAME, weights, **TINY).eval()(x), model(x))
        assert create_model(NAME, weights=weights, **TINY).num_classes == 5
    assert torch.equal(create_model(NAME, checkpoint_path=str(path)).eval()(x), model(x))
    assert create_model(NAME, checkpoint_path="", **TINY).num_classes == 1000
    with pytest.raises(InputError, match="checkpoint_path and weights are both given"):
        create_model(NAME, path, checkpoint_path="other.pth")
    with pytest.raises(InputError, match="The state dict contains int 'epoch' among its tensors"):
        create_model(NAME, model.state_dict() | {"epoch": 3})


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"pretrained": True}, 'give weights="in1k"'),
        ({"in_chans": 1}, "it is in_channels here"),
        ({"drop_rate": 0.1}, "it is dropout here"),
        ({"features_only": True}, "call `model.features"),
        ({"out_indices": (1, 2)}, "call `model.features"),
    ],
)
def test_options_of_timm_are_answered_with_ours(options, advice):
    with pytest.raises(InputError, match=rf"has no option '{next(iter(options))}', which is timm's: {advice}"):
        create_model(NAME, **options)


@pytest.mark.parametrize("alias", ["Res2Net50_vd_26w_4s", "res2net50_v1b_26w_4s-3cf99910.pth", "res2net50_v1b"])
def test_names_of_the_authors_and_of_other_programs_build_our_model(alias):
    model = create_model(alias, **TINY, num_classes=3)
    assert model.variant_name == "res2net50d"
    assert "conv1.6.weight" in model.state_dict()  # the deep stem


def test_the_architecture_of_another_program_names_the_model(tmp_path):
    model = create_model("res2net20_26w_4s_tiny", num_classes=4)
    torch.save({"arch": "res2net20_26w_4s_tiny", "state_dict": model.state_dict()}, tmp_path / "a.pth")
    loaded, _ = load_model(tmp_path / "a.pth")
    assert same_weights(loaded, model)
    with pytest.raises(InputError, match="holds a 'res2net20_26w_4s_tiny', not a 'resnet20_tiny'"):
        load_model(tmp_path / "a.pth", "resnet20_tiny")


@pytest.mark.parametrize(
    "options",
    [
        {"num_classes": 2_000_000_000},
        {"scale": 1_000_000},
        {"layers": [1, 1, 10**9]},
        {"base_width": 50_000},
        {"channels": [16, 32, 1_000_000]},
        {"num_classes": "ten"},
        {"layers": "many"},
        {"scale": None},
        {"scales": 4},
        {"norm": {"a": 1}},
    ],
    ids=str,
)
def test_options_in_a_file_are_checked_before_anything_is_built(tmp_path, options):
    model = create_model("res2net20_26w_4s_tiny", num_classes=4)
    path = tmp_path / "a.safetensors"
    save(path, model.state_dict(), {"model": "res2net20_26w_4s_tiny", "options": options})
    with pytest.raises(InputError) as raised:
        load_model(path)
    assert "\n" not in str(raised.value)
