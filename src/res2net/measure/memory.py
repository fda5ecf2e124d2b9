"""The memory of a network: its weights, inference, and what training keeps for the backward pass."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, UntypedStorage, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from res2net.errors import InputError, check_range
from res2net.measure.counts import run_without_weights, without_weights

__all__ = ["Memory", "count_memory"]


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
    """Tracks the storages of all tensors that operations allocate, until they are freed.

    Args:
        excluded: tensors that exist already and do not count.
    """

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
