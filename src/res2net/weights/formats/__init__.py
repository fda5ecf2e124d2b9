"""The names that different programs give to the same tensors, and the way from each to ours and back."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice

from torch import Tensor

from res2net.errors import InputError, check_choice
from res2net.weights.formats.detection import DETECTRON2, MASKRCNN
from res2net.weights.formats.openmmlab import MMDET, MMPRETRAIN
from res2net.weights.formats.paddle import PADDLE
from res2net.weights.formats.rename import Format, is_res2net

__all__ = ["FORMATS", "SAME_NAMES", "Format", "Native", "format_named", "from_native", "to_native"]

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Native:
    """Tensors under our names."""

    format: str
    """What they were in."""
    tensors: dict[str, Tensor]
    dropped: tuple[str, ...]
    """Those of the file that no network computes with."""


FORMATS: dict[str, Format] = {
    "detectron2": DETECTRON2,
    "paddle": PADDLE,
    "mmpretrain": MMPRETRAIN,
    "mmdet": MMDET,
    "maskrcnn": MASKRCNN,
    "official": Format(
        "the official code, timm, torchvision and this library",
        lambda names: any(name in names for name in ("conv1.weight", "conv1.0.weight", "base_layer.0.weight")),
        dict,
        dict,
    ),
}
"""By name, in the order in which they are tried: those with marks of their own come first."""

SAME_NAMES = ("timm", "torchvision", "jittor", "res2net")
"""Programs whose names are those of the official code."""


UNUSED_HEAD = "network.AuxLogits."
"""Beginning of the names of Inception's second classifier, which is for training only and which timm leaves out."""


def format_named(name: str) -> str:
    """The format that a program of this name uses; `InputError` when none is known."""
    check_choice("Format", name, [*FORMATS, *SAME_NAMES])
    return "official" if name in SAME_NAMES else name


def to_native(tensors: Tensors, native_names: Collection[str] = ()) -> Native:
    """Recognise the format of `tensors` and give them our names, which are those of the official code and timm.

    Args:
        tensors: of a checkpoint.
        native_names: names of the network they are for; helps where a family has names of its own.

    Raises:
        InputError: the format is not known, or a tensor has no place in it.
    """
    tensors = _of_wrapped_network(tensors, native_names)
    name = next((name for name, known in FORMATS.items() if known.recognise(tensors)), None)
    # A family may by chance have the mark of a format among names of its own.
    if all(given in native_names for given in tensors) or (
        name is None and any(own in tensors for own in native_names)
    ):
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
    unused = _unused_projections(renamed) + [key for key in renamed if key.startswith(UNUSED_HEAD)]
    return Native(name, {key: value for key, value in renamed.items() if key not in unused}, tuple(unused))


def from_native(tensors: Tensors, format_name: str) -> dict[str, Tensor]:
    """Tensors under our names, renamed to those of another format or program.

    Counters of batches are left out where the program has none (PaddleClas). For "official", but not for programs that
    only share its names, a DLA gets the projections that the official code has and never applies, so that it loads the
    file strictly: each is a copy of the one that its tree does apply.

    Raises:
        InputError: no such format is known, or its program does not have this network.
    """
    known = FORMATS[format_named(format_name)]
    if format_name == "torchvision" and (is_res2net(tensors) or "conv1.0.weight" in tensors):
        raise InputError("torchvision has no Res2Net and no deep stem: choose timm, whose names are the same.")
    renamed = known.from_native(tensors)
    return _with_unused_projections(renamed) if format_name == "official" else renamed


def _of_wrapped_network(tensors: Tensors, native_names: Collection[str]) -> Tensors:
    """Tensors under timm's names, with those that they have where the network is held as a part: `TimmBackbone`."""
    held = any(f"network.{name}" in native_names for name in tensors)
    return {f"network.{name}": tensor for name, tensor in tensors.items()} if held else tensors


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


def _with_unused_projections(tensors: Tensors) -> dict[str, Tensor]:
    """Tensors with those that `_unused_projections` finds in official files: copies of those that are applied."""
    found = dict(tensors)
    for name, tensor in tensors.items():
        if used := re.fullmatch(r"(level\d\.)((?:tree1\.)+)(project\..+)", name):
            level, trees, rest = used.groups()
            found |= {f"{level}{'tree1.' * depth}{rest}": tensor for depth in range(trees.count("tree1."))}
    return found
