"""What the help of a verb says of a task."""

import pytest

from res2net.engine.options import options_type
from res2net.task import task_names


@pytest.mark.parametrize("task", task_names())
def test_each_task_describes_its_data(task):
    assert options_type(task).data_help


@pytest.mark.parametrize(("verb", "first"), [("train", "Train on"), ("eval", "Evaluate weights on")])
def test_help_is_of_the_task(run, verb, first, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    text = " ".join(run(verb, "roads", "--help").out.split())
    assert f"usage: res2net {verb} roads" in text
    assert f"{first} folders images/ and graphs/" in text


def test_help_of_predict_names_the_tasks(run):
    text = " ".join(run("predict", "depth", "--help").out.split())
    assert "usage: res2net predict depth" in text
    assert all(name in text for name in task_names())
