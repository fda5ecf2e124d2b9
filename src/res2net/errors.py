"""Errors of the user, each one sentence: the value that was wrong, what is allowed, what to do."""

from __future__ import annotations

import difflib
import math
import re
import typing
from collections.abc import Iterable, Sequence
from typing import Any

LISTED = 12
"""The number of allowed values that a message lists at most."""
LONGEST = 2000
"""Characters of a message at most; of a longer one, such as one about a very long name, the middle is left out."""
# Control characters, line separators, marks that change the direction of text, and bytes that are not UTF-8.
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str, keep: str = "") -> str:
    r"""Escape characters that a terminal would obey, as in `\x1b`, or could not print; those in `keep` stay.

    Names of files and classes can hold anything. A byte of a file name that is not UTF-8 becomes `\xe9`.
    """
    return _INVISIBLE.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def _escape(character: str) -> str:
    undecoded = 0xDC80 <= ord(character) <= 0xDCFF  # how Python passes on bytes that are not UTF-8
    return f"\\x{ord(character) - 0xDC00:02x}" if undecoded else character.encode("unicode_escape").decode()


class InputError(ValueError):
    """An error in what the user gave. Its text is one sentence, to be shown without a traceback.

    A DataLoader rebuilds an exception of a worker from the text of its whole traceback; only the sentence at its end
    is kept. What is invisible in it is escaped by `visible`.
    """

    def __init__(self, message: str) -> None:
        sentence = visible(message.rpartition(f"{type(self).__name__}: ")[2].strip())
        if len(sentence) > LONGEST:
            sentence = f"{sentence[: LONGEST // 2]} … {sentence[-LONGEST // 2 :]}"
        super().__init__(sentence)


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
