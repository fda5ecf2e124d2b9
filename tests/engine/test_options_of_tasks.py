"""The options of tasks are found without the tasks."""

import pytest

from res2net.engine.options import options_type
from res2net.errors import InputError
from res2net.task import task_names
from res2net.task.base import TASKS


@pytest.mark.parametrize("name", task_names())
def test_they_are_those_of_the_task(name):
    assert options_type(name) is TASKS[name].Options


def test_an_unknown_task():
    with pytest.raises(InputError, match="Unknown task 'clasify': did you mean 'classify'"):
        options_type("clasify")
