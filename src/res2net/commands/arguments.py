"""Options that several commands share, and the task that a command is for."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from res2net.commands.parser import option_names, parse, value_of
from res2net.engine.options import Accelerator, BadImages, Precision
from res2net.errors import InputError, listed, nearest
from res2net.export.settings import Format
from res2net.files import parse_yaml
from res2net.task import task_names

if TYPE_CHECKING:
    from res2net.api import Model

PAGES = (".html", ".png")
"""Endings of files with images side by side: a page, or an image."""
FIGURES = (".png", ".svg")
"""Endings of plots."""


@dataclass(frozen=True, kw_only=True)
class RunningArguments:
    """How trained networks are run."""

    bad_images: BadImages = "stop"
    """At an image that cannot be read, stop, or skip and report it."""
    accelerator: Accelerator = "auto"
    """The device to run on."""
    runtime: Format | None = None
    """Runtime of an exported file; by default the one that it was exported for."""
    trust: bool = False
    """Open exported files of torch (pt2, aoti), which can run any code that is in them."""
    task_options: dict[str, str] = dataclasses.field(default_factory=dict)
    """Options of the task that differ from the training, as pairs: `window 513 scales [0.75,1,1.25]` evaluates large
    images in windows, at three scales."""


@dataclass(frozen=True, kw_only=True)
class TrainedArguments(RunningArguments):
    """The weights of the verbs that use one trained network."""

    weights: Annotated[str, "FILE"]
    """A checkpoint, the folder of a run, an exported file or the name of weights that ship (`res2net weights list`); or
    with --model another checkpoint or a tag such as "in1k"."""
    model: Annotated[str | None, "NAME"] = None
    """Architecture, where the weights do not state it."""
    precision: Precision | None = None
    """Precision; by default as in the training, but fp32 for exported files and in place of fp16 on a CPU."""


def parse_for_task(
    kind: Any, verb: str, task: str, words: Sequence[str], options_of: Callable[[str], type[Any]], about: str
) -> Any:
    """Parse the words after a verb and its task into `kind[options]`, where `options_of(task)` are the options."""
    options = options_of(task)
    required = [
        entry.name
        for entry in dataclasses.fields(kind)
        if entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
    ]
    default = kind[options](options=options(), **dict.fromkeys(required, tyro.MISSING_NONPROP))
    with hint_at_tasks(verb, task, words, options_of):
        return parse(kind[options], verb if task == "classify" else f"{verb} {task}", words, about, default)


@contextlib.contextmanager
def hint_at_tasks(verb: str, task: str, words: Sequence[str], options_of: Callable[[str], type[Any]]) -> Iterator[None]:
    """Where a task has no option of a name, say in the `InputError` which tasks have it, or one that begins so."""
    try:
        yield
    except InputError as error:
        unknown = re.search(r"has no option '(--[\w-]+)'", str(error))
        name = unknown[1].replace("_", "-") if unknown else ""
        others = {one: _option_like(name, options_of(one)) for one in task_names() if one != task} if name else {}
        having = {one: option for one, option in others.items() if option}
        if not having:
            raise
        # The task of the weights is the likeliest.
        weights = value_of("--weights", words)
        likely = _task_of(weights) if weights is not None else None
        first = likely if likely in having else next(iter(having))
        same = [first, *(one for one, option in having.items() if option == having[first] and one != first)]
        raise InputError(
            f"`res2net {verb}{'' if task == 'classify' else f' {task}'}` has no option {name!r}, and {having[first]} "
            f"is one of {listed(same)}: name the task, as in `res2net {verb} {first} ...`."
        ) from error


def _option_like(name: str, options: type[Any]) -> str:
    """The option of this name, or else one that begins with it; empty if there is none."""
    names = option_names(options)
    return name if name in names else next((option for option in names if option.startswith(f"{name}-")), "")


def _task_of(weights: str) -> str | None:
    """The task of a checkpoint of a run; None if it is not known."""
    from res2net.weights.files import BEST, read_metadata

    path = Path(weights, BEST) if Path(weights).is_dir() else Path(weights)
    try:
        return read_metadata(path).get("task") if path.suffix == ".safetensors" else None
    except InputError:
        return None


def load_trained(chosen: TrainedArguments, task: str) -> Model:
    """Load the trained network that a user chose for a task."""
    from res2net.api import load

    try:
        task_options = {name: parse_yaml(value) for name, value in chosen.task_options.items()}
    except ValueError as error:
        raise InputError("--task-options takes names with numbers, lists or words, such as `window 513`.") from error
    return load(
        chosen.weights,
        model=chosen.model,
        task=task,
        runtime=chosen.runtime,
        accelerator=chosen.accelerator,
        precision=chosen.precision,
        task_options=task_options,
        trust=chosen.trust,
    )


def check_output(path: Path, endings: Sequence[str], *, overwrite: bool = True) -> None:
    """Raise `InputError` unless a file with one of the endings, or with any if there are none, may be written there."""
    if endings and path.suffix.lower() not in endings:
        raise InputError(f"{path} has the ending {path.suffix!r}: choose {' or '.join(endings)}.")
    if not path.parent.is_dir():
        raise InputError(f"There is no folder {path.parent} for {path.name}: create it, or choose another.")
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the name of a file.")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists: choose another name, or add --overwrite.")


def split_task(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Split off the task: `classify` unless the first word names another; raises `InputError` if it nearly does."""
    words = list(arguments)
    if words and words[0] in task_names():
        return words[0], words[1:]
    if len(words) > 1 and not words[1].startswith("-") and not Path(words[0]).exists():
        hint = nearest(words[0], task_names())
        if hint:
            raise InputError(f"There is no task {words[0]!r}: {hint} (tasks: {', '.join(task_names())}).")
    return "classify", words
