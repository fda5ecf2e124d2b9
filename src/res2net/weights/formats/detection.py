"""The formats of the authors' forks of Detectron2 and maskrcnn-benchmark."""

from __future__ import annotations

from torch import Tensor

from res2net.errors import InputError
from res2net.weights.formats.rename import FORMATS, Format, Rules, Tensors, is_res2net, rename_all

__all__: list[str] = []

_BLOCK = r"(\d+)\.(\d+)\."  # stage and block

_FROM_DETECTRON2: Rules = [
    (r"stem\.(conv1|bn1)\.(.+)", r"\1.\2"),
    (rf"res{_BLOCK}(conv[13])\.weight", lambda m: f"layer{int(m[1]) - 1}.{m[2]}.{m[3]}.weight"),
    (rf"res{_BLOCK}conv([13])\.norm\.(.+)", lambda m: f"layer{int(m[1]) - 1}.{m[2]}.bn{m[3]}.{m[4]}"),
    (rf"res{_BLOCK}(convs|bns)\.(.+)", lambda m: f"layer{int(m[1]) - 1}.{m[2]}.{m[3]}.{m[4]}"),
    (rf"res{_BLOCK}shortcut\.1\.weight", lambda m: f"layer{int(m[1]) - 1}.{m[2]}.downsample.1.weight"),
    (rf"res{_BLOCK}shortcut\.1\.norm\.(.+)", lambda m: f"layer{int(m[1]) - 1}.{m[2]}.downsample.2.{m[3]}"),
    # The fork's converter moves the classifier of a checkpoint into the stem, where its networks ignore it.
    (r"(?:linear|stem\.fc)\.(.+)", r"fc.\1"),
]
_TO_DETECTRON2: Rules = [
    (r"(conv1|bn1)\.(.+)", r"stem.\1.\2"),
    (rf"layer{_BLOCK}(conv[13])\.weight", lambda m: f"res{int(m[1]) + 1}.{m[2]}.{m[3]}.weight"),
    (rf"layer{_BLOCK}bn([13])\.(.+)", lambda m: f"res{int(m[1]) + 1}.{m[2]}.conv{m[3]}.norm.{m[4]}"),
    (rf"layer{_BLOCK}(convs|bns)\.(.+)", lambda m: f"res{int(m[1]) + 1}.{m[2]}.{m[3]}.{m[4]}"),
    (rf"layer{_BLOCK}downsample\.1\.weight", lambda m: f"res{int(m[1]) + 1}.{m[2]}.shortcut.1.weight"),
    (rf"layer{_BLOCK}downsample\.2\.(.+)", lambda m: f"res{int(m[1]) + 1}.{m[2]}.shortcut.1.norm.{m[3]}"),
    (r"fc\.(.+)", r"linear.\1"),
]


def _from_detectron2(tensors: Tensors) -> dict[str, Tensor]:
    return rename_all(tensors, _FROM_DETECTRON2, "The fork of Detectron2 has stem, res2 to res5 and linear")


def _to_detectron2(tensors: Tensors) -> dict[str, Tensor]:
    if not is_res2net(tensors) or "conv1.0.weight" not in tensors:
        raise InputError(
            "The fork of Detectron2 has only Res2Nets with a deep stem and pooled shortcuts (v1b / d), which this "
            "network is not: choose another format."
        )
    return rename_all(tensors, _TO_DETECTRON2, "The fork of Detectron2 has only Res2Nets v1b / d")


FORMATS.add(
    "detectron2",
    Format(
        "the authors' fork of Detectron2",
        lambda names: any(name.startswith("res2.0.") for name in names),
        _from_detectron2,
        _to_detectron2,
        "detectron2",
    ),
)

_SAME = (r"(layer\d+\.\d+\.(?:conv[13]|bn[13]|convs\.\d+|bns\.\d+|downsample\.[01])\..+|fc\..+)", r"\1")


def _from_maskrcnn(tensors: Tensors) -> dict[str, Tensor]:
    rules: Rules = [(r"stem\.(conv1|bn1)\.(.+)", r"\1.\2"), _SAME]
    return rename_all(tensors, rules, "The fork of maskrcnn-benchmark has stem and layers")


def _to_maskrcnn(tensors: Tensors) -> dict[str, Tensor]:
    if not is_res2net(tensors) or "conv1.weight" not in tensors:
        raise InputError(
            "The fork of maskrcnn-benchmark has only Res2Nets with a stem of one convolution, which this network is "
            "not: choose another format."
        )
    rules: Rules = [(r"(conv1|bn1)\.(.+)", r"stem.\1.\2"), _SAME]
    return rename_all(tensors, rules, "The fork of maskrcnn-benchmark has stem and layers")


FORMATS.add(
    "maskrcnn",
    Format(
        "the authors' fork of maskrcnn-benchmark",
        lambda names: "stem.conv1.weight" in names and any(name.startswith("layer1.0.") for name in names),
        _from_maskrcnn,
        _to_maskrcnn,
        "maskrcnn",
    ),
)
