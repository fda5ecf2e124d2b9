"""Mistakes that a user can make, told in one sentence: what was wrong, what is allowed, what to do."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Callable, Collection, Iterable, Sequence
from numbers import Integral, Real

__all__ = ["InputError", "check_choice", "check_options", "check_range", "nearest", "type_advice"]

LISTED = 12
"""How many allowed values a message lists at most."""
KINDS: dict[typing.Any, tuple[typing.Any, str]] = {
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    bool: (bool, "True or False"),
    str: (str, "a name"),
    types.NoneType: (types.NoneType, "None"),
    Sequence: (Collection, "a list"),
    Callable: (Callable, "a function"),
}
"""What values of an annotated type are, and in words."""


class InputError(ValueError):
    """Something given from outside was wrong. Its text is one sentence fit to be shown without a traceback.

    A DataLoader rebuilds an exception of its worker from one text, a whole traceback that ends with the sentence; of
    that only the sentence is kept.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())


def nearest(name: str, allowed: Iterable[str]) -> str:
    """A hint for a misspelt `name`: `did you mean 'x'?`, or an empty string when nothing is close."""
    by_lower = {candidate.lower(): candidate for candidate in allowed}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f"did you mean {by_lower[close[0]]!r}?" if close else ""


def check_choice(what: str, value: object, allowed: Iterable[object]) -> None:
    """Raise `InputError` unless `value` is one of `allowed`; the message names the nearest."""
    choices = list(allowed)
    if value in choices:
        return
    names = [str(choice) for choice in choices]
    hint = nearest(str(value), names) or "choose one"
    shown = ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
    raise InputError(f"{what} {value!r} is not known: {hint} (allowed: {shown}).")


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise `InputError` unless `value` is a number from `low` to `high`."""
    if not isinstance(value, int | float) or not low <= value <= high:
        allowed = f"{low} or more" if high == math.inf else f"{low} to {high}"
        raise InputError(f"{name} {value!r} is out of range: give {allowed}.")


def check_options(owner: str, given: Iterable[object], allowed: Iterable[str]) -> None:
    """Raise `InputError` when an option of `given` is not among `allowed`; the message names the nearest."""
    names = list(allowed)
    for option in given:
        if option not in names:
            advice = nearest(str(option), names) or f"it takes {', '.join(names)}."
            raise InputError(f"{owner} has no option {option!r}: {advice}")


def type_advice(value: object, hint: typing.Any) -> str:
    """What to give instead of a value that is not of an annotated type, and an empty string for one that is.

    Words of a command line and of a file can be of any type. Types that are not known here fit.
    """
    united = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    hints = typing.get_args(hint) if united else (hint,)
    if any(_is_of(value, one) for one in hints):
        return ""
    return f"give {' or '.join(KINDS[typing.get_origin(one) or one][1] for one in hints)}"


def _is_of(value: object, hint: typing.Any) -> bool:
    kind = typing.get_origin(hint) or hint
    if kind not in KINDS:
        return True
    if kind is Sequence and isinstance(value, Collection) and not isinstance(value, str):
        (inner,) = typing.get_args(hint)
        return all(_is_of(one, inner) for one in value)
    # A switch counts as a number in Python, and text as a collection of letters.
    wrong = bool if kind in (int, float) else str if kind is Sequence else ()
    return isinstance(value, KINDS[kind][0]) and not isinstance(value, wrong)
