"""The formats of MMPretrain and MMDetection: our names except for the stem, the classifier, and a prefix."""

from __future__ import annotations

import re

from torch import Tensor

from res2net.errors import InputError
from res2net.weights.formats.rename import FORMATS, Format, Tensors, is_res2net, rename, rename_all

__all__: list[str] = []

_LAYERS = r"layer\d+\.\d+\.(?:conv\d|bn\d|convs\.\d+|bns\.\d+|downsample\.\d)\..+|fc\..+"
_OF_RESNET = rf"(?:conv1|bn1)\..+|{_LAYERS}"

# In MMPretrain, a deep stem is three modules of a convolution and a normalisation each.
_STEM = {
    "conv1.0.": "stem.0.conv.",
    "conv1.1.": "stem.0.bn.",
    "conv1.3.": "stem.1.conv.",
    "conv1.4.": "stem.1.bn.",
    "conv1.6.": "stem.2.conv.",
}


def _with_first_pool(tensors: Tensors) -> dict[str, Tensor]:
    """Renumber the first shortcut of ResNet-d, which here starts with a pooling of one position that theirs lacks."""
    if "layer1.0.downsample.0.weight" in tensors and "layer2.0.downsample.2.weight" in tensors:
        return rename(tensors, [(rf"layer1\.0\.downsample\.{i}\.", f"layer1.0.downsample.{i + 1}.") for i in (0, 1)])
    return dict(tensors)


def _without_first_pool(tensors: Tensors) -> dict[str, Tensor]:
    """Invert `_with_first_pool`."""
    if not is_res2net(tensors) and "layer1.0.downsample.2.weight" in tensors:
        return rename(tensors, [(rf"layer1\.0\.downsample\.{i}\.", f"layer1.0.downsample.{i - 1}.") for i in (1, 2)])
    return dict(tensors)


def _from_mmpretrain(tensors: Tensors) -> dict[str, Tensor]:
    rules = [(re.escape(f"backbone.{theirs}"), ours) for ours, theirs in _STEM.items()]
    rules += [(r"backbone\.stem\.2\.bn\.", "bn1."), (r"backbone\.", ""), (r"head\.fc\.", "fc.")]
    return _with_first_pool(rename(tensors, rules))


def _to_mmpretrain(tensors: Tensors) -> dict[str, Tensor]:
    # MMPretrain names other tensors differently, such as those of squeeze-and-excitation, or does not have them.
    renamed = rename_all(tensors, [(rf"({_OF_RESNET})", r"\1")], "MMPretrain's ResNets have stem, layers and fc")
    renamed = _without_first_pool(renamed)
    rules = [(r"fc\.", "head.fc.")]
    if "conv1.0.weight" in tensors:
        rules += [(re.escape(ours), f"backbone.{theirs}") for ours, theirs in _STEM.items()]
        rules += [(r"bn1\.", "backbone.stem.2.bn.")]
    return rename(renamed, [*rules, ("", "backbone.")])


FORMATS.add(
    "mmpretrain",
    Format(
        "MMPretrain and MMClassification",
        lambda names: any(name.startswith("backbone.") for name in names),
        _from_mmpretrain,
        _to_mmpretrain,
    ),
)

# In MMDetection, a deep stem is one sequence of layers, including the last normalisation. `stem.7` follows from its
# source; no published file has confirmed it.
_SAME = (rf"({_LAYERS})", r"\1")


def _from_mmdet(tensors: Tensors) -> dict[str, Tensor]:
    rules = [(r"stem\.([01346])\.(.+)", r"conv1.\1.\2"), (r"stem\.7\.(.+)", r"bn1.\1"), _SAME]
    return _with_first_pool(rename_all(tensors, rules, "MMDetection's networks have stem and layers"))


def _to_mmdet(tensors: Tensors) -> dict[str, Tensor]:
    if "conv1.0.weight" not in tensors:
        raise InputError(
            "MMDetection's names differ from the official ones only for networks with a deep stem (v1b / d), which "
            "this network does not have: choose another format."
        )
    rules = [(r"conv1\.([01346])\.(.+)", r"stem.\1.\2"), (r"bn1\.(.+)", r"stem.7.\1"), _SAME]
    return _without_first_pool(rename_all(tensors, rules, "MMDetection's networks have stem and layers"))


FORMATS.add("mmdet", Format("MMDetection", lambda names: "stem.0.weight" in names, _from_mmdet, _to_mmdet, "mmdet"))
