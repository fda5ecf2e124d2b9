"""The table of all backbones."""

import pytest
import torch

from res2net.backbones.registry import ALIASES, VARIANTS, build, model_name, register, variant, variant_names
from res2net.errors import InputError


def test_patterns_choose_names():
    assert variant_names("res2net50_*w_2s") == ["res2net50_48w_2s"]
    assert variant_names("nothing*") == []
    assert set(variant_names("*next50*")) == {"resnext50_32x4d", "res2next50"}
    assert len(variant_names()) == len(set(variant_names()))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("res2net50_26w4s", "res2net50_26w_4s"), ("resnt50", "resnet50"), ("res2next-50", "res2next50")],
)
def test_an_unknown_name_comes_with_the_nearest(name, nearest):
    with pytest.raises(InputError, match=rf"Unknown model '{name}': did you mean '{nearest}'\?") as caught:
        build(name)
    assert "\n" not in str(caught.value)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="'resnet50' is registered twice"):
        register(variant("resnet50").build, "again", {"resnet50": {"layers": (1, 1, 1, 1)}})


def test_a_table_names_options_that_exist():
    with pytest.raises(InputError, match=r"new has no option 'layer': did you mean 'layers'\?"):
        register(variant("resnet50").build, "a slip", {"new": {"layer": (1, 1, 1, 1)}})
    assert "new" not in variant_names()


def test_options_go_over_those_of_the_variant():
    with torch.device("meta"):
        model = build("res2net50_26w_4s", scale=2, layers=(1, 1, 1, 1))
    assert len(model.layer4) == 1
    assert model.layer1[0].scale == 2
    assert variant("res2net50_26w_4s").options["scale"] == 4


def test_a_model_remembers_how_it_was_built():
    with torch.device("meta"):
        model = build("resnet50", num_classes=7)
    assert (model.variant_name, model.variant_options) == ("resnet50", {"num_classes": 7})


def test_a_switch_is_true_or_false():
    with pytest.raises(InputError, match=r"Option recompute 'maybe' of model 'resnet50' does not fit: give True or"):
        build("resnet50", recompute="maybe")


@pytest.mark.parametrize(
    ("alias", "name"),
    {
        "res2net50_v1b_26w_4s": "res2net50d",
        "res2net101_v1b_26w_4s": "res2net101d",
        "res2net152_v1b_26w_4s": "res2net152d",
        "res2net50_v1b": "res2net50d",
        "res2net50_v1b_26w_4s-3cf99910.pth": "res2net50d",
        "res2net101_v1d_26w_4s": "res2net101d",
        "Res2Net50_vd_26w_4s": "res2net50d",
        "Res2Net200_vd_26w_4s_ssld_pretrained.pdparams": "res2net200d",
        "Res2Net50_26w_4s": "res2net50_26w_4s",
        "Res2Net50_14w_8s": "res2net50_14w_8s",
        "res2net50-w14-s8": "res2net50_14w_8s",
        "res2net50-w14-s8_3rdparty_8xb32_in1k": "res2net50_14w_8s",
        "res2net101-w26-s4_8xb32_in1k": "res2net101_26w_4s",
        "res2net50": "res2net50_26w_4s",
        "res2net_dla60": "dla60_res2net",
        "res2next_dla60_4s-d327927b": "dla60_res2next",
        "res2next50_4s": "res2next50",
        "timm-res2net50_26w_4s": "res2net50_26w_4s",
        "ResNet50_vd": "resnet50d",
        "RESNET50": "resnet50",
    }.items(),
)
def test_names_of_other_programs(alias, name):
    assert model_name(alias) == name
    assert variant(alias) is VARIANTS[name]


@pytest.mark.parametrize(
    "name", ["res2net34_26w_4s", "resnet18", "res2net50_26w_5s", "res2net101_v2b", "resnext50_8x4d"]
)
def test_a_hint_never_leads_to_another_network(name):
    with pytest.raises(InputError, match=f"Unknown model '{name}': choose one"):
        model_name(name)


def test_every_alias_is_of_a_model_and_no_name_of_ours():
    names = set(VARIANTS)
    assert len(ALIASES) > 20
    assert set(ALIASES.values()) <= names
    assert not set(ALIASES) & names


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("res2net20_26w_4s_tiny", {"num_classes": 2_000_000_000}),
        ("res2net20_26w_4s_tiny", {"scale": 1_000_000}),
        ("res2net20_26w_4s_tiny", {"layers": [1, 1, 10**9]}),
        ("res2net20_26w_4s_tiny", {"layers": [1] * 5000, "channels": [8] * 5000}),
        ("res2net20_26w_4s_tiny", {"base_width": 10**9}),
        ("res2net50d", {"base_width": 1_000_000}),
        ("res2net20_26w_4s_tiny", {"in_channels": 10**12}),
        ("dla60", {"levels": [1, 1, 1, 2, 60, 1]}),
        ("cifar_res2next29_6c24w_4s", {"depth": 9 * 10**6 + 2}),
        ("resnet50", {"num_classes": 16_000_000, "channels": [64, 128, 256, 500_000]}),
    ],
)
def test_networks_that_no_machine_holds_are_refused_before_they_are_built(name, options):
    with pytest.raises(InputError, match=r"is too large: give [\d,]+ at most|GB of weights and this machine"):
        build(name, **options)
