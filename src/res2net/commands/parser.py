"""Parse the arguments of a command into a dataclass, with short help and one-sentence error messages.

Help shows a field as `--name N`, `X`, `TEXT` or `{a,b}`, depending on its type; a string in its annotation, such as
`Annotated[str | None, "PATH"]`, overrides this.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from res2net.errors import InputError, check_choice, nearest

T = TypeVar("T")

HELP = ("-h", "--help", "--help-all")
METAVARS = {int: "N", float: "X", str: "TEXT", bool: "{True,False}"}
NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "True or False"}
PLURALS = {int: "whole numbers", float: "numbers", str: "texts"}
COUNTS = {1: "one", 2: "two", 3: "three"}
EXAMPLES = {"--weights": "runs/NAME/best.safetensors"}
"""Example values of required options, for error messages."""


def parse(
    kind: type[T],
    verb: str,
    arguments: Sequence[str],
    about: str,
    default: T | None = None,
    help_texts: Mapping[str, str] | None = None,
) -> T:
    """Parse arguments into a dataclass; options of nested dataclasses have no prefix.

    `--help` prints help and exits the program. It shows the fields that are listed in the class attribute `everyday`,
    or all if there is none; `--help-all` shows all. `verb` are the words of the command before the arguments, `about`
    says what it does, `default` has the values of options that are not given, and `help_texts` the help of fields, by
    name, that have another meaning here than their docstring says. Raises `InputError` if an option is unknown,
    missing, or has an invalid value.
    """
    words = list(arguments)
    options = dict(_options_of(kind))
    settings: dict[str, Any] = {
        "prog": f"res2net {verb}",
        "description": about,
        "default": default if default is not None else tyro.MISSING_NONPROP,
        "config": (tyro.conf.OmitArgPrefixes,),
        "return_unknown_args": True,
    }
    if any(word in HELP for word in words):
        _print_help(kind, verb, "--help-all" not in words, settings, help_texts or {})
    _check_choices(words, options)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            value, unknown = tyro.cli(kind, args=words, **settings)
    except SystemExit as end:
        # An error raised by a dataclass already has a message, which tyro would have printed.
        found = next((error for error in _handled_before(end) if isinstance(error, InputError)), None)
        raise found or InputError(_error_message(complaint.getvalue(), verb, words, options)) from None
    if unknown:
        raise InputError(_unknown_argument_message(unknown[0], verb, words, options))
    return value


def option_names(kind: Any) -> list[str]:
    """The options of a dataclass and of those nested in it, such as "--size"."""
    return [name for name, _ in _options_of(kind)]


def value_of(option: str, words: Sequence[str]) -> str | None:
    """The value of an option in unparsed arguments; None if it is not given."""
    values = list(_values_of(option, words))
    return values[0] if values else None


def _values_of(option: str, words: Sequence[str]) -> Iterator[str]:
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if not name.startswith("--") or name.replace("_", "-") != option:
            continue
        if equals:
            yield value
        else:
            yield from words[index + 1 : index + 2]


def divide_words(kind: Any, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide arguments into the options of a dataclass with their values, and the rest.

    So a verb has options of its own beside those of `res2net train`, also where a task has one of the same name.
    """
    options = {name: option.hint for name, option in _options_of(kind) if name.startswith("--")}
    options |= {f"--no-{name[2:]}": hint for name, hint in options.items() if hint is bool}
    own: list[str] = []
    others: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, _ = word.partition("=")
        hint = options.get(name.replace("_", "-"))
        if hint is None:
            others.append(word)
            continue
        own.append(word)
        several = typing.get_origin(hint) is tuple
        while hint is not bool and (several or not equals) and words and not words[0].startswith("--"):
            own.append(words.pop(0))
            if not several:
                break
    return own, others


class _Option(NamedTuple):
    """An option, or a positional argument."""

    hint: Any
    """Its type, without metadata."""
    metavar: str
    """The placeholder of its value in help."""


def _options_of(kind: Any) -> Iterator[tuple[str, _Option]]:
    """The options of a dataclass and of those nested in it by name; positional arguments have names in capitals."""
    origin = typing.get_origin(kind) or kind
    chosen = dict(zip(getattr(origin, "__parameters__", ()), typing.get_args(kind), strict=False))
    hints = typing.get_type_hints(origin, include_extras=True)
    for field in dataclasses.fields(origin):
        hint, metadata = _without_metadata(hints[field.name])
        hint = chosen.get(hint, hint)
        if typing.get_origin(hint) and dataclasses.is_dataclass(typing.get_origin(hint)):
            hint = hint[tuple(chosen.get(one, one) for one in typing.get_args(hint))]
        if _is_dataclass(hint):
            yield from _options_of(hint)
        elif tyro.conf.Suppress not in metadata:
            is_positional = tyro.conf.Positional in metadata
            name = field.name.upper() if is_positional else f"--{field.name.replace('_', '-')}"
            yield name, _Option(hint, _metavar_of(field.name, hint, metadata))


