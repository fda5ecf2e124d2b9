"""The interface of a format, and renaming of tensors by templates of their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from res2net.errors import InputError
from res2net.registry import Registry

Tensors: TypeAlias = Mapping[str, Tensor]
Pairs: TypeAlias = Sequence[tuple[str, str]]
Computed: TypeAlias = Mapping[str, Callable[[re.Match[str]], str]]

_FIELD = re.compile(r"\{([a-z]+)([+-]\d+)?\}")
_NUMBER = r"\d+"
BLOCK = "layer{stage}.{block}"
"""Template of the names of the tensors of a block, under our names."""


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


def translate(
    tensors: Tensors, pairs: Pairs, refusal: str = "", *, back: bool = False, computed: Computed | None = None
) -> dict[str, Tensor]:
    """Rename each tensor by the first pair whose template matches its whole name; raise `InputError` if none does.

    Pairs are templates of our names and of those of a program, such as `layer{stage}.{rest}` and `res{stage+1}.{rest}`:
    fields are whole numbers, which may be shifted, but `{rest}` is any text. With `back`, the names of the program are
    renamed to ours. `refusal` begins the message. `computed` are functions of the match that give fields which only
    names of the program have; they match any word.
    """
    computed = computed or {}
    rules = [_rule(theirs, ours, computed) if back else _rule(ours, theirs, computed) for ours, theirs in pairs]
    renamed = {}
    for name, tensor in tensors.items():
        changed = next((change(found) for pattern, change in rules if (found := pattern.fullmatch(name))), None)
        if changed is None:
            raise InputError(f"{refusal}, but no tensor {name!r}: choose another format.")
        renamed[changed] = tensor
    return renamed


def _rule(given: str, wanted: str, computed: Computed) -> tuple[re.Pattern[str], Callable[[re.Match[str]], str]]:
    """The pattern of a template, and the function that fills another template from a match."""
    first, *others = _FIELD.split(given)
    kinds = {"rest": ".+", **dict.fromkeys(computed, r"\w+")}
    fields = list(zip(others[::3], others[1::3], others[2::3], strict=True))
    pattern = re.escape(first) + "".join(
        f"(?P<{name}>{kinds.get(name, _NUMBER)}){re.escape(text)}" for name, _, text in fields
    )
    shifts = {name: int(shift or 0) for name, shift, _ in fields}

    def change(found: re.Match[str]) -> str:
        def value(field: re.Match[str]) -> str:
            name, shift = field.groups()
            if name in computed:
                return computed[name](found)
            return found[name] if name == "rest" else str(int(found[name]) - shifts[name] + int(shift or 0))

        return _FIELD.sub(value, wanted)

    return re.compile(pattern), change


def is_res2net(names: Collection[str]) -> bool:
    """Whether some block has several splits, under our names."""
    return any(".convs." in name for name in names)
