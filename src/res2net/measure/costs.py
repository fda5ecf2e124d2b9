"""What a network costs: parameters, multiply-accumulates, activations and memory; and the width that meets a budget."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, UntypedStorage, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from res2net.errors import InputError, check_range
from res2net.nn.layers import check_positive

Model = TypeVar("Model", bound=nn.Module)


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
    copies: dict[int, object] = {
        id(one): one.detach().to("meta") for one in (*model.buffers(), *computed_tensors(model))
    }
    for tensor in model.parameters():
        copies[id(tensor)] = nn.Parameter(tensor.detach().to("meta"), requires_grad=False)
    return copy.deepcopy(model, copies).eval()


def copied(model: Model) -> Model:
    """Copy a network, also one with `torch.nn.utils.weight_norm`, whose computed weights `deepcopy` does not take."""
    return copy.deepcopy(model, {id(tensor): tensor.detach().clone() for tensor in computed_tensors(model)})


def computed_tensors(model: nn.Module) -> list[Tensor]:
    """The tensors that layers keep beside parameters and buffers, such as weights computed from others."""
    return [value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor)]


def run_without_weights(twin: nn.Module, input_size: tuple[int, ...], batch_size: int = 1) -> tuple[Tensor, Any]:
    """Run a network from `without_weights` on the meta device; returns the input, `(N, *input_size)`, and output."""
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


@dataclass(frozen=True)
class Memory:
    """Bytes of the tensors of a network, in the data type of its weights.

    Workspaces that libraries use inside an operation and the reserve of an allocator come on top.
    """

    weights: int
    """Parameters and buffers."""
    inference: int
    """Peak of the input and the outputs of operations in a forward pass without gradients."""
    training: int | None
    """What is in memory after a forward pass in training: the input, the output, and everything that the backward pass
    needs. Gradients and the state of an optimizer come on top. None where the network cannot be trained with this
    input, as when a batch normalisation has a single value per channel."""


def count_memory(model: nn.Module, input_size: tuple[int, ...], batch_size: int = 1) -> Memory:
    """Count the memory of a network with a batch of inputs of `input_size`, `(C, *size)`.

    A copy without weights runs on the meta device, which computes shapes only; `model` is not changed. Each storage
    counts from the operation that allocates it until nothing refers to it; views and in-place operations are free.
    Frozen parameters and stages stay frozen.

    Raises:
        InputError: the network does not accept an input of that size, or the batch is empty.
    """
    check_range("Batch size", batch_size, 1)
    twin = without_weights(model)
    with torch.no_grad():
        inference, _ = _peak_and_kept(twin, input_size, batch_size)
    for copied, original in zip(twin.parameters(), model.parameters(), strict=True):
        copied.requires_grad_(original.requires_grad)
    twin.train()
    training: int | None
    try:
        with torch.enable_grad():
            _, training = _peak_and_kept(twin, input_size, batch_size)
    except InputError as error:
        # A normalisation rejects a batch of too few values; anything else is an error.
        if not isinstance(error.__cause__, ValueError):
            raise
        training = None
    weights = {id(tensor): tensor for tensor in (*twin.parameters(), *twin.buffers())}.values()
    return Memory(sum(tensor.untyped_storage().nbytes() for tensor in weights), inference, training)


def _peak_and_kept(twin: nn.Module, input_size: tuple[int, ...], batch_size: int) -> tuple[int, int]:
    """Bytes at the peak of a forward pass, and those that are alive after it, with its output."""
    with _LiveStorages((*twin.parameters(), *twin.buffers())) as storages:
        kept = run_without_weights(twin, input_size, batch_size)
        after = storages.now
        del kept
    return storages.peak, after


class _LiveStorages(TorchDispatchMode):
    """Tracks the storages of all tensors that operations allocate until they are freed, but for `excluded` tensors."""

    def __init__(self, excluded: Iterable[Tensor]) -> None:
        super().__init__()
        self.now = 0
        """Bytes of the storages that are alive."""
        self.peak = 0
        """The largest value of `now`."""
        self._excluded = [tensor.untyped_storage() for tensor in excluded]
        self._alive = {id(storage) for storage in self._excluded}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation and track its outputs."""
        outputs = func(*args, **(kwargs or {}))
        for output in tree_leaves(outputs):
            if isinstance(output, Tensor):
                self._track(output.untyped_storage())
        return outputs

    def _track(self, storage: UntypedStorage) -> None:
        # A storage is the same object while it lives, also where only the autograd graph refers to it.
        if id(storage) in self._alive:
            return
        self._alive.add(id(storage))
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, id(storage), storage.nbytes()).atexit = False

    def _free(self, key: int, size: int) -> None:
        self._alive.remove(key)
        self.now -= size