def _without_metadata(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Split an annotation into the plain type and the metadata of `Annotated`."""
    metadata: tuple[Any, ...] = ()
    while typing.get_origin(hint) is Annotated:
        hint, *more = typing.get_args(hint)
        metadata += tuple(more)
    return hint, metadata


def _is_dataclass(hint: Any) -> bool:
    return dataclasses.is_dataclass(typing.get_origin(hint) or hint)


def _members(hint: Any) -> tuple[Any, ...]:
    """The types that a union allows, but for None."""
    union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    return tuple(one for one in typing.get_args(hint) if one is not type(None)) if union else (hint,)


def _check_choices(words: Sequence[str], options: dict[str, _Option]) -> None:
    """Raise `InputError` where an option with a fixed set of choices has another value."""
    for option, (hint, _) in options.items():
        members = [member for member in _members(hint) if typing.get_origin(member) is Literal]
        choices = [str(one) for member in members for one in member.__args__]
        for value in _values_of(option, words) if choices else ():
            if value != "None" and not value.startswith("--"):
                check_choice(option, value, choices)


def _metavar_of(name: str, hint: Any, metadata: Sequence[Any]) -> str:
    """The placeholder of a value in help: a string in `Annotated`, the name of a positional, or a name of the type."""
    usual = name.upper() if tyro.conf.Positional in metadata else _metavar(hint)
    return next((one for one in metadata if isinstance(one, str)), usual)


def _metavar(hint: Any) -> str:
    """The placeholder of a value of a type."""
    (hint, *_) = _members(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return f"{{{','.join(map(str, arguments))}}}"
    if origin is dict:
        return "NAME VALUE ..."
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"{_metavar(arguments[0])} ..."
    if origin is tuple:
        return " ".join(map(_metavar, arguments))
    return METAVARS.get(hint, "VALUE")


def _print_help(kind: Any, verb: str, brief: bool, settings: dict[str, Any], help_texts: Mapping[str, str]) -> None:
    """Print help and exit the program."""
    hidden: set[str] = set()
    try:
        tyro.cli(kind, args=["--help"], registry=_help_registry(hidden, help_texts, brief=brief), **settings)
    finally:
        if hidden:
            print(f"These are the most used options: `res2net {verb} --help-all` lists {len(hidden)} more.")


def _help_registry(hidden: set[str], help_texts: Mapping[str, str], *, brief: bool) -> ConstructorRegistry:
    """The rules by which tyro shows fields; those that it leaves out are added to `hidden`.

    With `brief`, only the everyday fields are shown, in a single group.
    """
    registry = ConstructorRegistry()
    inside = False

    @registry.struct_rule
    def rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        nonlocal inside
        if inside or not dataclasses.is_dataclass(info.type):
            return None
        inside = True
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            inside = False
        if not isinstance(spec, StructConstructorSpec):
            return None
        everyday = getattr(info.type, "everyday", None) if brief else None
        fields = []
        for field in spec.fields:
            hint, metadata = _without_metadata(field.type)
            if tyro.conf.Suppress in metadata:
                fields.append(field)
            elif _is_dataclass(hint):
                fields.append(_with(field, tyro.conf.arg(name="")) if brief else field)
            elif everyday is not None and field.name not in everyday:
                hidden.add(field.name)
                fields.append(_with(field, tyro.conf.Suppress))
            else:
                fields.append(_shown(field, help_texts.get(field.name)))
        return dataclasses.replace(spec, fields=tuple(fields))

    return registry


def _with(field: StructFieldSpec, *more: Any) -> StructFieldSpec:
    changed: Any = Annotated[(field.type, *more)]
    return dataclasses.replace(field, type=changed)


def _shown(field: StructFieldSpec, text: str | None) -> StructFieldSpec:
    """A field with a short placeholder for its value, its own or another help, and without an empty default."""
    hint, metadata = _without_metadata(field.type)
    metavar = None if hint is bool else _metavar_of(field.name, hint, metadata)
    # A positional argument without values is an empty tuple.
    is_empty = field.default in (None, "", (), {}) or (
        tyro.conf.Positional in metadata and typing.get_origin(hint) is tuple
    )
    own = field.helptext
    # Tyro keeps some line breaks of a docstring.
    one_line = " ".join((text or (own() if callable(own) else own) or "").split())
    field = dataclasses.replace(field, helptext=one_line)
    return _with(field, tyro.conf.arg(metavar=metavar, help_behavior_hint="" if is_empty else None))


def _handled_before(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions that were being handled when this one was raised, latest first."""
    while error.__context__ is not None:
        error = error.__context__
        yield error


def _unknown_argument_message(word: str, verb: str, words: Sequence[str], options: dict[str, _Option]) -> str:
    """The message about an argument that no option takes."""
    more = f"see `res2net {verb} --help`."
    name = word.partition("=")[0]
    if name.startswith("-"):
        return f"`res2net {verb}` has no option {name!r}: {nearest(name, options) or more}"
    for index in (index for index, other in enumerate(words) if other == word):
        start = next((start for start in range(index - 1, -1, -1) if words[start].startswith("--")), None)
        option = None if start is None else options.get(words[start].replace("_", "-"))
        if start is not None and option is not None and index - start > 1 and re.fullmatch(r"[-+\d.e]+", word):
            counted = re.sub("^a (whole )?number$", "one number", _expected_values(option.hint))
            return f"{words[start]} takes {counted}, and {word!r} is one more: {more}"
    return f"Unexpected argument {word!r}: {more}"


def _error_message(complaint: str, verb: str, words: Sequence[str], options: dict[str, _Option]) -> str:
    """Convert the error message of tyro, a box of several lines, to one sentence."""
    plain = re.sub(r"\x1b\[[\d;]*m|[│╭╮╰╯]|[-─]{5,}", "", complaint)
    message = " ".join(plain.split())
    more = f"see `res2net {verb} --help`."
    positional = re.search(r"Missing value for argument '([a-z]\w*)'", message)
    if "Missing from" in message or "required arguments" in message or positional:
        given = [word.partition("=")[0].replace("_", "-") for word in words if word.startswith("--")]
        if unknown := [name for name in given if not {name, name[:2] + name[2:].removeprefix("no-")} & options.keys()]:
            return _unknown_argument_message(unknown[0], verb, words, options)
        names = re.findall(r"^ {5,6}(--[\w-]+|[A-Z]+\b|\{[\w,-]+\})", plain, re.MULTILINE)
        names = names or ([positional[1].upper()] if positional else [])
        lacking = [_missing_argument(name, options) for name in names]
        return f"`res2net {verb}` needs {' and '.join(lacking)}: {more}"
    if found := re.search(r"invalid choice '([^']*)' for argument '(\w+)'", message):
        check_choice(found[2], found[1], typing.get_args(options[found[2].upper()].hint))
    if found := re.search(r"Missing value for argument '(--[\w-]+)", message):
        return f"{found[1]} needs a value: {more}"
    if found := re.search(r"Error parsing (--[\w-]+)", message):
        name = found[1]
        given, hint = _given_values(name, words), options[name].hint
        if typing.get_origin(hint) is dict:
            return f"{name} needs NAME VALUE pairs; {given[-1]!r} has no value."
        return f"{name} {' '.join(given)!r} does not fit: give {_expected_values(hint)}."
    return f"{message.rstrip('.')}: {more}"


def _given_values(option: str, words: Sequence[str]) -> list[str]:
    """All arguments between an option and the next one."""
    last = max(index for index, word in enumerate(words) if word.partition("=")[0].replace("_", "-") == option)
    _, equals, value = words[last].partition("=")
    return [value] if equals else list(itertools.takewhile(lambda word: not word.startswith("--"), words[last + 1 :]))


def _expected_values(hint: Any) -> str:
    """A description of the values that an option takes."""
    (hint, *_) = _members(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple and arguments[-1] is Ellipsis:
        return PLURALS.get(arguments[0], "values")
    if origin is tuple:
        return f"{COUNTS.get(len(arguments), len(arguments))} {PLURALS.get(arguments[0], 'values')}"
    return NAMES.get(hint, "a value")


def _missing_argument(name: str, options: dict[str, _Option]) -> str:
    """Name a missing argument: an option with its value and possibly an example, or a positional argument."""
    if name.startswith("{"):
        return name.strip("{}").replace(",", " or ")
    if name not in options:
        return next((one.metavar for other, one in options.items() if not other.startswith("--")), name)
    return f"{name} {options[name].metavar}" + (f", e.g. {EXAMPLES[name]}" if name in EXAMPLES else "")
