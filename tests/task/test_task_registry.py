"""Every folder with a `task.py` is a task, found by its name, that offers what the contract asks for."""

import dataclasses
import importlib
from collections.abc import Sequence

import pytest

from res2net import create_model
from res2net.errors import InputError
from res2net.export import EXPORTERS
from res2net.report import Column
from res2net.task import task_modules, task_names
from res2net.task.base import TASKS, Evaluation, Scoring, Task
from res2net.task.inputs import Inputs
from res2net.task.result import Result
from res2net.weights import Preprocessing


def overridden(task, name):
    """Whether a task, or its family, has its own method of that name."""
    return any(name in vars(parent) for parent in task.__mro__[: task.__mro__.index(Task)])


def test_the_names_of_the_folders_are_the_names_of_the_tasks():
    assert "classify" in task_names()
    assert list(TASKS) == task_names() == list(task_modules())
    for name in task_names():
        assert TASKS[name].name == name


@pytest.mark.parametrize("name", task_names())
def test_a_task_offers_all_that_the_contract_asks_for(name):
    task = TASKS[name]
    assert issubclass(task, Task)
    assert dataclasses.is_dataclass(task.Options)
    options = task.Options()  # every option has a default
    values = dataclasses.asdict(options)
    nested = {name for value in values.values() if isinstance(value, dict) for name in value}
    assert set(getattr(options, "adjustable", ())) <= {*values, *nested}
    assert isinstance(task.inputs, Inputs)
    assert "class_names" in task.fact_names
    for method in ("open", "network", "forward", "losses", "metric", "validate", "transform", "predict", "truth"):
        assert overridden(task, method), method
    assert overridden(task, "write_report")
    assert name in EXPORTERS


@pytest.mark.parametrize("name", task_names())
def test_its_results_show_themselves(name):
    module = importlib.import_module(f"{task_modules()[name]}.task")
    family = importlib.import_module(TASKS[name].__mro__[1].__module__)
    found = {one for part in (module, family) for one in vars(part).values() if isinstance(one, type)}
    results = [one for one in found if issubclass(one, Result) and one is not Result]
    assert results
    for result in results:
        assert isinstance(result.columns, Sequence)
        assert all(isinstance(column, Column) for column in result.columns)
        for method in ("to_dict", "rows", "draw"):
            assert getattr(result, method) is not getattr(Result, method), method


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(InputError, match=r"^Unknown task 'clasify': did you mean 'classify'\? \(allowed: .*\)\.$"):
        TASKS["clasify"]


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="'classify' is registered twice"):
        TASKS.add("classify", TASKS["classify"])


def test_units_and_the_score_of_one_sample():
    scoring = Scoring("top1", units={"RMSE": "m", "*_mm": "mm"})
    assert [scoring.unit(name) for name in ("top1", "RMSE", "hd95_mm")] == ["%", "m", "mm"]
    assert scoring.score_of_one(Evaluation({"top1": 40.0, "loss": 1.0}, {})) == ("top1", 40.0)


def test_a_backbone_of_other_dimensions_is_refused():
    task = TASKS["segment"]
    source = task.open("shapes:2,2")

    def create(**options):
        return create_model("resnet3d20_tiny", **options)

    with pytest.raises(InputError, match=r"is a 3-D network, and the task segment needs a 2-D one: choose another"):
        task.build(create, source, Preprocessing(), task.Options())


class Nothing(Result):
    """Nothing was found."""

    columns = ()

    def to_dict(self):
        return {"found": []}


def test_a_result_without_an_input_says_so(tmp_path):
    with pytest.raises(InputError, match=r"does not know its image: give one, as in result\.draw\(image\)\.$"):
        _ = Nothing().image
    bound = Nothing().attach_input(lambda: "the image", tmp_path / "a.png")
    assert (bound.image, bound.path) == ("the image", tmp_path / "a.png")
    assert Nothing().path is None
