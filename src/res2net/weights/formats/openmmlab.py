"""The formats of MMPretrain and MMDetection: our names except for the stem, the classifier, and a prefix."""

from __future__ import annotations

from torch import Tensor

from res2net.errors import InputError
from res2net.weights.formats.rename import BLOCK, FORMATS, Format, Pairs, Tensors, is_res2net, translate

_PARTS = ("conv{index}", "bn{index}", "convs.{index}", "bns.{index}", "downsample.{index}")
_LAYERS = tuple(f"{BLOCK}.{part}.{{rest}}" for part in _PARTS)

# In MMPretrain, a deep stem is three modules of a convolution and a normalisation each.
_DEEP_STEM: Pairs = [
    ("conv1.0.{rest}", "backbone.stem.0.conv.{rest}"),
    ("conv1.1.{rest}", "backbone.stem.0.bn.{rest}"),
    ("conv1.3.{rest}", "backbone.stem.1.conv.{rest}"),
    ("conv1.4.{rest}", "backbone.stem.1.bn.{rest}"),
    ("conv1.6.{rest}", "backbone.stem.2.conv.{rest}"),
    ("bn1.{rest}", "backbone.stem.2.bn.{rest}"),
]
_MMPRETRAIN: Pairs = [
    *((name, f"backbone.{name}") for name in ("conv1.{rest}", "bn1.{rest}", *_LAYERS)),
    ("fc.{rest}", "head.fc.{rest}"),
]
# In MMDetection, a deep stem is one sequence of layers, including the last normalisation. `stem.7` follows from its
# source; no published file has confirmed it.
_MMDET: Pairs = [
    *((f"conv1.{index}.{{rest}}", f"stem.{index}.{{rest}}") for index in (0, 1, 3, 4, 6)),
    ("bn1.{rest}", "stem.7.{rest}"),
    *((name, name) for name in (*_LAYERS, "fc.{rest}")),
]


# Our first shortcut of a ResNet-d starts with a pooling of one position, which theirs lacks.
_FIRST_POOL: Pairs = [
    ("layer1.0.downsample.{index}.{rest}", "layer1.0.downsample.{index-1}.{rest}"),
    ("{rest}", "{rest}"),
]


def _with_first_pool(tensors: Tensors) -> dict[str, Tensor]:
    lacks = "layer1.0.downsample.0.weight" in tensors and "layer2.0.downsample.2.weight" in tensors
    return translate(tensors, _FIRST_POOL, back=True) if lacks else dict(tensors)


def _without_first_pool(tensors: Tensors) -> dict[str, Tensor]:
    has = not is_res2net(tensors) and "layer1.0.downsample.2.weight" in tensors
    return translate(tensors, _FIRST_POOL) if has else dict(tensors)


def _from_mmpretrain(tensors: Tensors) -> dict[str, Tensor]:
    # Files can hold other tensors, such as those of a decoder, which loading reports.
    pairs = [*_DEEP_STEM, *_MMPRETRAIN, ("{rest}", "backbone.{rest}"), ("{rest}", "{rest}")]
    return _with_first_pool(translate(tensors, pairs, back=True))


def _to_mmpretrain(tensors: Tensors) -> dict[str, Tensor]:
    # MMPretrain names other tensors differently, such as those of squeeze-and-excitation, or does not have them.
    pairs = [*_DEEP_STEM, *_MMPRETRAIN] if "conv1.0.weight" in tensors else _MMPRETRAIN
    return translate(_without_first_pool(tensors), pairs, "MMPretrain's ResNets have stem, layers and fc")


FORMATS.add(
    "mmpretrain",
    Format(
        "MMPretrain and MMClassification",
        lambda names: any(name.startswith("backbone.") for name in names),
        _from_mmpretrain,
        _to_mmpretrain,
    ),
)


def _from_mmdet(tensors: Tensors) -> dict[str, Tensor]:
    return _with_first_pool(translate(tensors, _MMDET, "MMDetection's networks have stem and layers", back=True))


def _to_mmdet(tensors: Tensors) -> dict[str, Tensor]:
    if "conv1.0.weight" not in tensors:
        raise InputError(
            "MMDetection's names differ from the official ones only for networks with a deep stem (v1b / d), which "
            "this network does not have: choose another format."
        )
    return _without_first_pool(translate(tensors, _MMDET, "MMDetection's networks have stem and layers"))


FORMATS.add("mmdet", Format("MMDetection", lambda names: "stem.0.weight" in names, _from_mmdet, _to_mmdet, "mmdet"))
