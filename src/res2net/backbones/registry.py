"""The registry of backbones: each module of this package registers its family when it is imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from typing import Any

import torch

from res2net.backbones.base import Backbone
from res2net.errors import InputError, check_options
from res2net.registry import Registry


@dataclass(frozen=True)
class Variant:
    """A named backbone: the class or function that builds it, the options that make it, and a line about it."""

    build: Callable[..., Backbone]
    options: Mapping[str, Any]
    about: str
    parameters: int | None = None
    """Number of parameters, declared where building the network to count them takes seconds."""

    @property
    def option_names(self) -> list[str]:
        """Names of the options that the builder takes."""
        return list(inspect.signature(self.build).parameters)


VARIANTS: Registry[Variant] = Registry("Model", package=__package__)


def register(
    build: Callable[..., Backbone],
    about: str,
    table: Mapping[str, Mapping[str, Any]],
    parameters: Mapping[str, int] | None = None,
) -> None:
    """Add a family to the registry.

    Args:
        build: the class or function that builds the networks.
        about: a line about the family.
        table: for each name, the options of `build` that make the variant.
        parameters: numbers of parameters by name, where building a network takes long.
    """
    for name, options in table.items():
        check_options(name, options, inspect.signature(build).parameters)
        VARIANTS.add(name, Variant(build, dict(options), about, (parameters or {}).get(name)))


def variant(name: str) -> Variant:
    """The variant of that name; `InputError` names the nearest."""
    return VARIANTS[name]


def variant_names(pattern: str = "*") -> list[str]:
    """Names of the variants that match a shell-style pattern, in the order of their tables."""
    return [name for name in VARIANTS if fnmatch(name, pattern)]


def build(name: str, **options: Any) -> Backbone:
    """Build a variant; `options` override those of its table, and raise `InputError` unless it has them."""
    chosen = variant(name)
    check_options(f"Model {name!r}", options, chosen.option_names)
    defaults = inspect.signature(chosen.build).parameters
    for option, value in options.items():
        if isinstance(defaults[option].default, bool) and not isinstance(value, bool):
            raise InputError(f"Option {option} {value!r} of model {name!r} does not fit: give True or False.")
    model = chosen.build(**{**chosen.options, **options})
    model.variant_name, model.variant_options = name, dict(options)
    return model


@cache
def family_example(family: Callable[..., Backbone]) -> Backbone:
    """Build the first variant of a family on the meta device, to see what its networks look like."""
    with torch.device("meta"):
        return build(next(name for name in VARIANTS if VARIANTS[name].build is family))
