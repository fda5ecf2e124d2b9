"""Loaders whose order and random augmentation depend only on the seed, the epoch and the index of a sample.

So the batches are the same for any number of worker processes, and an interrupted run can be resumed exactly.
"""

from __future__ import annotations

import atexit
import signal
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from res2net.errors import check_range
from res2net.images.samples import Sample, Skipped, collate

Key = tuple[int, int]
"""The index of a sample, and the seed of its augmentation."""

LEFT_TO_THE_PARENT = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)
)
"""Signals that are sent to all processes of a terminal or a job, and that workers ignore."""


class TrainBatches(Sampler[list[Key]]):
    """Samples the batches of a shuffled epoch of `length` samples; `seed` decides their order and their own seeds.

    The last incomplete batch is dropped, unless it is the only one.
    """

    def __init__(self, length: int, batch_size: int, *, seed: int = 0) -> None:
        check_range("batch size", batch_size, 1)
        self.length, self.batch_size, self.seed = length, min(batch_size, length), seed
        self.epoch = 0
        self._start = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def start_at(self, epoch: int, batch: int) -> None:
        """Set the epoch of the next iteration, and the batch at which that epoch starts."""
        self.epoch, self._start = epoch, (epoch, batch)

    def __len__(self) -> int:
        return self.length // self.batch_size

    def __iter__(self) -> Iterator[list[Key]]:
        random = torch.Generator().manual_seed(_mixed(self.seed, self.epoch))
        order = torch.randperm(self.length, generator=random).tolist()
        seeds = torch.randint(2**62, (self.length,), generator=random).tolist()
        first = self._start[1] if self._start[0] == self.epoch else 0
        for batch in range(first, len(self)):
            positions = range(batch * self.batch_size, (batch + 1) * self.batch_size)
            yield [(order[position], seeds[position]) for position in positions]


class SeededSamples(Dataset[Sample | Skipped]):
    """Samples by index and seed; torch's generator is seeded while the sample is prepared, and restored after."""

    def __init__(self, dataset: Dataset[Sample | Skipped]) -> None:
        self.dataset = dataset

    def __getitem__(self, key: Key) -> Sample | Skipped:
        index, seed = key
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # CPU only: the state of accelerators would not be restored
            return self.dataset[index]


class WorkerLoader(DataLoader[Any]):
    """A loader whose workers ignore Ctrl-C and SIGTERM, which the main process handles, and exit with it."""

    def __iter__(self) -> Any:
        """Iterate as any loader; signals are blocked until the workers have set up to ignore them."""
        if self.num_workers and self._iterator is None:
            # At exit, Python would send SIGTERM to the workers, which ignore it, and wait forever.
            atexit.register(_close, weakref.ref(self))
            if hasattr(signal, "pthread_sigmask"):
                before = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_THE_PARENT)
                try:
                    return super().__iter__()
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return super().__iter__()

    def close(self) -> None:
        """Stop the workers; the next iteration starts new ones."""
        iterator, self._iterator = self._iterator, None
        if isinstance(iterator, _MultiProcessingDataLoaderIter):
            iterator._shutdown_workers()
            for worker in iterator._workers:
                worker.kill()  # in case a worker hangs while reading a file


class TrainLoader(WorkerLoader):
    """A loader that can resume within an epoch, at the batch that `batches.start_at` sets."""

    batches: TrainBatches

    def state_dict(self) -> dict[str, Any]:
        """An empty state: callers track the position, but Lightning requires this method to resume within an epoch."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing, as the state is empty."""


def train_loader(dataset: Dataset[Any], batches: TrainBatches, *, workers: int = 0, pin: bool = False) -> TrainLoader:
    """Create the loader of the training samples in the order of `batches`, each with its own seed.

    Args:
        dataset: the transformed samples.
        batches: the order of the samples.
        workers: number of worker processes; 0 prepares samples in the main process.
        pin: copy batches to pinned memory, from which transfers to a GPU are faster.
    """
    loader = TrainLoader(
        SeededSamples(dataset),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        persistent_workers=workers > 0,
        worker_init_fn=_leave_signals_to_the_parent,
        generator=torch.Generator(),  # so that starting an epoch does not advance the global generator
    )
    loader.batches = batches
    return loader


def eval_loader(dataset: Dataset[Any], batch_size: int, *, workers: int = 0, pin: bool = False) -> WorkerLoader:
    """Create a loader of all samples in order."""
    return WorkerLoader(
        dataset,
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        persistent_workers=workers > 0,
        worker_init_fn=_leave_signals_to_the_parent,
        generator=torch.Generator(),
    )


def _leave_signals_to_the_parent(_worker: int) -> None:
    """Ignore signals in a worker: after Ctrl-C, the main process needs its workers until it has saved the state."""
    for number in LEFT_TO_THE_PARENT:
        signal.signal(number, signal.SIG_IGN)


def _close(reference: weakref.ref[WorkerLoader]) -> None:
    loader = reference()
    if loader is not None:
        loader.close()


def _mixed(seed: int, epoch: int) -> int:
    """Combine a seed and an epoch into one seed, with different results for neighbouring values."""
    return (seed * 0x9E3779B97F4A7C15 + epoch * 0xC2B2AE3D27D4EB4F + 1) % 2**63
