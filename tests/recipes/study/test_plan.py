"""The arms of a study."""

import pytest

from res2net import create_model
from res2net.engine.config import ModelConfig, TrainConfig
from res2net.errors import InputError
from res2net.measure import count
from res2net.recipes.study import models_of, swept
from res2net.recipes.study.plan import parse_value, with_option
from res2net.tasks.classify.options import ClassifyOptions

BASE = TrainConfig("classify", "shapes", ClassifyOptions(), ModelConfig("res2net20_26w_4s_tiny", options={"scale": 2}))


def test_models_have_their_options_beside_those_of_all():
    arms = models_of(BASE, ["resnet20_tiny", "res2net20_26w_4s_tiny:scale=8:base_width=14:zero_init_last=False"])
    assert [config.model.model for config in arms.values()] == ["resnet20_tiny", "res2net20_26w_4s_tiny"]
    assert arms["resnet20_tiny"].model.options == {"scale": 2}
    _, second = arms.values()
    assert second.model.options == {"scale": 8, "base_width": 14, "zero_init_last": False}


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["resnet20_tinny"], "resnet20_tiny"),
        (["resnet20_tiny:depth"], "has no value: write NAME:OPTION=VALUE, such as resnet20_tiny:scale=4"),
        (["resnet20_tiny:scales=4"], "has no option 'scales'"),
        (["resnet20_tiny", "resnet20_tiny"], "'resnet20_tiny' is given twice"),
    ],
)
def test_wrong_models_are_refused(models, message):
    with pytest.raises(InputError, match=message):
        models_of(BASE, models)


def test_options_are_varied_one_at_a_time_around_the_base():
    arms, lines = swept(BASE, {"scale": [4, 2, 8], "cardinality": [1, 2]})
    assert list(arms) == ["base", "scale=4", "scale=8", "cardinality=2"]
    assert lines == {"scale": ["base", "scale=4", "scale=8"], "cardinality": ["base", "cardinality=2"]}
    assert arms["scale=8"].model.options == {"scale": 8}
    assert arms["cardinality=2"].model.options == {"scale": 2, "cardinality": 2}


def test_the_base_is_on_every_line_in_its_order():
    _, lines = swept(BASE, {"base_width": [40, 10]})
    assert lines == {"base_width": ["base_width=10", "base", "base_width=40"]}, "the base has 26"
    with pytest.raises(InputError, match="option of res2net20_26w_4s_tiny 'widht'"):
        swept(BASE, {"widht": [4]})


def test_options_of_the_training_have_the_names_of_the_command_line():
    assert with_option(BASE, "weight-decay", 0.1).optim.weight_decay == 0.1
    assert with_option(BASE, "batch_size", 8).data.batch_size == 8
    assert with_option(BASE, "label_smoothing", 0.1).task.label_smoothing == 0.1
    assert with_option(BASE, "precision", "bf16").precision == "bf16"
    with pytest.raises(InputError, match=r"Unknown option 'lrr': did you mean 'lr'"):
        with_option(BASE, "lrr", 1)
    with pytest.raises(InputError, match="optim"):
        with_option(BASE, "optim", 1)


@pytest.mark.parametrize(
    ("text", "value"), [("4", 4), ("1e-3", 1e-3), ("False", False), ("silu", "silu"), ("1,2", "1,2")]
)
def test_values_of_words(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_the_small_networks_cost_the_same():
    names = ["resnext20_8x14d_small", *(f"res2net20_{size}_small" for size in ("48w_2s", "26w_4s", "14w_8s"))]
    base, *others = (count(create_model(name, num_classes=100), (3, 32, 32)) for name in ["resnet20_small", *names])
    for other in others:
        assert other.macs == pytest.approx(base.macs, rel=0.03)
        assert other.parameters == pytest.approx(base.parameters, rel=0.05)
