"""Parameters, multiply-accumulates and activations of any network, and the width that meets a budget of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils.flop_counter import FlopCounterMode

from res2net.errors import InputError
from res2net.nn.layers import check_positive

__all__ = ["Counts", "count", "format_count", "nearest_width"]


@dataclass(frozen=True)
class Counts:
    """The cost of one sample."""

    parameters: int
    """Number of learnable parameters."""
    macs: int
    """Multiply-accumulates of convolutions and matrix products, each of which is two operations."""
    activations: int
    """Number of elements of the outputs of convolutions and linear layers (Radosavovic et al., CVPR 2020)."""


def count(model: nn.Module, input_size: tuple[int, ...]) -> Counts:
    """Count exactly what a network costs in evaluation with one sample of `input_size`, `(C, *size)`.

    A copy without weights runs on the meta device, which computes shapes only; `model` is not changed.

    Raises:
        InputError: the network does not accept an input of that size.
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
    """Copy a network in evaluation mode, with parameters and buffers on the meta device, where they take no memory."""
    # With these entries in its memo, `deepcopy` does not copy the tensors.
    copies: dict[int, object] = {id(tensor): tensor.to("meta") for tensor in model.buffers()}
    for tensor in model.parameters():
        copies[id(tensor)] = nn.Parameter(tensor.detach().to("meta"), requires_grad=False)
    return copy.deepcopy(model, copies).eval()


def run_without_weights(twin: nn.Module, input_size: tuple[int, ...], batch_size: int = 1) -> tuple[Tensor, Any]:
    """Run a network from `without_weights` on the meta device.

    Returns:
        The input `(batch_size, *input_size)`, and the output.

    Raises:
        InputError: the network does not accept an input of that size.
    """
    if len(input_size) < 2 or any(not isinstance(size, int) or size < 1 for size in input_size):
        raise InputError(f"Input size {input_size!r} does not fit: give (channels, *size), all positive integers.")
    dtype = next((tensor.dtype for tensor in twin.parameters() if tensor.is_floating_point()), None)
    try:
        # The network may also create tensors itself.
        with torch.device("meta"):
            x = torch.empty(batch_size, *input_size, dtype=dtype)
            return x, twin(x)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"The network does not take an input of size {input_size}: {reason}") from error


def format_count(number: int) -> str:
    """Format a count with three digits: `950`, `25.7 M`, `4.26 G`."""
    if number < 1000:
        return str(number)
    rounded = float(f"{number:.3g}")
    thousands = int(math.log10(rounded)) // 3
    return f"{rounded / 1000**thousands:#.3g}".rstrip(".") + f" {' kMGTPE'[thousands]}"


def nearest_width(cost: Callable[[int], float], budget: float, most: int = 4096) -> int:
    """Find the integer from 1 to `most` whose cost is nearest `budget`; of two equally near ones, the smaller.

    Args:
        cost: the cost of a width, which must not fall as the width grows. It is called about `log2(most)` times.
        budget: the wanted cost, above 0.
        most: the largest width to try.

    Raises:
        InputError: the budget is not above 0, or `most` is not a positive integer.
    """
    check_positive("Largest width", most)
    if not budget > 0:
        raise InputError(f"Budget {budget!r} does not fit: give a number above 0.")
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        if cost(middle) < budget:
            low = middle
        else:
            high = middle
    return low if abs(cost(low) - budget) <= abs(cost(high) - budget) else high
