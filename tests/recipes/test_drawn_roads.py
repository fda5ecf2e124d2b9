"""The small run on drawn towns: what it compares."""

from dataclasses import replace

import pytest
from rich.console import Console

from res2net.errors import InputError
from res2net.images.sources import open_source
from res2net.recipes import drawn_roads
from res2net.recipes.drawn_roads import Arguments, configuration, run, verdict
from res2net.tasks.roads.synthetic.scenes import RoadScenes


def test_networks_of_one_cost_are_trained_alike():
    ours, plain = (configuration(Arguments(name)) for name in ("res2net20_26w_4s_tiny", "resnet20_tiny"))
    assert (ours.task, ours.data, ours.optim) == (plain.task, plain.data, plain.optim)


def test_the_table_has_every_way_beside_the_others(tmp_path, monkeypatch):
    few = [RoadScenes(count, size=64, split=split, keep=True) for count, split in ((16, "train"), (2, "val"))]
    source = open_source("roads", labels=("graph",))
    source = replace(source, train=few[0], val=few[1], preprocessing=replace(source.preprocessing, size=64))
    monkeypatch.setattr(drawn_roads, "open_source", lambda *_args, **_options: source)
    monkeypatch.setattr("res2net.engine.train.open_source", lambda *_args, **_options: source)
    table = run(Arguments(epochs=1, out=str(tmp_path / "run")), Console(quiet=True))
    names = [str(row[0]) for row in table.rows]
    assert names == [
        "one graph for all",
        *(f"{when}, {how}" for when in ("untrained", "trained") for how in ("next-point", "skeleton")),
    ]
    assert all(0 <= value <= 100 for row in table.rows for value in row[1:4])
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_goal_is_reached_or_missed():
    assert verdict("trained, skeleton", 60.0) == (60.0, "reached")
    assert verdict("trained, skeleton", 59.9) == (60.0, "missed")
    assert verdict("untrained, skeleton", 99.0) == (None, "")


def test_a_tracing_that_is_not_known():
    with pytest.raises(InputError, match="did you mean 'skeleton'"):
        configuration(Arguments(tracing="skelton"))
