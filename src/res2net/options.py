"""Typed options from plain values, such as those of YAML files, checkpoints and the command line.

Values are checked against type annotations: `from_dict` for whole dataclasses, `type_advice` for one value.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal, TypeVar

from res2net.errors import InputError, check_choice, check_options, check_range, listed, nearest

TYPES: dict[Any, tuple[Any, str]] = {
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    bool: (bool, "True or False"),
    str: (str, "a string"),
    types.NoneType: (types.NoneType, "None"),
    tuple: (list | tuple, "a list"),
    Sequence: (Collection, "a list"),
    dict: (dict, "a mapping"),
    Callable: (Callable, "a function"),
}
"""For each annotated type, the types of the values that it accepts, and its name in messages."""


def from_dict(kind: Any, values: Any, where: str = "The configuration") -> Any:
    """Build a dataclass from plain values.

    A dataclass whose options had other names in earlier versions lists them in a class variable
    `renamed: ClassVar[Mapping[str, str]]`, from old names to new ones; both are accepted.

    Args:
        kind: the dataclass, or a generic one with its argument.
        values: a mapping from the names of its options to their values; lists become tuples.
        where: what holds the values, for the messages.

    Raises:
        InputError: a name is unknown (the message names the nearest), a value is not of its option's type, or an
            option without a default is missing.
    """
    kind_class, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if not isinstance(values, dict):
        raise InputError(f"{where} is {values!r}: give options with their values.")
    fields = {entry.name: entry for entry in dataclasses.fields(kind_class)}
    values = _with_new_names(values, getattr(kind_class, "renamed", {}), where)
    check_options(where, values, fields)
    hints = typing.get_type_hints(kind_class)  # without the annotations that only the command line reads
    parsed = {}
    for name, value in values.items():
        hint = arguments[0] if isinstance(hints[name], TypeVar) else hints[name]
        if dataclasses.is_dataclass(hint):
            parsed[name] = from_dict(hint, value, name)
            continue
        value = _number(value) if _fits(0.5, hint) else value
        if advice := type_advice(value, hint):
            raise InputError(f"{name} {value!r} in {where[0].lower() + where[1:]} does not fit: {advice}.")
        parsed[name] = _as_tuples(value)
    missing = [
        name
        for name, entry in fields.items()
        if name not in parsed and entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InputError(f"{where} lacks {', '.join(missing)}: add it.")
    return kind_class(**parsed)


def type_advice(value: object, hint: Any) -> str:
    """Advice on what to give instead of a value that is not of an annotated type; an empty string if it is.

    Unions, `Literal`, lists, mappings and functions are understood. Values of other special forms, such as `Any`, pass.
    """
    if _fits(value, hint):
        return ""
    hints = _members(hint)
    choices = [str(choice) for one in hints for choice in _choices(one)]
    others = [_name(one) for one in hints if not _choices(one)]
    if not choices:
        return f"give {' or '.join(others)}"
    return f"{nearest(str(value), choices) or 'choose one'} (allowed: {' or '.join([listed(choices), *others])})"


def _with_new_names(values: Mapping[Any, Any], renamed: Mapping[str, str], where: str) -> dict[Any, Any]:
    twice = [old for old, new in renamed.items() if old in values and new in values]
    if twice:
        raise InputError(f"{where} has both {renamed[twice[0]]!r} and its former name {twice[0]!r}: remove one.")
    return {renamed.get(name, name): value for name, value in values.items()}


def _as_tuples(value: Any) -> Any:
    """Replace lists, also nested ones, by tuples."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value


def _number(value: Any) -> Any:
    """Read an integer or text as a float where it can be one: YAML 1.1 parses 1e-3 as text."""
    try:
        return value if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return value


def _members(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the type itself."""
    is_union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    return typing.get_args(hint) if is_union else (hint,)


def _choices(hint: Any) -> tuple[Any, ...]:
    """The values of a `Literal`; none for other types."""
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


def _fits(value: object, hint: Any) -> bool:
    return any(_is_of(value, one) for one in _members(hint))


def _is_of(value: object, hint: Any) -> bool:
    if choices := _choices(hint):
        return any(value == choice and type(value) is type(choice) for choice in choices)
    kind, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind not in TYPES:
        return kind is Any or not isinstance(kind, type) or isinstance(value, kind)
    # Python counts a bool as a number, and text and mappings as collections.
    wrong = bool if kind in (int, float) else (str, Mapping) if kind is Sequence else ()
    if not isinstance(value, TYPES[kind][0]) or isinstance(value, wrong):
        return False
    if not arguments or kind is Callable:
        return True
    if isinstance(value, dict):
        return all(_fits(item, arguments[1]) for item in value.values())
    assert isinstance(value, Collection)
    if kind is Sequence or arguments[-1] is Ellipsis:
        return all(_fits(item, arguments[0]) for item in value)
    return len(value) == len(arguments) and all(map(_fits, value, arguments))


def _name(hint: Any) -> str:
    """What a message calls a type."""
    kind, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is dict and arguments:
        names = [_name(one) for one in _members(arguments[1]) if one is not int or not _fits(0.5, arguments[1])]
        return f"a mapping to {' or '.join([', '.join(names[:-1]), names[-1]] if names[1:] else names)}"
    return TYPES[kind][1] if kind in TYPES else f"a {getattr(kind, '__name__', kind)}"


def check_literals(options: Any) -> None:
    """Check the fields of a dataclass whose types are a `Literal`, or one with None; for its `__post_init__`."""
    hints = typing.get_type_hints(type(options))
    for entry in dataclasses.fields(options):
        members = _members(hints[entry.name])
        choices = [choice for one in members for choice in _choices(one)]
        value = getattr(options, entry.name)
        if choices and not (value is None and type(None) in members):
            check_choice(entry.name.replace("_", " ").capitalize(), value, choices)


def check_ranges(options: Any, **ranges: tuple[float, float]) -> None:
    """Check fields of a dataclass by lowest and highest value, also each number of a tuple; None passes."""
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        for number in value if isinstance(value, list | tuple) else (value,):
            if number is not None:
                check_range(name.replace("_", " "), number, low, high)
