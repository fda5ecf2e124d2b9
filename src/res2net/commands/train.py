"""`res2net train`: train a task on a source of images."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import tyro

from res2net.commands.arguments import hint_at_tasks, split_task
from res2net.commands.parser import parse, value_of
from res2net.console import Console
from res2net.engine.changes import scaled_to
from res2net.engine.config import TrainConfig, check_source, default_config
from res2net.engine.options import options_type
from res2net.engine.recipes import applicable, starting_config
from res2net.errors import InputError

if TYPE_CHECKING:
    from res2net.engine.folder import RunFolder

Options = TypeVar("Options")


@dataclass(frozen=True)
class Arguments(Generic[Options]):
    """How a run starts."""

    run: Annotated[TrainConfig[Options], tyro.conf.arg(name="")]
    config: Annotated[str | None, "FILE"] = None
    """Take options and the task from this YAML file; command-line options override it."""
    recipe: Annotated[str | None, "NAME"] = None
    """Take options and the task from this recipe (`res2net recipes` lists them); command-line options override it."""
    resume: Annotated[str | None, "FOLDER"] = None
    """Resume the run in this folder bit-exactly. SOURCE says where its data are now, and --epochs N trains for more
    epochs, also if it is finished; other options of the run cannot change."""
    accept_changed_data: bool = False
    """Resume although images were added, removed or changed; the classes must be the same."""


def run(arguments: Sequence[str]) -> int:
    """Start a run, or resume one; returns 1 if it was stopped and can be resumed."""
    parsed, folder, scaled = parse_train("train", arguments)
    if parsed.accept_changed_data and folder is None:
        raise InputError("--accept-changed-data applies to --resume FOLDER: leave it out.")
    return _train(parsed.run, folder, scaled, accept_changed_data=parsed.accept_changed_data)


def parse_train(verb: str, arguments: Sequence[str]) -> tuple[Arguments[Any], RunFolder | None, str]:
    """Parse the task, the source and the options of a run.

    Returns:
        The parsed options, the folder of the run if it is resumed, and a line that says how the schedule was scaled.
    """
    task, words = split_task(arguments)
    named = None if words == list(arguments) else task
    origins = {option: value_of(f"--{option}", words) for option in ("config", "recipe", "resume")}
    default, folder = starting_config(named, **origins)
    default, scaled = (default, "") if folder is not None else scaled_to(given_options(words), default)
    parsed = parse_run(verb, words, default)
    if not any(origins.values()):
        # What suits the data and the options of the task is only known now.
        usual = default_config(parsed.run.task_name, parsed.run.source, parsed.run.task)
        usual, scaled = scaled_to(given_options(words), usual)
        parsed = parse_run(verb, words, usual)
    return parsed, folder, scaled


def given_options(words: Sequence[str]) -> dict[str, str | None]:
    """The options among unparsed arguments that a schedule is scaled by, with their values."""
    names = ("epochs", "milestones", "step_epochs", "warmup", "hold")
    given = {word.partition("=")[0].removeprefix("--").replace("-", "_") for word in words if word.startswith("--")}
    return {name: value_of(f"--{name.replace('_', '-')}", words) for name in names if name in given}


def parse_run(verb: str, words: Sequence[str], default: TrainConfig[Any]) -> Arguments[Any]:
    """Parse the words after a verb and its task into changes of a configuration."""
    parsed = parse_changes(Arguments, verb, words, default, f"Train on {options_type(default.task_name).data_help}.")
    check_source(parsed.run)
    return parsed


def parse_changes(kind: Any, verb: str, words: Sequence[str], default: TrainConfig[Any], about: str) -> Any:
    """Parse words into a generic dataclass whose field `run` is a changed configuration.

    Options of the architecture are added to those of the configuration. Of another model these apply as far as it has
    them; what is left out is printed.
    """
    task = default.task_name
    options = options_type(task)
    own = default.model.options
    # With entries in the default of a mapping, the parser would take those alone.
    plain = replace(default, model=replace(default.model, options={}))
    with hint_at_tasks(verb, task, words, options_type):
        parsed = parse(
            kind[options],
            verb if task == "classify" else f"{verb} {task}",
            words,
            about,
            kind(plain),
            {"size": options.size_help} if hasattr(options, "size_help") else None,
        )
    model = parsed.run.model
    if own and default.model.model and model.model != default.model.model:
        own = applicable(own, model.model)
        if missing := [name for name in default.model.options if name not in own]:
            Console().out(f"{model.model} has no option {', '.join(missing)}: without it.", highlight=False)
    return replace(parsed, run=replace(parsed.run, model=replace(model, options={**own, **model.options})))


def _train(config: TrainConfig[Any], resume: RunFolder | None, note: str, *, accept_changed_data: bool) -> int:
    from res2net.engine.report import metrics_table, train_with_report
    from res2net.engine.stop import StoppedError

    console = Console()
    if note:
        console.out(note)
    try:
        trained = train_with_report(config, resume=resume, accept_changed_data=accept_changed_data, console=console)
    except StoppedError as stop:
        return stopped(stop)
    title = f"The best weights on the validation images {trained.task.scoring.note}".rstrip()
    console.print(metrics_table(title, trained.evaluation).to_rich())
    best = shlex.quote(str(trained.folder.weights))
    task = "" if config.task_name == "classify" else f"{config.task_name} "
    # Without it, data that the training divided are evaluated as a whole, with what was trained on.
    part = " --split val" if re.fullmatch("val: [0-9]+% by hash", trained.source.val_about) else ""
    console.out(
        f"Report: {trained.folder.report}\nNext:\n"
        f"  res2net eval {task}{shlex.quote(config.source)} --weights {best}{part}\n"
        f"  res2net predict {task}{trained.task.inputs.example_file} --weights {best}",
        highlight=False,
    )
    return 0


def stopped(stop: Exception) -> int:
    """Print how to resume a run that was stopped, and return the exit status."""
    # Not to where the output goes: after Ctrl-C `tee` and the like are gone.
    Console(stderr=True).out(
        f"Stopped and saved. Resume with:\n  res2net train --resume {shlex.quote(str(stop))}", highlight=False
    )
    return 1


def stopped_together(stop: Exception, again: str = "the same command") -> int:
    """Print how several runs that were stopped go on; returns the exit status."""
    Console(stderr=True).out(f"Stopped and saved ({stop}). Go on with {again}.", highlight=False)
    return 1
