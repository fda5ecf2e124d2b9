"""MMPretrain and MMDetection: our names but for the stem, the classifier, and a prefix."""

from __future__ import annotations

import re

from torch import Tensor

from res2net.errors import InputError
from res2net.weights.formats.rename import Format, Tensors, is_res2net, rename, rename_all

__all__ = ["MMDET", "MMPRETRAIN"]

_LAYERS = r"layer\d+\.\d+\.(?:conv\d|bn\d|convs\.\d+|bns\.\d+|downsample\.\d)\..+|fc\..+"
_OF_RESNET = rf"(?:conv1|bn1)\..+|{_LAYERS}"

# MMPretrain: a deep stem is three modules of convolution and normalisation.
_STEM = {
    "conv1.0.": "stem.0.conv.",
    "conv1.1.": "stem.0.bn.",
    "conv1.3.": "stem.1.conv.",
    "conv1.4.": "stem.1.bn.",
    "conv1.6.": "stem.2.conv.",
}


def _with_first_pool(tensors: Tensors) -> dict[str, Tensor]:
    """Their ResNet-d has no pooling, not even of one position, in the first shortcut, where we count one."""
    if "layer1.0.downsample.0.weight" in tensors and "layer2.0.downsample.2.weight" in tensors:
        return rename(tensors, [(rf"layer1\.0\.downsample\.{i}\.", f"layer1.0.downsample.{i + 1}.") for i in (0, 1)])
    return dict(tensors)


def _without_first_pool(tensors: Tensors) -> dict[str, Tensor]:
    if not is_res2net(tensors) and "layer1.0.downsample.2.weight" in tensors:
        return rename(tensors, [(rf"layer1\.0\.downsample\.{i}\.", f"layer1.0.downsample.{i - 1}.") for i in (1, 2)])
    return dict(tensors)


def _from_mmpretrain(tensors: Tensors) -> dict[str, Tensor]:
    rules = [(re.escape(f"backbone.{theirs}"), ours) for ours, theirs in _STEM.items()]
    rules += [(r"backbone\.stem\.2\.bn\.", "bn1."), (r"backbone\.", ""), (r"head\.fc\.", "fc.")]
    return _with_first_pool(rename(tensors, rules))


def _to_mmpretrain(tensors: Tensors) -> dict[str, Tensor]:
    # Others, such as those of a squeeze-and-excitation, it names in another way, or has not.
    renamed = rename_all(tensors, [(rf"({_OF_RESNET})", r"\1")], "MMPretrain's ResNets have stem, layers and fc")
    renamed = _without_first_pool(renamed)
    rules = [(r"fc\.", "head.fc.")]
    if "conv1.0.weight" in tensors:
        rules += [(re.escape(ours), f"backbone.{theirs}") for ours, theirs in _STEM.items()]
        rules += [(r"bn1\.", "backbone.stem.2.bn.")]
    return rename(renamed, [*rules, ("", "backbone.")])


MMPRETRAIN = Format(
    "MMPretrain and MMClassification",
    lambda names: any(name.startswith("backbone.") for name in names),
    _from_mmpretrain,
    _to_mmpretrain,
)

# MMDetection: a deep stem is one sequence of layers, its last normalisation included. `stem.7` is what its source
# makes; no published file has confirmed it.
_SAME = (rf"({_LAYERS})", r"\1")


def _from_mmdet(tensors: Tensors) -> dict[str, Tensor]:
    rules = [(r"stem\.([01346])\.(.+)", r"conv1.\1.\2"), (r"stem\.7\.(.+)", r"bn1.\1"), _SAME]
    return _with_first_pool(rename_all(tensors, rules, "MMDetection's networks have stem and layers"))


def _to_mmdet(tensors: Tensors) -> dict[str, Tensor]:
    if "conv1.0.weight" not in tensors:
        raise InputError(
            "MMDetection names other tensors than the official code only where the stem is deep (v1b / d), which this "
            "network's is not: choose another format."
        )
    rules = [(r"conv1\.([01346])\.(.+)", r"stem.\1.\2"), (r"bn1\.(.+)", r"stem.7.\1"), _SAME]
    return _without_first_pool(rename_all(tensors, rules, "MMDetection's networks have stem and layers"))


MMDET = Format("MMDetection", lambda names: "stem.0.weight" in names, _from_mmdet, _to_mmdet, "mmdet")
