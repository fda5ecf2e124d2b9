"""Formats: the names that different programs give to the same tensors, and conversions to our names and back."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

from torch import Tensor

from res2net.errors import InputError, check_choice
from res2net.weights.formats import detection, openmmlab, paddle  # noqa: F401 - they register their formats
from res2net.weights.formats.rename import FORMATS, Format, Tensors, is_res2net

__all__ = ["FORMATS", "SAME_NAMES", "Format", "Native", "format_named", "from_native", "to_native"]

# Registered last, since it recognises names that other formats have as well.
FORMATS.add(
    "official",
    Format(
        "the official code, timm, torchvision and this library",
        lambda names: any(name in names for name in ("conv1.weight", "conv1.0.weight", "base_layer.0.weight")),
        dict,
        dict,
    ),
)

SAME_NAMES = ("timm", "torchvision", "jittor", "res2net")
"""Programs that use the names of the official code."""
BACKBONE_PREFIXES = ("backbone.bottom_up.", "backbone.body.", "encoder.model.", "encoder.", "backbone.")
"""Prefixes of the backbone in detectors and segmenters: those of Detectron2; of maskrcnn-benchmark and torchvision; of
segmentation_models.pytorch; and of MMDetection, MMSegmentation and the tasks of this library."""
LAST_STAGES = {
    "roi_heads.res5.": "res5.",
    "roi_heads.box.feature_extractor.head.layer4.": "layer4.",
    "roi_heads.box_head.stage.0.": "",
}
"""Where detectors without a pyramid (C4) keep the last stage of their backbone, and its name there: Detectron2,
maskrcnn-benchmark, and this library, whose stage has the next number."""
UNUSED_HEAD = "network.AuxLogits."
"""Prefix of Inception's auxiliary classifier, which is for training only and which timm leaves out."""


@dataclass(frozen=True)
class Native:
    """The tensors of a checkpoint under our names."""

    format: str
    """The format of the checkpoint."""
    tensors: dict[str, Tensor]
    """The tensors by our names."""
    dropped: tuple[str, ...]
    """Names of the checkpoint's tensors that no network uses, or that lie around the backbone."""


def format_named(name: str) -> str:
    """The name of the format that a program uses; raise `InputError` for an unknown program."""
    check_choice("format", name, [*FORMATS, *SAME_NAMES])
    return "official" if name in SAME_NAMES else name


def to_native(tensors: Tensors, native_names: Collection[str] = ()) -> Native:
    """Recognise the format of tensors and rename them to our names, which are those of the official code and timm.

    Args:
        tensors: the tensors of a checkpoint.
        native_names: the names of the network they are for, which identify families with names of their own.

    Raises:
        InputError: the format is unknown, or a tensor does not belong to it.
    """
    tensors = _of_wrapped_network(tensors, native_names)
    tensors, outside = _backbone_alone(tensors, native_names)
    name = recognised(tensors)
    # The names of a family may by chance contain those by which a format is recognised.
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
        raise InputError(f"Several of the checkpoint's tensors have the same name in {name}: save one network only.")
    unused = _unused_projections(renamed) + [key for key in renamed if key.startswith(UNUSED_HEAD)]
    used = {key: value for key, value in renamed.items() if key not in unused}
    return Native(name, used, (*unused, *outside))


def recognised(names: Collection[str]) -> str | None:
    """The format of tensors, by their names; None for an unknown one."""
    return next((name for name, known in FORMATS.items() if known.recognise(names)), None)


def from_native(tensors: Tensors, format_name: str) -> dict[str, Tensor]:
    """Rename tensors from our names to those of another format or program.

    Counters of batches are dropped where the program has none (PaddleClas). For "official", but not for programs that
    only share its names, a DLA gets the projections that the official code defines and never applies, as copies of the
    applied ones, so that the official code can load the file strictly.

    Raises:
        InputError: the format is unknown, or its program does not have this network.
    """
    known = FORMATS[format_named(format_name)]
    if format_name == "torchvision" and (is_res2net(tensors) or "conv1.0.weight" in tensors):
        raise InputError("torchvision has no Res2Net and no deep stem: choose timm, whose names are the same.")
    renamed = known.from_native(tensors)
    return _with_unused_projections(renamed) if format_name == "official" else renamed


def _of_wrapped_network(tensors: Tensors, native_names: Collection[str]) -> Tensors:
    """Add the prefix that timm's names have in a `TimmBackbone`, which holds the network as a submodule."""
    held = any(f"network.{name}" in native_names for name in tensors)
    return {f"network.{name}": tensor for name, tensor in tensors.items()} if held else tensors


def _backbone_alone(tensors: Tensors, native_names: Collection[str]) -> tuple[Tensors, list[str]]:
    """Take the backbone out of a detector or another network around it, and name the other tensors.

    MMPretrain's classifiers, which only have a linear layer behind their backbone, stay whole.
    """
    if any(name in native_names for name in tensors):
        return tensors, []
    for prefix in BACKBONE_PREFIXES:
        inner = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        outside = [name for name in tensors if not name.startswith(prefix)]
        if not inner:
            continue
        if stage := next((stage for stage in LAST_STAGES if any(name.startswith(stage) for name in outside)), None):
            last = LAST_STAGES[stage] or f"layer{sum(f'layer{i}.0.conv1.weight' in inner for i in range(1, 9)) + 1}."
            inner |= {last + name.removeprefix(stage): tensors[name] for name in outside if name.startswith(stage)}
            outside = [name for name in outside if not name.startswith(stage)]
        found = recognised(inner)
        classifier = all(name.startswith("head.fc.") for name in outside) and found in (None, "official")
        if (prefix == "backbone." and classifier) or any(name in inner for name in outside):
            continue
        if found not in (None, "mmpretrain") or any(name in native_names for name in inner):
            return inner, outside
    return tensors, []


def _unused_projections(names: Collection[str]) -> list[str]:
    """Find the projections of DLA that are never applied: official files contain them, timm and we leave them out.

    The first child of a tree uses the tree's projection only if it is a block, not a tree itself.
    """
    unused = []
    for name in names:
        projection = re.match(r"(level\d\.(?:tree\d\.)*)project\.", name)
        if projection and any(other.startswith(f"{projection[1]}tree1.tree1.") for other in names):
            unused.append(name)
    return unused


def _with_unused_projections(tensors: Tensors) -> dict[str, Tensor]:
    """Add the projections that `_unused_projections` finds in official files, as copies of the applied ones."""
    found = dict(tensors)
    for name, tensor in tensors.items():
        if used := re.fullmatch(r"(level\d\.)((?:tree1\.)+)(project\..+)", name):
            level, trees, rest = used.groups()
            found |= {f"{level}{'tree1.' * depth}{rest}": tensor for depth in range(trees.count("tree1."))}
    return found
