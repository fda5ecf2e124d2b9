"""The formats of the authors' forks of Detectron2 and maskrcnn-benchmark."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from res2net.errors import InputError
from res2net.weights.formats.rename import BLOCK, FORMATS, Format, Pairs, Tensors, is_res2net, translate

_THEIR_BLOCK = "res{stage+1}.{block}"
_DETECTRON2: Pairs = [
    ("conv1.{rest}", "stem.conv1.{rest}"),
    ("bn1.{rest}", "stem.bn1.{rest}"),
    *((f"{BLOCK}.conv{index}.weight", f"{_THEIR_BLOCK}.conv{index}.weight") for index in (1, 3)),
    *((f"{BLOCK}.bn{index}.{{rest}}", f"{_THEIR_BLOCK}.conv{index}.norm.{{rest}}") for index in (1, 3)),
    *((f"{BLOCK}.{part}.{{rest}}", f"{_THEIR_BLOCK}.{part}.{{rest}}") for part in ("convs", "bns")),
    (f"{BLOCK}.downsample.1.weight", f"{_THEIR_BLOCK}.shortcut.1.weight"),
    (f"{BLOCK}.downsample.2.{{rest}}", f"{_THEIR_BLOCK}.shortcut.1.norm.{{rest}}"),
    ("fc.{rest}", "linear.{rest}"),
    # The fork's converter moves the classifier of a checkpoint into the stem, where its networks ignore it.
    ("fc.{rest}", "stem.fc.{rest}"),
]
_PARTS = ("conv1", "conv3", "bn1", "bn3", "convs.{split}", "bns.{split}", "downsample.0", "downsample.1")
_MASKRCNN: Pairs = [
    ("conv1.{rest}", "stem.conv1.{rest}"),
    ("bn1.{rest}", "stem.bn1.{rest}"),
    *((f"{BLOCK}.{part}.{{rest}}", f"{BLOCK}.{part}.{{rest}}") for part in _PARTS),
    ("fc.{rest}", "fc.{rest}"),
]


def _to_detectron2(tensors: Tensors) -> dict[str, Tensor]:
    if not is_res2net(tensors) or "conv1.0.weight" not in tensors:
        raise InputError(
            "The fork of Detectron2 has only Res2Nets with a deep stem and pooled shortcuts (v1b / d), which this "
            "network is not: choose another format."
        )
    return translate(tensors, _DETECTRON2, "The fork of Detectron2 has only Res2Nets v1b / d")


def _to_maskrcnn(tensors: Tensors) -> dict[str, Tensor]:
    if not is_res2net(tensors) or "conv1.weight" not in tensors:
        raise InputError(
            "The fork of maskrcnn-benchmark has only Res2Nets with a stem of one convolution, which this network is "
            "not: choose another format."
        )
    return translate(tensors, _MASKRCNN, "The fork of maskrcnn-benchmark has stem and layers")


FORMATS.add(
    "detectron2",
    Format(
        "the authors' fork of Detectron2",
        lambda names: any(name.startswith("res2.0.") for name in names),
        partial(
            translate, pairs=_DETECTRON2, refusal="The fork of Detectron2 has stem, res2 to res5 and linear", back=True
        ),
        _to_detectron2,
        "detectron2",
    ),
)
FORMATS.add(
    "maskrcnn",
    Format(
        "the authors' fork of maskrcnn-benchmark",
        lambda names: "stem.conv1.weight" in names and any(name.startswith("layer1.0.") for name in names),
        partial(translate, pairs=_MASKRCNN, refusal="The fork of maskrcnn-benchmark has stem and layers", back=True),
        _to_maskrcnn,
        "maskrcnn",
    ),
)
