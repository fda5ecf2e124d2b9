"""Repeating a recipe: what it compares, and what it prints."""

from dataclasses import replace

import pytest
from rich.console import Console

from res2net.engine.recipes import RECIPES, Recipe
from res2net.engine.reproduce import _verdict, reproduce

ONCE = {"epochs": 1, "warmup": 0.1}


def shortened(name, source, tmp_path, **optim):
    """The configuration of a recipe for a few images and one epoch."""
    config = RECIPES[name].configure()
    return replace(
        config, source=source, optim=replace(config.optim, **ONCE | optim), out=str(tmp_path / "run"), accelerator="cpu"
    )


def rows_of(name, source, tmp_path, **optim):
    """The rows of the table by metric, each a dictionary by the headings of its columns."""
    table = reproduce(RECIPES[name], shortened(name, source, tmp_path, **optim), Console(quiet=True))
    headings = [column.heading for column in table.columns]
    return {row[0]: dict(zip(headings, row, strict=True)) for row in table.rows}


def test_the_table_shows_what_was_known_before_and_after(tmp_path):
    rows = rows_of("shapes_keypoints", "shapes:16,4", tmp_path)
    assert "keypoint_AP" in rows
    row = rows["keypoint_AP50"]
    assert list(row) == ["metric", "untrained", "trained", "goal", ""]
    assert row["goal"] == 80
    assert 0 <= row["untrained"] <= 100
    assert 0 <= row["trained"] <= 100
    assert row[""] == ("reached" if row["trained"] >= 80 else "missed")
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_copy_stands_beside_a_generator(tmp_path):
    rows = rows_of("shapes_translate", "shapes-masks:8,3", tmp_path, warmup=0.0)
    assert set(rows) == {"SSIM", "PSNR, dB", "VIF"}
    row = rows["SSIM"]
    assert row[""] == ("reached" if row["trained"] >= row["goal"] else "missed")
    assert len({row["copy"], row["untrained"], row["trained"]}) == 3


@pytest.mark.slow
def test_roads_are_traced_in_every_way(tmp_path):
    rows = rows_of("synthetic_roads", "roads:16,2", tmp_path)
    ways = [f"{when}, {how}" for when in ("untrained", "trained") for how in ("next-point", "skeleton")]
    assert list(rows["APLS"]) == ["metric", "one graph for all", *ways, "goal", ""]
    assert all(0 <= rows["APLS"][way] <= 100 for way in ("one graph for all", *ways))


def test_a_goal_is_reached_or_missed():
    assert [_verdict([value], 80, lower=False) for value in (79.9, 80.0)] == ["missed", "reached"]
    assert [_verdict([value], 5, lower=True) for value in (5.1, 5.0)] == ["missed", "reached"]
    assert _verdict([90.0, 70.0], 80, lower=False) == "missed", "every way has to reach it"
    assert _verdict([1.0], None, lower=False) == ""


@pytest.mark.parametrize("name", [name for name, found in RECIPES.items() if found.goals])
def test_a_goal_is_of_a_metric_that_decides(name):
    found = RECIPES[name]
    assert isinstance(found, Recipe)
    assert found.configure().source in ("shapes", "roads", "volumes", "shapes-masks")
