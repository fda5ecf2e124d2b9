"""Names changed by rules, each of which is a pattern of a whole name or of its start."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from res2net.errors import InputError

__all__ = ["Format", "Rules", "Tensors", "is_res2net", "rename", "rename_all"]

Tensors: TypeAlias = Mapping[str, Tensor]
Rules: TypeAlias = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]


@dataclass(frozen=True)
class Format:
    """One way to name the tensors of a network."""

    about: str
    recognise: Callable[[Collection[str]], bool]
    """Whether names are of this format."""
    to_native: Callable[[Tensors], dict[str, Tensor]]
    from_native: Callable[[Tensors], dict[str, Tensor]]
    graph: str = "official"
    """What the program of this format computes: a name of `res2net.backbones.graphs.GRAPHS`."""


def rename(tensors: Tensors, rules: Rules) -> dict[str, Tensor]:
    """Each name changed by the first rule (a pattern of its start, and what takes its place) that fits."""
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
    """Each name, as a whole, changed by the first rule that fits; without one, `InputError`: `refusal` says of what."""
    renamed = {}
    for name, tensor in tensors.items():
        fitting = ((found, change) for pattern, change in rules if (found := re.fullmatch(pattern, name)))
        found, change = next(fitting, (None, ""))
        if found is None:
            raise InputError(f"{refusal}, and the tensor {name!r} has no place there: choose another format.")
        renamed[found.expand(change) if isinstance(change, str) else change(found)] = tensor
    return renamed


def is_res2net(names: Collection[str]) -> bool:
    """Whether, under our names, some block has several splits."""
    return any(".convs." in name for name in names)
