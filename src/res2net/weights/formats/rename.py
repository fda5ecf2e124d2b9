"""The interface of a format, and renaming of tensors by regular expressions."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from res2net.errors import InputError
from res2net.registry import Registry

__all__ = ["FORMATS", "Format", "Rules", "Tensors", "is_res2net", "rename", "rename_all"]

Tensors: TypeAlias = Mapping[str, Tensor]
Rules: TypeAlias = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]


@dataclass(frozen=True)
class Format:
    """A format: the names that a program gives to the tensors of a network."""

    about: str
    """The programs that use it."""
    recognise: Callable[[Collection[str]], bool]
    """Tests whether names are of this format."""
    to_native: Callable[[Tensors], dict[str, Tensor]]
    """Renames tensors to our names."""
    from_native: Callable[[Tensors], dict[str, Tensor]]
    """Renames tensors from our names."""
    graph: str = "official"
    """The graph that the program computes: a name of `res2net.backbones.graphs.GRAPHS`."""


FORMATS: Registry[Format] = Registry("Format")
"""The formats by name, in the order in which they are tried."""


def rename(tensors: Tensors, rules: Rules) -> dict[str, Tensor]:
    """Rename each tensor by the first rule, a pattern for the start of its name and a replacement, that matches."""
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, replacement in rules:
            changed, count = re.subn(f"^(?:{pattern})", replacement, name)
            if count:
                name = changed
                break
        renamed[name] = tensor
    return renamed


def rename_all(tensors: Tensors, rules: Rules, refusal: str) -> dict[str, Tensor]:
    """Rename each tensor by the first rule that matches its whole name; raise `InputError` if none does.

    `refusal` says which names the format has, and begins the message.
    """
    renamed = {}
    for name, tensor in tensors.items():
        fitting = ((found, change) for pattern, change in rules if (found := re.fullmatch(pattern, name)))
        found, change = next(fitting, (None, ""))
        if found is None:
            raise InputError(f"{refusal}, but no tensor {name!r}: choose another format.")
        renamed[found.expand(change) if isinstance(change, str) else change(found)] = tensor
    return renamed


def is_res2net(names: Collection[str]) -> bool:
    """Whether some block has several splits, under our names."""
    return any(".convs." in name for name in names)
