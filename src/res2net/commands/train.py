"""`res2net train`: train a task on a source of images."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, cast

import tyro
from rich.console import Console

from res2net.commands.arguments import split_task
from res2net.commands.parser import parse, value_of
from res2net.engine.config import TrainConfig, read_yaml
from res2net.engine.task_options import options_type
from res2net.errors import InputError
from res2net.options import from_dict

if TYPE_CHECKING:
    from res2net.engine.folder import RunFolder

__all__ = ["Arguments", "parse_run", "run", "stopped"]

Options = TypeVar("Options")


@dataclass(frozen=True)
class Arguments(Generic[Options]):
    """How a run starts."""

    run: Annotated[TrainConfig[Options], tyro.conf.arg(name="")]
    config: Annotated[str | None, "FILE"] = None
    """Take options from this YAML file; command-line options override it."""
    recipe: Annotated[str | None, "NAME"] = None
    """Take options and the task from this recipe (`res2net recipes` lists them); command-line options override it."""
    resume: Annotated[str | None, "FOLDER"] = None
    """Resume the run in this folder bit-exactly; takes no other options."""


def run(arguments: Sequence[str]) -> int:
    """Start a run, or resume one; returns 1 if it was stopped and can be resumed."""
    task, words = split_task(arguments)
    named = words != list(arguments)
    resumed = value_of("--resume", words)
    task = _task_of(resumed, task, named=named)
    ready = _recipe(value_of("--recipe", words) if resumed is None else None, task, named=named)
    parsed, default = parse_run("train", words, task, ready)
    if parsed.resume is not None:
        from res2net.engine.folder import RunFolder

        folder = RunFolder.existing(parsed.resume)
        kind: Any = TrainConfig[options_type(task)]  # type: ignore[misc]
        saved = from_dict(kind, read_yaml(folder.config), f"The configuration {folder.config}")
        _check_nothing_else(parsed, default, saved)
        return _train(saved, folder)
    return _train(parsed.run, None)


def parse_run(
    verb: str, words: Sequence[str], task: str, ready: TrainConfig[Any] | None
) -> tuple[Arguments[Any], TrainConfig[Any]]:
    """Parse the options of a run.

    Args:
        verb: of the command.
        words: the words after the verb and the task.
        task: name of the task.
        ready: the configuration of a recipe, which the words may change.

    Returns:
        The options, and the configuration that they start from.

    Raises:
        InputError: an option is unknown or does not fit, or there is no source.
    """
    task = ready.task_name if ready else task
    options = options_type(task)
    kind: Any = TrainConfig[options]  # type: ignore[valid-type]
    default = ready or kind(task_name=task, source="", task=options())
    given = value_of("--config", words)
    if given is not None and ready is not None:
        raise InputError(
            "--recipe and --config exclude each other, since each describes a whole run: leave out one, or write the "
            "recipe to a file with `res2net recipes NAME` and edit it."
        )
    if given is not None:
        values = read_yaml(given)
        if values.setdefault("task_name", task) != task:
            raise InputError(
                f"{given} is for the task {values['task_name']}: run `res2net train {values['task_name']}`."
            )
        values.setdefault("source", "")
        values.setdefault("task", {})
        default = from_dict(kind, values, f"The configuration {given}")
    parsed: Arguments[Any] = parse(
        cast(type[Arguments[Any]], Arguments[options]),  # type: ignore[valid-type]
        verb if task == "classify" else f"{verb} {task}",
        words,
        f"Train on {options.data_help}.",
        Arguments(default),
    )
    if not parsed.run.source and parsed.resume is None:
        raise InputError("SOURCE is missing: give a path, or the name of an embedded data set such as shapes.")
    return parsed, default


def _train(config: TrainConfig[Any], resume: RunFolder | None) -> int:
    from res2net.engine.callbacks import StoppedError
    from res2net.engine.report import metrics_table, write_run_report
    from res2net.engine.train import open_data, train

    console = Console()
    try:
        trained = train(config, resume=resume, console=console)
    except StoppedError as stop:
        return stopped(stop)
    write_run_report(trained, open_data(config), config)
    title = f"The best weights on the validation images {trained.task.scoring.note}".rstrip()
    console.print(metrics_table(title, trained.evaluation).to_rich())
    best = shlex.quote(str(trained.folder.best))
    task = "" if config.task_name == "classify" else f"{config.task_name} "
    console.print(
        f"Report: {trained.folder.report}\nNext:\n"
        f"  res2net eval {task}{shlex.quote(config.source)} --weights {best}\n"
        f"  res2net predict {task}{trained.task.inputs.example_file} --weights {best}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return 0


def stopped(stop: Exception) -> int:
    """Print how to resume a run that was stopped, and return the exit status."""
    # Not to where the output goes: after Ctrl-C `tee` and the like are gone.
    print(f"Stopped and saved. Resume with:\n  res2net train --resume {shlex.quote(str(stop))}", file=sys.stderr)
    return 1


def _task_of(folder: str | None, task: str, *, named: bool) -> str:
    """The task of the run in a folder, if there is one; raises `InputError` if another task was named."""
    if folder is None:
        return task
    from res2net.engine.folder import RunFolder

    config = RunFolder(Path(folder)).config
    if not config.is_file():
        return task
    found = read_yaml(config).get("task_name", task)
    if named and found != task:
        raise InputError(f"{folder} is a run of the task {found}: resume it with `res2net train --resume {folder}`.")
    return str(found)


def _recipe(name: str | None, task: str, *, named: bool) -> TrainConfig[Any] | None:
    """The configuration of a recipe, if one is named; raises `InputError` if another task was named."""
    if name is None:
        return None
    from res2net.engine.recipes import find_recipe

    found = find_recipe(name).configure()
    if named and found.task_name != task:
        raise InputError(f"The recipe {name} is for the task {found.task_name}: leave out the word {task}.")
    return found


def _check_nothing_else(parsed: Arguments[Any], default: TrainConfig[Any], saved: TrainConfig[Any]) -> None:
    """Raise `InputError` if options would change a resumed run, whose source may be named again."""
    given = dataclasses.replace(parsed.run, source=default.source)
    others = parsed.config is not None or parsed.recipe is not None
    if others or given != default or parsed.run.source not in ("", saved.source):
        raise InputError(
            f"A resumed run keeps its options: give --resume {parsed.resume} alone, "
            f"or start a new run with --weights {Path(parsed.resume or '') / 'best.safetensors'}."
        )
