"""From what stands behind a verb to a typed value."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import tyro
import yaml

from res2net.errors import InputError, check_choice, nearest
from res2net.task import task_names

if TYPE_CHECKING:
    from res2net.api import Model

__all__ = ["RunningArguments", "TrainedArguments", "load_trained", "parse", "split_task", "value_of"]

T = TypeVar("T")

KINDS = {"INT": "a whole number", "FLOAT": "a number"}
"""What tyro's names of types mean."""


@dataclass(frozen=True, kw_only=True)
class RunningArguments:
    """How trained networks are run."""

    bad_images: str = "stop"
    """An image that cannot be read: "stop" there, or "skip" it and say so."""
    accelerator: str = "auto"
    """cpu, gpu, mps, or auto."""
    runtime: str | None = None
    """For weights that `res2net export` wrote: openvino, onnx or pt2; by default the one that the file is for."""
    task_options: dict[str, str] = dataclasses.field(default_factory=dict)
    """Options of the task's evaluation that are not as in the training, as pairs: `window 513 scales [0.75,1,1.25]`
    looks at large images piece by piece, and in three sizes."""


@dataclass(frozen=True, kw_only=True)
class TrainedArguments(RunningArguments):
    """What the verbs that use trained weights have in common."""

    weights: str
    """A checkpoint of `res2net train`; or, with --model, another checkpoint or a tag such as "in1k"."""
    model: str | None = None
    """Name of the architecture, where the weights do not say it."""


def load_trained(chosen: TrainedArguments, task: str, precision: str | None) -> Model:
    """The trained task that a user chose.

    Args:
        chosen: the options of the command.
        task: the task that is expected.
        precision: None for that of the training.

    Raises:
        InputError: the weights are missing or damaged, or do not fit what else was given.
    """
    from res2net.api import load

    try:
        task_options = {name: yaml.safe_load(value) for name, value in chosen.task_options.items()}
    except yaml.YAMLError as error:
        raise InputError("A value of --task-options is no number, list or word: give such as `window 513`.") from error
    return load(
        chosen.weights,
        model=chosen.model,
        task=task,
        runtime=chosen.runtime,
        accelerator=chosen.accelerator,
        precision=precision,
        task_options=task_options,
    )


def split_task(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The task, `classify` unless the first word names one, and the other words.

    Raises:
        InputError: two words stand first, and the first is nearly the name of a task.
    """
    words = list(arguments)
    if words and words[0] in task_names():
        return words[0], words[1:]
    if len(words) > 1 and not words[1].startswith("-") and not Path(words[0]).exists():
        hint = nearest(words[0], task_names())
        if hint:
            raise InputError(f"There is no task {words[0]!r}: {hint} (tasks: {', '.join(task_names())}).")
    return "classify", words


def value_of(option: str, words: Sequence[str]) -> str | None:
    """The value of an option before anything is parsed; None where it is not given."""
    for index, word in enumerate(words):
        if word.startswith(f"{option}="):
            return word.removeprefix(f"{option}=")
        if word == option and index + 1 < len(words):
            return words[index + 1]
    return None


def parse(kind: type[T], verb: str, arguments: Sequence[str], about: str, default: T | None = None) -> T:
    """Parse into a dataclass, groups of options without their names; `--help` ends the program.

    Raises:
        InputError: an option is unknown (the nearest is named), missing, or does not fit.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            value, unknown = tyro.cli(
                kind,
                prog=f"res2net {verb}",
                description=about,
                args=list(arguments),
                default=default if default is not None else tyro.MISSING_NONPROP,
                config=(tyro.conf.OmitArgPrefixes,),
                return_unknown_args=True,
            )
    except SystemExit as end:
        if not end.code:
            raise
        # A mistake that a dataclass found has its sentence already; tyro was on its way to print it.
        found = next((error for error in _before(end) if isinstance(error, InputError)), None)
        raise found or InputError(_sentence(complaint.getvalue(), verb, arguments)) from None
    if unknown:
        word, more = unknown[0].partition("=")[0], f"see `res2net {verb} --help`."
        if not word.startswith("-"):
            raise InputError(f"{word!r} is one word too many: {more}")
        options = [f"--{name.replace('_', '-')}" for name in _field_names(value)]
        raise InputError(f"`res2net {verb}` has no option {word!r}: {nearest(word, options) or more}")
    return value


def _field_names(value: Any) -> Iterator[str]:
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        if dataclasses.is_dataclass(inner):
            yield from _field_names(inner)
        else:
            yield field.name


def _before(error: BaseException) -> Iterator[BaseException]:
    """The exceptions that were being handled when this one was raised, the latest first."""
    while error.__context__ is not None:
        error = error.__context__
        yield error


def _sentence(complaint: str, verb: str, words: Sequence[str]) -> str:
    """The message that tyro prints in a box of several lines, as one sentence."""
    plain = re.sub(r"\x1b\[[\d;]*m|[│╭╮╰╯]|[-─]{5,}", "", complaint)
    message = " ".join(plain.split())
    more = f"see `res2net {verb} --help`."
    if found := re.search(r"invalid choice '(.*)' for argument '(\S+)'\. Expected one of \((.*?)\)\.", message):
        # Raises the sentence, which names the nearest. The default None stands for no choice.
        check_choice(found[2], found[1], [choice for choice in re.findall(r"'(.*?)'", found[3]) if choice != "None"])
    if "Missing from" in message:
        names = re.findall(r"^ {5,6}(--[\w-]+|[A-Z]+|\{[\w,-]+\})(?!\S)", plain, re.MULTILINE)
        lacking = [
            name if name.startswith("--") else f"one of {name}" if name.startswith("{") else "what it works on"
            for name in names
        ]
        return f"`res2net {verb}` lacks {' and '.join(lacking)}: {more}"
    if found := re.search(r"Missing value for argument '(--[\w-]+)", message):
        return f"{found[1]} needs a value: {more}"
    if found := re.search(r"invalid choice '(.*?)' for argument '(--[\w-]+)'\. Expected one of \((.*?)\)", message):
        choices = [choice for choice in re.findall(r"'(.*?)'", found[3]) if choice != "None"]
        hint = nearest(found[1], choices) or "choose one"
        return f"{found[2]} {found[1]!r} is not known: {hint} (allowed: {', '.join(choices)})."
    if found := re.search(r"Error parsing (--[\w-]+):.* Argument helptext: \1 (?:\{None\}\|)?(\w*)", message):
        advice = f"give {KINDS[found[2]]}." if found[2] in KINDS else more
        return f"{found[1]} {value_of(found[1], words)!r} does not fit: {advice}"
    return message
