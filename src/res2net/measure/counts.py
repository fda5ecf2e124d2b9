"""Parameters, multiply-accumulates and activations of any network, without computing anything."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils.flop_counter import FlopCounterMode

from res2net.errors import InputError

__all__ = ["Counts", "count", "human"]


@dataclass(frozen=True)
class Counts:
    """What one sample costs."""

    parameters: int
    """Numbers that are learned."""
    macs: int
    """Multiply-accumulates of convolutions and matrix products; two operations each."""
    activations: int
    """Elements of the outputs of convolutions and linear layers (Radosavovic et al., CVPR 2020)."""


def count(model: nn.Module, input_size: tuple[int, ...]) -> Counts:
    """Count exactly what `model` does in evaluation with one sample of `input_size`, `(C, *size)`.

    It runs on the meta device, which knows shapes only, in a copy without weights: `model` is not touched.

    Raises:
        InputError: the network does not take an input of that size.
    """
    twin = without_weights(model)
    activations = 0

    def add(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal activations
        activations += output.numel()

    for module in twin.modules():
        if isinstance(module, _ConvNd | nn.Linear):
            module.register_forward_hook(add)
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        run_without_weights(twin, input_size)
    return Counts(
        parameters=sum(tensor.numel() for tensor in model.parameters()),
        macs=flops.get_total_flops() // 2,
        activations=activations,
    )


def without_weights(model: nn.Module) -> nn.Module:
    """A copy in evaluation whose parameters and buffers are on the meta device, and so take no memory."""
    # Told beforehand what their copies are, `deepcopy` does not copy the tensors.
    copies: dict[int, object] = {id(tensor): tensor.to("meta") for tensor in model.buffers()}
    for tensor in model.parameters():
        copies[id(tensor)] = nn.Parameter(tensor.detach().to("meta"), requires_grad=False)
    return copy.deepcopy(model, copies).eval()


def run_without_weights(twin: nn.Module, input_size: tuple[int, ...], batch_size: int = 1) -> tuple[Tensor, Any]:
    """An input `(batch_size, *input_size)` on the meta device, and what a network from `without_weights` makes of it.

    Raises:
        InputError: the network does not take an input of that size.
    """
    if len(input_size) < 2 or any(not isinstance(size, int) or size < 1 for size in input_size):
        raise InputError(f"Input size {input_size!r} does not fit: give (channels, *size), all positive integers.")
    dtype = next((tensor.dtype for tensor in twin.parameters() if tensor.is_floating_point()), None)
    try:
        # The device is also for tensors that the network makes itself.
        with torch.device("meta"):
            x = torch.empty(batch_size, *input_size, dtype=dtype)
            return x, twin(x)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"The network does not take an input of size {input_size}: {reason}") from error


def human(number: int) -> str:
    """A count in three digits: `950`, `25.7 M`, `4.26 G`."""
    if number < 1000:
        return str(number)
    rounded = float(f"{number:.3g}")
    thousands = int(math.log10(rounded)) // 3
    return f"{rounded / 1000**thousands:#.3g}".rstrip(".") + f" {' kMGTPE'[thousands]}"
