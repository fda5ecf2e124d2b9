"""The memory that a network takes: its weights, inference, and what training keeps; without computing anything."""

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
    """Bytes that a network takes, in the type of its own weights.

    Only tensors count. What libraries use inside an operation, and what an allocator keeps in reserve, comes on top.
    """

    weights: int
    """Parameters and buffers."""
    inference: int
    """The most that the input and the outputs of operations take at one moment of a forward pass without gradients."""
    training: int | None
    """What is there after a forward pass in training: the input, the output, and all that the backward pass needs of
    the operations between them. Gradients and the state of an optimizer come on top. None where the network cannot
    be trained with this input, as when a batch normalisation has one value for each channel."""


def count_memory(model: nn.Module, input_size: tuple[int, ...], batch_size: int = 1) -> Memory:
    """Count the memory that `model` takes with a batch of inputs of `input_size`, `(C, *size)`.

    It runs on the meta device, which knows shapes only, in a copy without weights: `model` is not touched. What
    counts is each storage that an operation makes, from then until nothing refers to it; views of one storage and
    operations in place cost nothing. Parameters and stages that are frozen stay so.

    Raises:
        InputError: the network does not take an input of that size, or the batch is empty.
    """
    check_range("Batch size", batch_size, 1)
    twin = without_weights(model)
    with torch.no_grad():
        inference, _ = _most_and_left(twin, input_size, batch_size)
    for copied, original in zip(twin.parameters(), model.parameters(), strict=True):
        copied.requires_grad_(original.requires_grad)
    twin.train()
    training: int | None
    try:
        with torch.enable_grad():
            _, training = _most_and_left(twin, input_size, batch_size)
    except InputError as error:
        # A normalisation refuses a batch of too few values; anything else is a mistake.
        if not isinstance(error.__cause__, ValueError):
            raise
        training = None
    weights = {id(tensor): tensor for tensor in (*twin.parameters(), *twin.buffers())}.values()
    return Memory(sum(_size(tensor.untyped_storage()) for tensor in weights), inference, training)


def _most_and_left(twin: nn.Module, input_size: tuple[int, ...], batch_size: int) -> tuple[int, int]:
    """The most bytes that were alive in a forward pass, and those that are afterwards, with its output."""
    with _LiveStorages((*twin.parameters(), *twin.buffers())) as storages:
        kept = run_without_weights(twin, input_size, batch_size)
        left = storages.now
        del kept
    return storages.most, left


class _LiveStorages(TorchDispatchMode):
    """Follows the storages of all tensors that operations make, until they are freed.

    Args:
        known: tensors that are there already and do not count.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.now = 0
        """Bytes of the storages that are alive."""
        self.most = 0
        """The most that this has been."""
        self._known = [tensor.untyped_storage() for tensor in known]
        self._alive = {id(storage) for storage in self._known}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Do the operation and look at its outputs."""
        outputs = func(*args, **(kwargs or {}))
        for output in tree_leaves(outputs):
            if isinstance(output, Tensor):
                self._follow(output.untyped_storage())
        return outputs

    def _follow(self, storage: UntypedStorage) -> None:
        # A storage is one object as long as it lives, also where only a graph of gradients holds it.
        if id(storage) in self._alive:
            return
        self._alive.add(id(storage))
        self.now += _size(storage)
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._free, id(storage), _size(storage)).atexit = False

    def _free(self, key: int, size: int) -> None:
        self._alive.remove(key)
        self.now -= size


def _size(storage: UntypedStorage) -> int:
    return storage.nbytes()
