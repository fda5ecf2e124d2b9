"""Errors of the user, each one sentence: the value that was wrong, what is allowed, what to do."""

from __future__ import annotations

import difflib
import math
import typing
from collections.abc import Iterable, Sequence
from typing import Any

LISTED = 12
"""The number of allowed values that a message lists at most."""


class InputError(ValueError):
    """An error in what the user gave. Its text is one sentence, to be shown without a traceback.

    A DataLoader rebuilds an exception of a worker from the text of its whole traceback; only the sentence at its end
    is kept.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())


def nearest(name: str, allowed: Iterable[str]) -> str:
    """A hint for a misspelt name, `did you mean 'x'?`, or an empty string when no allowed name is close."""
    by_lower = {candidate.lower(): candidate for candidate in allowed}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f"did you mean {by_lower[close[0]]!r}?" if close else ""


def listed(names: Sequence[str]) -> str:
    """The names separated by commas, the first 12 of them when there are more."""
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def check_choice(what: str, value: object, allowed: Any) -> None:
    """Raise `InputError` unless `value` is one of `allowed`, an iterable or a `Literal`; the message names the nearest.

    `what` is a noun for the value, such as "schedule" or "--bad-images".
    """
    choices = list(typing.get_args(allowed) or allowed)
    if value in choices:
        return
    names = [str(choice) for choice in choices]
    hint = nearest(str(value), names) or "choose one"
    raise InputError(f"Unknown {what[:1].lower() + what[1:]} {value!r}: {hint} (allowed: {listed(names)}).")


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise `InputError` unless `value` is a number from `low` to `high`."""
    if not isinstance(value, int | float) or not low <= value <= high:
        allowed = f"{low} or more" if high == math.inf else f"{low} to {high}"
        raise InputError(f"{name} {value!r} is out of range: give {allowed}.")


def check_options(owner: str, given: Iterable[object], allowed: Iterable[str]) -> None:
    """Raise `InputError` when a name in `given` is not in `allowed`; the message names the nearest.

    `owner` is what has the options, and begins the sentence.
    """
    names = list(allowed)
    for option in given:
        if option not in names:
            advice = nearest(str(option), names) or f"it takes {', '.join(names)}."
            raise InputError(f"{owner} has no option {option!r}: {advice}")
