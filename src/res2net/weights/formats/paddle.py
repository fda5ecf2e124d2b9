"""The format of PaddleClas: a convolution and its normalisation are one module, and linear layers are transposed."""

from __future__ import annotations

import re
from collections.abc import Callable

from torch import Tensor

from res2net.errors import InputError
from res2net.weights.formats.rename import FORMATS, Format, Rules, Tensors, is_res2net, rename_all

__all__: list[str] = []

_REFUSAL = "PaddleClas has only Res2Nets with a plain or a deep stem"
_LETTERED = 6
"""Blocks of the third stage that are named by letters; in networks with more, they have numbers."""

_STATISTICS = {"weight": "weight", "bias": "bias", "running_mean": "_mean", "running_var": "_variance"}
_OURS = {theirs: ours for ours, theirs in _STATISTICS.items()}
_NORM = rf"({'|'.join(_STATISTICS)})"
_THEIR_NORM = rf"_batch_norm\.({'|'.join(_OURS)})"
_DEEP = {"0": "1", "3": "2", "6": "3"}
"""Our indices of the convolutions of a deep stem, and the numbers in their names, conv1_1 to conv1_3."""


def _to_paddle(tensors: Tensors) -> dict[str, Tensor]:
    if not is_res2net(tensors):
        raise InputError("PaddleClas uses this format for Res2Nets only, and this is not one: choose another format.")
    blocks = [int(found[1]) for name in tensors if (found := re.match(r"layer3\.(\d+)\.", name))]
    numbered = max(blocks, default=0) >= _LETTERED

    def block(found: re.Match[str]) -> str:
        return f"bb_{int(found[1]) - 1}_{found[2]}"

    def branch(found: re.Match[str]) -> str:
        stage, index = int(found[1]), int(found[2])
        letter = f"b{index}" if numbered and stage == 3 and index else chr(ord("a") + index)
        return f"{block(found)}.res{stage + 1}{letter}_branch2b_{int(found[3]) + 1}"

    def conv(module: Callable[[re.Match[str]], str]) -> Callable[[re.Match[str]], str]:
        return lambda found: f"{module(found)}._conv.weight"

    def norm(module: Callable[[re.Match[str]], str]) -> Callable[[re.Match[str]], str]:
        return lambda found: f"{module(found)}._batch_norm.{_STATISTICS[found[found.lastindex or 0]]}"

    deep = "conv1.0.weight" in tensors
    own = r"layer(\d+)\.(\d+)\."
    rules: Rules = [
        (r"conv1\.weight", conv(lambda m: "conv1")),
        (r"conv1\.([036])\.weight", conv(lambda m: f"conv1_{_DEEP[m[1]]}")),
        (rf"conv1\.([14])\.{_NORM}", norm(lambda m: f"conv1_{_DEEP[str(int(m[1]) - 1)]}")),
        (rf"bn1\.{_NORM}", norm(lambda m: "conv1_3" if deep else "conv1")),
        (rf"{own}conv1\.weight", conv(lambda m: f"{block(m)}.conv0")),
        (rf"{own}bn1\.{_NORM}", norm(lambda m: f"{block(m)}.conv0")),
        (rf"{own}convs\.(\d+)\.weight", conv(branch)),
        (rf"{own}bns\.(\d+)\.{_NORM}", norm(branch)),
        (rf"{own}conv3\.weight", conv(lambda m: f"{block(m)}.conv2")),
        (rf"{own}bn3\.{_NORM}", norm(lambda m: f"{block(m)}.conv2")),
        (rf"{own}downsample\.{int(deep)}\.weight", conv(lambda m: f"{block(m)}.short")),
        (rf"{own}downsample\.{int(deep) + 1}\.{_NORM}", norm(lambda m: f"{block(m)}.short")),
        (r"fc\.(weight|bias)", r"out.\1"),
    ]
    # Paddle has no counters of batches.
    counted = {name: tensor for name, tensor in tensors.items() if not name.endswith(".num_batches_tracked")}
    return _transposed(rename_all(counted, rules, _REFUSAL), "out.weight")


def _from_paddle(tensors: Tensors) -> dict[str, Tensor]:
    def block(found: re.Match[str]) -> str:
        return f"layer{int(found[1]) + 1}.{found[2]}"

    def statistic(found: re.Match[str]) -> str:
        return _OURS[found[found.lastindex or 0]]

    deep = any(name.startswith("conv1_1.") for name in tensors)
    own = r"bb_(\d+)_(\d+)\."
    branch = rf"{own}res\w+_branch2b_(\d+)\."
    rules: Rules = [
        (r"conv1\._conv\.weight", "conv1.weight"),
        (r"conv1_([123])\._conv\.weight", lambda m: f"conv1.{3 * (int(m[1]) - 1)}.weight"),
        (rf"conv1_([12])\.{_THEIR_NORM}", lambda m: f"conv1.{3 * (int(m[1]) - 1) + 1}.{statistic(m)}"),
        (rf"conv1(?:_3)?\.{_THEIR_NORM}", lambda m: f"bn1.{statistic(m)}"),
        (rf"{own}conv0\._conv\.weight", lambda m: f"{block(m)}.conv1.weight"),
        (rf"{own}conv0\.{_THEIR_NORM}", lambda m: f"{block(m)}.bn1.{statistic(m)}"),
        (rf"{branch}_conv\.weight", lambda m: f"{block(m)}.convs.{int(m[3]) - 1}.weight"),
        (rf"{branch}{_THEIR_NORM}", lambda m: f"{block(m)}.bns.{int(m[3]) - 1}.{statistic(m)}"),
        (rf"{own}conv2\._conv\.weight", lambda m: f"{block(m)}.conv3.weight"),
        (rf"{own}conv2\.{_THEIR_NORM}", lambda m: f"{block(m)}.bn3.{statistic(m)}"),
        (rf"{own}short\._conv\.weight", lambda m: f"{block(m)}.downsample.{int(deep)}.weight"),
        (rf"{own}short\.{_THEIR_NORM}", lambda m: f"{block(m)}.downsample.{int(deep) + 1}.{statistic(m)}"),
        (r"out\.(weight|bias)", r"fc.\1"),
    ]
    return _transposed(
        rename_all(tensors, rules, "PaddleClas has conv1, blocks bb_0_0 and so on, and out"), "fc.weight"
    )


def _transposed(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    if name in tensors and tensors[name].ndim == 2:  # loading reports other shapes
        tensors[name] = tensors[name].t().contiguous()
    return tensors


FORMATS.add(
    "paddle",
    Format(
        "PaddleClas",
        lambda names: any(name.startswith("bb_0_0.") for name in names),
        _from_paddle,
        _to_paddle,
        "paddle",
    ),
)
