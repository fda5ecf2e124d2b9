"""Schedules are scaled to other numbers of epochs, and differences between configurations are found."""

import pytest

from res2net.engine.changes import changed_options, scaled_to
from res2net.engine.config import default_config, override
from res2net.engine.recipes import RECIPES


def with_optim(**options):
    return override(default_config("classify", "data"), options)


@pytest.mark.parametrize(
    ("optim", "epochs", "wanted"),
    [
        ({"epochs": 12, "schedule": "step", "milestones": (8, 11)}, 6, {"milestones": (4,)}),  # 5.5 is the end
        ({"epochs": 90, "schedule": "step", "milestones": (30, 60, 80)}, 9, {"milestones": (3, 6, 8)}),
        ({"epochs": 90, "schedule": "step", "milestones": (30, 60)}, 180, {"milestones": (60, 120)}),
        ({"epochs": 90, "schedule": "step", "milestones": (30, 60)}, 1, {"milestones": ()}),
        ({"epochs": 100, "schedule": "step", "step_epochs": 30}, 10, {"step_epochs": 3}),
        ({"epochs": 100, "schedule": "cosine", "warmup": 5.0, "hold": 20.0}, 10, {"warmup": 0.5, "hold": 2.0}),
        ({"epochs": 10, "schedule": "cosine"}, 3, {}),
        ({"epochs": 10, "schedule": "constant", "step_epochs": 30}, 3, {}),
    ],
)
def test_a_schedule_keeps_its_shares(optim, epochs, wanted):
    config = with_optim(**optim)
    scaled, line = scaled_to({"epochs": epochs}, config)
    assert {name: change[1] for name, change in changed_options(config, scaled).items()} == wanted | {"epochs": epochs}
    assert bool(line) is bool(wanted)
    for name in wanted:
        assert name.replace("_", "-") in line


def test_what_is_given_is_not_told():
    config = with_optim(epochs=12, schedule="step", milestones=(8, 11), warmup=1.0)
    _, line = scaled_to({"epochs": "6", "milestones": "3"}, config)
    assert line == "The schedule is scaled from 12 to 6 epochs: warmup 1 is now 0.5."


@pytest.mark.parametrize(
    "options", [{}, {"epochs": "ten"}, {"epochs": None}, {"epochs": 0}, {"epochs": -3}, {"epochs": 30}]
)
def test_other_numbers_are_left_to_the_checks(options):
    config = with_optim(epochs=30, warmup=3.0)
    assert scaled_to(options, config) == (config, "")


@pytest.mark.parametrize("epochs", [1, 2, 7])
def test_every_recipe_can_be_shortened(epochs):
    for name, recipe in RECIPES.items():
        scaled, _ = scaled_to({"epochs": epochs}, recipe.configure())
        assert scaled.optim.epochs == epochs, name


def test_differences_have_the_names_of_options():
    one, other = with_optim(lr=0.1), with_optim(lr=0.2, label_smoothing=0.1, options={"scale": 8}, size=64)
    assert changed_options(one, other) == {
        "lr": (0.1, 0.2),
        "label_smoothing": (0.0, 0.1),
        "options": ({}, {"scale": 8}),
        "size": (None, 64),
    }
