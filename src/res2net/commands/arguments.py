"""From what stands behind a verb to a typed value."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import tyro

from res2net.errors import InputError, nearest
from res2net.tasks.base import task_names

__all__ = ["parse", "split_task", "value_of"]

T = TypeVar("T")

KINDS = {"INT": "a whole number", "FLOAT": "a number"}
"""What tyro's names of types mean."""


def split_task(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The task, `classify` unless the first word names one, and the other words."""
    words = list(arguments)
    if words and words[0] in task_names():
        return words[0], words[1:]
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
        raise InputError(_sentence(complaint.getvalue(), verb, arguments)) from None
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


def _sentence(complaint: str, verb: str, words: Sequence[str]) -> str:
    """What tyro tells in a box of several parts, as one sentence."""
    plain = re.sub(r"\x1b\[[\d;]*m|[│╭╮╰╯]", "", complaint)
    _title, said, *_more = [*re.split(r"\n.*[-─]{5,}.*\n", f"\n{plain}"), "", ""]
    message = " ".join(said.split())
    more = f"see `res2net {verb} --help`."
    if missing := re.findall(r"^ +(--[\w-]+) [A-Z{]|^ +([A-Z]+) *$", said, re.MULTILINE):
        names = [option or "what it works on" for option, _metavar in missing]
        return f"`res2net {verb}` lacks {' and '.join(names)}: {more}"
    if found := re.match(r"Missing value for argument '(--[\w-]+)", message):
        return f"{found[1]} needs a value: {more}"
    if found := re.match(r"Error parsing (--[\w-]+):", message):
        metavar = re.search(rf"^ +{found[1]} (?:\{{None\}}\|)?(\S+)", plain, re.MULTILINE)
        allowed = KINDS.get(metavar[1]) if metavar else None
        advice = f"give {allowed}." if allowed else more
        return f"{found[1]} {value_of(found[1], words)!r} does not fit: {advice}"
    return re.sub(r"^Error parsing [\w.]+: ", "", message) or complaint.strip()
