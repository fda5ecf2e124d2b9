"""The registry of backbones: each module of this package registers its family when it is imported."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from fnmatch import fnmatch
from functools import cache
from typing import Any

import torch

from res2net.backbones.base import Backbone
from res2net.errors import InputError, check_options, listed, nearest
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
ALIASES: dict[str, str] = {}
"""Names that other programs give to variants, in lower case."""
PUBLISHED_ENDINGS = r"(-[0-9a-f]{8}|_pretrained|_ssld|_3rdparty.*|_8xb32.*|\.pth|\.pdparams)+"
"""Endings of the names of published files and of configurations behind the name of the network."""
MOST: Mapping[str, int] = {"num_classes": 1 << 24, "scale": 64, "layers": 1000, "levels": 32, "depth": 2000}
"""Upper bounds of options, of the sum of those with several numbers; beyond them building takes minutes."""
MOST_OTHERS = 1 << 20
LARGE = 10_000
"""Networks with an option above this are compared with the memory before they are built."""


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


def add_aliases(names: Mapping[str, str]) -> None:
    """Add names that other programs give to variants; capitals make no difference."""
    ALIASES.update({alias.lower(): name for alias, name in names.items()})


def model_name(name: str) -> str:
    """Our name of a network, from ours or that of another program; raises `InputError` for an unknown one.

    The names are those of the authors, timm, MMPretrain, MMDetection and PaddleClas, also with the endings of their
    published files. A hint at another name never leads to a network of another depth, width or scale.
    """
    if name in VARIANTS:
        return name
    plain = re.sub(f"{PUBLISHED_ENDINGS}$", "", name.lower().removeprefix("timm/").removeprefix("timm-"))
    known = {other.lower(): other for other in VARIANTS} | ALIASES
    if plain in known:
        return known[plain]
    hint = similar_model(name)
    raise InputError(f"Unknown model {name!r}: {hint or 'choose one'} (allowed: {listed(list(VARIANTS))}).")


def similar_model(name: str) -> str:
    """A hint at a misspelt name of a model; empty unless a name has the same numbers and nearly the same letters."""

    def numbers(text: str) -> list[str]:
        return re.findall(r"\d+", text.lower().replace("res2n", "resn"))

    def letters(text: str) -> str:
        return re.sub(r"[^a-z]", "", text.lower())

    def is_similar(other: str) -> bool:
        return numbers(other) == numbers(name) and SequenceMatcher(None, letters(other), letters(name)).ratio() > 0.75

    return nearest(name, filter(is_similar, VARIANTS))


def variant(name: str) -> Variant:
    """The variant of that name, ours or that of another program; `InputError` if there is none."""
    return VARIANTS[model_name(name)]


def variant_names(pattern: str = "*") -> list[str]:
    """Names of the variants that match a shell-style pattern, in the order of their tables."""
    return [name for name in VARIANTS if fnmatch(name, pattern)]


def build(name: str, **options: Any) -> Backbone:
    """Build a variant; `options` override those of its table.

    Raises:
        InputError: an option does not exist or fit, or the network would be too large for this machine.
    """
    name = model_name(name)
    chosen = VARIANTS[name]
    check_options(f"Model {name!r}", options, chosen.option_names)
    defaults = inspect.signature(chosen.build).parameters
    for option, value in options.items():
        if isinstance(defaults[option].default, bool) and not isinstance(value, bool):
            raise InputError(f"Option {option} {value!r} of model {name!r} does not fit: give True or False.")
    large = [value for option, value in options.items() if _checked_size(name, option, value) > LARGE]
    complete = {**chosen.options, **options}
    if large and torch.get_default_device().type != "meta":
        with torch.device("meta"):
            check_memory(name, chosen.build(**complete))
    model = chosen.build(**complete)
    model.variant_name, model.variant_options = name, dict(options)
    return model


def _checked_size(name: str, option: str, value: object) -> int:
    """The largest whole number of an option, 0 if it has none; raises `InputError` if building would take minutes."""
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    numbers = [abs(number) for number in several if isinstance(number, int)]
    most = MOST.get(option, MOST_OTHERS)
    if sum(numbers) > most:
        raise InputError(f"Option {option} {str(value)[:60]} of model {name!r} is too large: give {most:,} at most.")
    return max(numbers, default=0)


def check_memory(name: str, template: Backbone) -> None:
    """Raise `InputError` if a network, which is on the meta device, has more weights than this machine has memory."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # pragma: no cover - systems that do not tell
        return
    needed = sum(tensor.numel() * tensor.element_size() for tensor in template.state_dict().values())
    if needed > memory:
        raise InputError(
            f"Model {name!r} with these options has {needed / 1e9:,.0f} GB of weights and this machine "
            f"{memory / 1e9:,.0f} GB of memory: choose smaller options."
        )


@cache
def family_example(family: Callable[..., Backbone]) -> Backbone:
    """Build the first variant of a family on the meta device, to see what its networks look like."""
    with torch.device("meta"):
        return build(next(name for name in VARIANTS if VARIANTS[name].build is family))
