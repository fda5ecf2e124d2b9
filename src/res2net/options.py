"""Typed options from plain values, as YAML files and checkpoints have them, strictly."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from res2net.errors import InputError, check_choice, check_options

__all__ = ["check_literals", "from_dict"]


def from_dict(kind: Any, values: Any, where: str = "The configuration") -> Any:
    """Make a dataclass from plain values, strictly.

    A class attribute `renamed` of the dataclass maps names of fields in earlier versions to those of today.

    Raises:
        InputError: a name is unknown, or a value is of another type.
    """
    kind_class, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if not isinstance(values, dict):
        raise InputError(f"{where} is {values!r}: give options with their values.")
    renamed = getattr(kind_class, "renamed", {})
    values = {renamed.get(name, name): value for name, value in values.items()}
    fields = {entry.name: entry for entry in dataclasses.fields(kind_class)}
    check_options(where, values, fields)
    hints = typing.get_type_hints(kind_class)  # without what is for the command line alone
    parsed = {}
    for name, value in values.items():
        hint = arguments[0] if isinstance(hints[name], TypeVar) else hints[name]
        value = _number(value) if _fits(0.5, hint) else value
        if dataclasses.is_dataclass(hint):
            parsed[name] = from_dict(hint, value, name)
        elif not _fits(value, hint):
            raise InputError(f"{name} {value!r} in {where[0].lower() + where[1:]} is not {_kind(hint)}: change it.")
        else:
            parsed[name] = _as_tuples(value)
    missing = [
        name
        for name, entry in fields.items()
        if name not in parsed and entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InputError(f"{where} lacks {', '.join(missing)}: add it.")
    return kind_class(**parsed)


def _as_tuples(value: Any) -> Any:
    """Lists, also within lists, as tuples."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-3 as text, and whole numbers as such where a fraction may stand."""
    try:
        return value if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return value


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return any(_fits(value, one) for one in typing.get_args(hint))
    if typing.get_origin(hint) is dict:
        return isinstance(value, dict) and all(_fits(item, typing.get_args(hint)[1]) for item in value.values())
    if typing.get_origin(hint) is tuple:
        return isinstance(value, list | tuple) and _fit_all(value, typing.get_args(hint))
    if typing.get_origin(hint) is Literal:
        return value in typing.get_args(hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return value is None if hint is type(None) else isinstance(value, hint)


def _fit_all(values: Sequence[Any], hints: Sequence[Any]) -> bool:
    """Whether values fit the types of a tuple, the last of which may be an ellipsis."""
    if hints[-1] is Ellipsis:
        return all(_fits(value, hints[0]) for value in values)
    return len(values) == len(hints) and all(map(_fits, values, hints))


def _kind(hint: Any) -> str:
    return str(getattr(hint, "__name__", hint)).replace("NoneType", "nothing")


def check_literals(options: Any) -> None:
    """Check the fields of a dataclass whose types are a `Literal`, or one with None; for its `__post_init__`.

    Raises:
        InputError: a value is not among the choices; the message names the nearest.
    """
    hints = typing.get_type_hints(type(options))
    for entry in dataclasses.fields(options):
        members = (hints[entry.name], *typing.get_args(hints[entry.name]))
        choices = [value for one in members if typing.get_origin(one) is Literal for value in typing.get_args(one)]
        value = getattr(options, entry.name)
        if choices and not (value is None and type(None) in members):
            check_choice(entry.name.replace("_", " ").capitalize(), value, choices)
