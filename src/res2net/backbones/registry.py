"""The table of all backbones: each file of this folder registers its family when it is imported."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from res2net.backbones.base import Backbone
from res2net.errors import InputError, check_choice, check_options

__all__ = ["Variant", "build", "register", "variant", "variant_names"]

_VARIANTS: dict[str, Variant] = {}


@dataclass(frozen=True)
class Variant:
    """A named backbone: the class (or function) that builds it, the options that make it, and a line about it."""

    build: Callable[..., Backbone]
    options: Mapping[str, Any]
    about: str
    parameters: int | None = None
    """How many it has as it is, where that is written down because it takes seconds to build one and count."""

    @property
    def option_names(self) -> list[str]:
        """The options that its builder takes."""
        return list(inspect.signature(self.build).parameters)


def register(
    build: Callable[..., Backbone],
    about: str,
    table: Mapping[str, Mapping[str, Any]],
    parameters: Mapping[str, int] | None = None,
) -> None:
    """Add a family: for each name of `table`, the options that `build` makes the variant with.

    `parameters` tells how many a variant has, where building it takes long.
    """
    for name, options in table.items():
        if name in _VARIANTS:
            raise ValueError(f"backbone {name!r} is registered twice")
        check_options(name, options, inspect.signature(build).parameters)
        _VARIANTS[name] = Variant(build, dict(options), about, (parameters or {}).get(name))


@cache
def _all_variants() -> Mapping[str, Variant]:
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{__package__}.{module.name}")
    return _VARIANTS


def variant_names(pattern: str = "*") -> list[str]:
    """The names of all variants that match a shell-style pattern, in the order of their tables."""
    return [name for name in _all_variants() if fnmatch(name, pattern)]


def variant(name: str) -> Variant:
    """The variant of that name; `InputError` names the nearest."""
    check_choice("Model", name, _all_variants())
    return _all_variants()[name]


def build(name: str, **options: Any) -> Backbone:
    """Build a variant, with `options` over its own; `InputError` for an option or a switch that it does not take."""
    chosen = variant(name)
    check_options(f"Model {name!r}", options, chosen.option_names)
    defaults = inspect.signature(chosen.build).parameters
    for option, value in options.items():
        if isinstance(defaults[option].default, bool) and not isinstance(value, bool):
            raise InputError(f"Option {option} {value!r} of model {name!r} does not fit: give True or False.")
    model = chosen.build(**{**chosen.options, **options})
    model.variant_name, model.variant_options = name, dict(options)
    return model
