"""The table of all backbones."""

import pytest
import torch

from res2net.backbones.registry import build, register, variant, variant_names
from res2net.errors import InputError


def test_patterns_choose_names():
    assert variant_names("res2net50_*w_2s") == ["res2net50_48w_2s"]
    assert variant_names("nothing*") == []
    assert set(variant_names("*next50*")) == {"resnext50_32x4d", "res2next50"}
    assert len(variant_names()) == len(set(variant_names()))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("res2net50_26w4s", "res2net50_26w_4s"), ("RESNET50", "resnet50"), ("res2next-50", "res2next50")],
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
