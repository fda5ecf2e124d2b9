"""The names that different programs give to the same tensors, and the way from each to ours and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from torch import Tensor

from res2net.errors import InputError, check_choice

__all__ = ["FORMATS", "Format", "Native", "from_native", "to_native"]

Tensors = Mapping[str, Tensor]
Rules = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Format:
    """One way to name the tensors of a network."""

    about: str
    recognise: Callable[[Collection[str]], bool]
    """Whether names are of this format."""
    to_native: Callable[[Tensors], dict[str, Tensor]]
    from_native: Callable[[Tensors], dict[str, Tensor]] | None = None
    """None where nobody needs the way back."""


@dataclass(frozen=True)
class Native:
    """Tensors under our names."""

    format: str
    """What they were in."""
    tensors: dict[str, Tensor]
    dropped: tuple[str, ...]
    """Those of the file that no network computes with."""


def to_native(tensors: Tensors, native_names: Collection[str] = ()) -> Native:
    """Recognise the format of `tensors` and give them our names, which are those of the official code and timm.

    Args:
        tensors: of a checkpoint.
        native_names: names of the network they are for; helps where a family has names of its own.

    Raises:
        InputError: the format is not known.
    """
    name = next((name for name, known in FORMATS.items() if known.recognise(tensors)), None)
    if name is None and any(own in tensors for own in native_names):
        name = "official"
    if name is None:
        some = ", ".join(islice(tensors, 4))
        raise InputError(
            f"The checkpoint's names ({some}, ...) are of no known format: rename them to those of timm "
            f"(known: {', '.join(FORMATS)})."
        )
    renamed = FORMATS[name].to_native(tensors)
    if len(renamed) < len(tensors):
        raise InputError(f"The checkpoint has some tensors twice under names of {name}: save one network only.")
    unused = _unused_projections(renamed)
    return Native(name, {key: value for key, value in renamed.items() if key not in unused}, tuple(unused))


def from_native(tensors: Tensors, format_name: str) -> dict[str, Tensor]:
    """Tensors under our names, renamed to another format; `InputError` when that is not possible."""
    check_choice("Format", format_name, [name for name, known in FORMATS.items() if known.from_native])
    convert = FORMATS[format_name].from_native
    assert convert is not None
    return convert(tensors)


def _unused_projections(names: Collection[str]) -> list[str]:
    """DLA's trees of trees have a projection that is never applied: official files hold it, timm and we leave it out.

    The projection of a tree is used by its first child only where that is a block and not a tree itself.
    """
    unused = []
    for name in names:
        projection = re.match(r"(level\d\.(?:tree\d\.)*)project\.", name)
        if projection and any(other.startswith(f"{projection[1]}tree1.tree1.") for other in names):
            unused.append(name)
    return unused


def _rename(tensors: Tensors, rules: Rules) -> dict[str, Tensor]:
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


# MMPretrain: a deep stem is three modules of convolution and normalisation.
_STEM = {
    "conv1.0.": "stem.0.conv.",
    "conv1.1.": "stem.0.bn.",
    "conv1.3.": "stem.1.conv.",
    "conv1.4.": "stem.1.bn.",
    "conv1.6.": "stem.2.conv.",
}


def _from_mmpretrain(tensors: Tensors) -> dict[str, Tensor]:
    rules = [(re.escape(f"backbone.{theirs}"), ours) for ours, theirs in _STEM.items()]
    rules += [(r"backbone\.stem\.2\.bn\.", "bn1."), (r"backbone\.", ""), (r"head\.fc\.", "fc.")]
    renamed = _rename(tensors, rules)
    # Its ResNet-d has no pooling, not even of one pixel, in the first shortcut, where we count one.
    if "layer1.0.downsample.0.weight" in renamed and "layer2.0.downsample.2.weight" in renamed:
        renamed = _rename(
            renamed, [(rf"layer1\.0\.downsample\.{i}\.", f"layer1.0.downsample.{i + 1}.") for i in (0, 1)]
        )
    return renamed


def _to_mmpretrain(tensors: Tensors) -> dict[str, Tensor]:
    renamed = dict(tensors)
    res2 = any(".convs." in name for name in tensors)
    if not res2 and "layer1.0.downsample.2.weight" in tensors:
        renamed = _rename(
            renamed, [(rf"layer1\.0\.downsample\.{i}\.", f"layer1.0.downsample.{i - 1}.") for i in (1, 2)]
        )
    rules = [(r"fc\.", "head.fc.")]
    if "conv1.0.weight" in tensors:
        rules += [(re.escape(ours), f"backbone.{theirs}") for ours, theirs in _STEM.items()]
        rules += [(r"bn1\.", "backbone.stem.2.bn.")]
    return _rename(renamed, [*rules, ("", "backbone.")])


FORMATS: dict[str, Format] = {
    "mmpretrain": Format(
        "MMPretrain and MMClassification",
        lambda names: any(name.startswith("backbone.") for name in names),
        _from_mmpretrain,
        _to_mmpretrain,
    ),
    "official": Format(
        "the official code, timm, torchvision and this library",
        lambda names: any(name in names for name in ("conv1.weight", "conv1.0.weight", "base_layer.0.weight")),
        dict,
        dict,
    ),
}
"""By name, in the order in which they are tried: those with marks of their own come first."""
