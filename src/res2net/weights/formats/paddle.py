"""The format of PaddleClas: a convolution and its normalisation are one module, and linear layers are transposed."""

from __future__ import annotations

import re

from torch import Tensor

from res2net.errors import InputError
from res2net.weights.formats.rename import BLOCK, FORMATS, Format, Pairs, Tensors, is_res2net, translate

_LETTERED = 6
"""Blocks of the third stage that are named by letters; in networks with more, they have numbers."""
_STATISTICS = {"weight": "weight", "bias": "bias", "running_mean": "_mean", "running_var": "_variance"}


def _pairs(*, deep: bool) -> Pairs:
    """Templates of our names and of theirs, for a deep stem (v1b / d) or a plain one."""
    block, first = "bb_{stage-1}_{block}", int(deep)
    # Our convolution and normalisation, and their module of both.
    modules = [
        (f"{BLOCK}.conv1", f"{BLOCK}.bn1", f"{block}.conv0"),
        (f"{BLOCK}.convs.{{split}}", f"{BLOCK}.bns.{{split}}", f"{block}.res{{letters}}_branch2b_{{split+1}}"),
        (f"{BLOCK}.conv3", f"{BLOCK}.bn3", f"{block}.conv2"),
        (f"{BLOCK}.downsample.{first}", f"{BLOCK}.downsample.{first + 1}", f"{block}.short"),
    ]
    if deep:
        norms = ("conv1.1", "conv1.4", "bn1")
        modules += [(f"conv1.{3 * index}", norm, f"conv1_{index + 1}") for index, norm in enumerate(norms)]
    else:
        modules.append(("conv1", "bn1", "conv1"))
    return [
        *((f"fc.{name}", f"out.{name}") for name in ("weight", "bias")),
        *((f"{conv}.weight", f"{module}._conv.weight") for conv, _, module in modules),
        *(
            (f"{norm}.{ours}", f"{module}._batch_norm.{theirs}")
            for _, norm, module in modules
            for ours, theirs in _STATISTICS.items()
        ),
    ]


def _to_paddle(tensors: Tensors) -> dict[str, Tensor]:
    if not is_res2net(tensors):
        raise InputError("PaddleClas uses this format for Res2Nets only, and this is not one: choose another format.")
    blocks = [int(found[1]) for name in tensors if (found := re.match(r"layer3\.(\d+)\.", name))]
    numbered = max(blocks, default=0) >= _LETTERED

    def letters(found: re.Match[str]) -> str:
        stage, index = int(found["stage"]), int(found["block"])
        return f"{stage + 1}" + (f"b{index}" if numbered and stage == 3 and index else chr(ord("a") + index))

    # Paddle has no counters of batches.
    counted = {name: tensor for name, tensor in tensors.items() if not name.endswith(".num_batches_tracked")}
    refusal = "PaddleClas has only Res2Nets with a plain or a deep stem"
    pairs = _pairs(deep="conv1.0.weight" in tensors)
    return _transposed(translate(counted, pairs, refusal, computed={"letters": letters}), "out.weight")


def _from_paddle(tensors: Tensors) -> dict[str, Tensor]:
    pairs = _pairs(deep=any(name.startswith("conv1_1.") for name in tensors))
    refusal = "PaddleClas has conv1, blocks bb_0_0 and so on, and out"
    # Our names have no letters, so nothing computes them here.
    return _transposed(translate(tensors, pairs, refusal, back=True, computed={"letters": str}), "fc.weight")


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
