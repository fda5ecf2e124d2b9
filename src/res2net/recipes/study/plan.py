"""The arms of a study: models with options, options that are varied one at a time, and options that are tuned."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from res2net.backbones.registry import variant
from res2net.engine.config import TrainConfig
from res2net.errors import InputError, check_choice
from res2net.zoo import check_model_options

Arms = dict[str, TrainConfig[Any]]
"""Configurations by the names that tables and figures show."""


def models_of(base: TrainConfig[Any], models: Sequence[str]) -> Arms:
    """An arm for each model, written as `NAME` or, with options of the architecture, `NAME:OPTION=VALUE:...`.

    Raises:
        InputError: a model or an option is unknown, or a model is named twice.
    """
    arms: Arms = {}
    for text in models:
        name, *pairs = text.split(":")
        options = dict(base.model.options)
        for pair in pairs:
            option, equals, value = pair.partition("=")
            if not equals:
                raise InputError(
                    f"The option {pair!r} of {text!r} has no value: write NAME:OPTION=VALUE, such as {name}:scale=4."
                )
            options[option] = parse_value(value)
        if text in arms:
            raise InputError(f"The model {text!r} is given twice: leave one out.")
        arms[text] = with_model(base, name, options)
    return arms


def parse_value(text: str) -> int | float | bool | str:
    """The number, truth value or text that a word stands for."""
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def with_model(base: TrainConfig[Any], name: str, options: Mapping[str, Any]) -> TrainConfig[Any]:
    """A configuration with a model and its options, checked."""
    variant(name)
    check_model_options(name, options)
    return replace(base, model=replace(base.model, model=name, options=dict(options)))


def swept(base: TrainConfig[Any], vary: Mapping[str, Sequence[Any]]) -> tuple[Arms, dict[str, list[str]]]:
    """Vary options of the architecture one at a time around a base, as Fig. 5 of the paper does.

    Args:
        base: the configuration whose model is varied.
        vary: the values of each option, such as `{"scale": (2, 4), "depth": (29, 56)}`. The base itself is one of the
            arms, and a value that is that of the base adds none.

    Returns:
        The arms, "base" the first, and for each option the names of the arms on its line, the base's among them, in the
        order of the values.

    Raises:
        InputError: an option or a value is unknown.
    """
    name = base.model.model
    arms: Arms = {"base": with_model(base, name, base.model.options)}
    lines: dict[str, list[str]] = {}
    for option, values in vary.items():
        own = default_of(name, base.model.options, option)
        line = {}
        for value in values:
            arm = "base" if value == own else f"{option}={value}"
            arms.setdefault(arm, with_model(base, name, {**base.model.options, option: value}))
            line[value] = arm
        line.setdefault(own, "base")
        ordered = all(isinstance(value, int | float) for value in line)
        lines[option] = [line[value] for value in (sorted(line) if ordered else line)]
    return arms, lines


def default_of(model: str, options: Mapping[str, Any], option: str) -> Any:
    """The value of an option of a model where it is not varied."""
    found = variant(model)
    check_choice(f"option of {model}", option, found.option_names)
    default = inspect.signature(found.build).parameters[option].default
    return options.get(option, found.options.get(option, default))


def tuned_arms(arms: Mapping[str, TrainConfig[Any]], option: str, values: Sequence[Any]) -> Arms:
    """Every arm with every value of an option of the training: `NAME, OPTION=VALUE`.

    Raises:
        InputError: there is no such option.
    """
    return {
        f"{name}, {option}={value}": with_option(config, option, value)
        for name, config in arms.items()
        for value in values
    }


def with_option(config: TrainConfig[Any], option: str, value: Any) -> TrainConfig[Any]:
    """A configuration with another value of a training option, given by the name that the command line uses.

    Raises:
        InputError: there is no such option.
    """
    field = option.replace("-", "_")
    parts = {part: getattr(config, part) for part in ("task", "model", "data", "optim")}
    for part, values in parts.items():
        if any(one.name == field for one in dataclasses.fields(values)):
            return replace(config, **{part: replace(values, **{field: value})})
    if any(one.name == field for one in dataclasses.fields(config)) and field not in parts:
        return replace(config, **{field: value})
    known = [one.name for values in (config, *parts.values()) for one in dataclasses.fields(values)]
    check_choice("option", field, [name for name in known if name not in parts])
    raise AssertionError
