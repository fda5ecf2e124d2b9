"""What the help of a verb says of a task."""

import pytest

from res2net.engine.task_options import options_type
from res2net.task import task_names


def test_the_data_of_each_task_are_described():
    assert all(options_type(task).data_help for task in task_names())


@pytest.mark.parametrize(
    ("verb", "first"), [("train", "Train on"), ("eval", "Evaluate weights on the validation part of")]
)
def test_help_is_of_the_task(run, verb, first, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    told = " ".join(run(verb, "roads", "--help").out.split())
    assert f"usage: res2net {verb} roads" in told
    assert f"{first} folders images and graphs" in told


def test_help_of_predict_names_the_tasks(run):
    told = " ".join(run("predict", "depth", "--help").out.split())
    assert "usage: res2net predict depth" in told
    assert all(name in told for name in task_names())
