"""Every file of the folder is a task, found by its name."""

import dataclasses

import pytest

from res2net.errors import InputError
from res2net.report import Column
from res2net.task import task_names
from res2net.task.base import Task, register_task, task_type


def test_the_names_of_the_files_are_the_names_of_the_tasks():
    assert "classify" in task_names()
    for name in task_names():
        assert task_type(name).name == name


@pytest.mark.parametrize("name", task_names())
def test_a_task_offers_all_that_the_contract_asks_for(name):
    task = task_type(name)
    assert issubclass(task, Task)
    assert dataclasses.is_dataclass(task.Options)
    task.Options()  # every option has a default
    assert task.monitor
    assert task.result_name
    assert all(isinstance(column, Column) for column in task.columns)
    promised = ("build", "from_checkpoint", "forward", "losses", "metric", "validate", "predict")
    for method in (*promised, "transform", "tabulate", "draw", "draw_truth", "write_report"):
        assert any(method in vars(parent) for parent in task.__mro__[: task.__mro__.index(Task)])


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(InputError, match=r"^Unknown task 'clasify': did you mean 'classify'\? \(allowed: .*\)\.$"):
        task_type("clasify")


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="'classify' is registered twice"):
        register_task(task_type("classify"))
