"""The small runs on drawn scenes: what they compare, and what they tell."""

import pytest
from rich.console import Console

from res2net.errors import InputError
from res2net.recipes.shapes_objects import GOALS, Arguments, configuration, run
from res2net.recipes.side_by_side import reached


@pytest.mark.parametrize("task", GOALS)
def test_networks_of_one_cost_are_trained_alike(task):
    ours, plain = (configuration(Arguments(task, backbone)) for backbone in ("res2net20_26w_4s_tiny", "resnet20_tiny"))
    assert ours.model.model != plain.model.model
    assert (ours.task, ours.data, ours.optim, ours.seed) == (plain.task, plain.data, plain.optim, plain.seed)


def test_the_table_has_what_was_known_before_and_after(tmp_path, shapes_with):
    with shapes_with(train=16, val=4):
        chosen = Arguments("keypoints", epochs=1, out=str(tmp_path / "run"))
        table = run(chosen, Console(quiet=True))
    rows = {row[0]: row for row in table.rows}
    assert "keypoint_AP" in rows
    name, before, after, goal, word = rows["keypoint_AP50"]
    assert (name, goal) == ("keypoint_AP50", 80)
    assert 0 <= before <= 100
    assert 0 <= after <= 100
    assert word == reached(after, goal)
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_goal_is_reached_or_missed():
    assert [reached(value, 80) for value in (79.9, 80.0)] == ["missed", "reached"]
    assert reached(1.0, None) == ""


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (Arguments("detekt"), "Unknown task 'detekt': did you mean 'detect'"),
        (Arguments("detect", detector="retina"), "Unknown detector 'retina': did you mean 'retinanet'"),
    ],
)
def test_mistakes(chosen, message):
    with pytest.raises(InputError, match=message):
        configuration(chosen)
