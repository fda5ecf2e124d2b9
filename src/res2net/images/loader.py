"""Batches in an order, and with random changes, that depend on nothing but the seed, the epoch and the index.

So a run gives the same batches with any number of worker processes, and one that was interrupted goes on exactly.
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

from res2net.errors import InputError
from res2net.images.samples import Sample, Skipped, collate

__all__ = ["TrainBatches", "TrainLoader", "WorkerLoader", "eval_loader", "train_loader"]

Key = tuple[int, int]
"""The index of a sample, and the seed of its random changes."""

LEFT_TO_THE_PARENT = (signal.SIGINT, signal.SIGTERM)
"""Signals that reach all processes of a terminal or of a job."""


class TrainBatches(Sampler[list[Key]]):
    """Batches of a shuffled epoch; with several processes each gets its share of every batch.

    The last incomplete batch of an epoch is left out, unless it is the only one.

    Args:
        length: number of samples.
        batch_size: samples of a batch, of all processes together.
        seed: of the order and of the samples' seeds.
        rank: number of this process.
        world: number of processes.
    """

    def __init__(self, length: int, batch_size: int, *, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        if batch_size < 1 or batch_size % world:
            raise InputError(f"Batch size {batch_size} does not fit {world} processes: choose a multiple of them.")
        self.length, self.batch_size, self.seed = length, min(batch_size, length), seed
        self.rank, self.world = rank, world
        self.epoch = 0
        self._start = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration goes through."""
        self.epoch = epoch

    def start_at(self, epoch: int, batch: int) -> None:
        """Let the first iteration of that epoch begin with that batch."""
        self.epoch, self._start = epoch, (epoch, batch)

    def __len__(self) -> int:
        return self.length // self.batch_size

    def __iter__(self) -> Iterator[list[Key]]:
        random = torch.Generator().manual_seed(_mixed(self.seed, self.epoch))
        order = torch.randperm(self.length, generator=random).tolist()
        seeds = torch.randint(2**62, (self.length,), generator=random).tolist()
        first = self._start[1] if self._start[0] == self.epoch else 0
        for batch in range(first, len(self)):
            places = range(batch * self.batch_size, (batch + 1) * self.batch_size)
            yield [(order[place], seeds[place]) for place in places[self.rank :: self.world]]


class SeededSamples(Dataset[Sample | Skipped]):
    """Samples by index and seed: the seed rules torch's random numbers while the sample is made, and only then."""

    def __init__(self, dataset: Dataset[Sample | Skipped]) -> None:
        self.dataset = dataset

    def __getitem__(self, key: Key) -> Sample | Skipped:
        index, seed = key
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # not of the accelerators, whose state would not come back
            return self.dataset[index]


class WorkerLoader(DataLoader[Any]):
    """A loader whose processes leave Ctrl-C and SIGTERM to the one that started them, and end with it."""

    def __iter__(self) -> Any:
        """As of any loader; no signal reaches a process before it knows that it is to ignore it."""
        if self.num_workers and self._iterator is None:
            # Python itself would ask them by a SIGTERM to end, and wait for ever.
            atexit.register(_close, weakref.ref(self))
            if hasattr(signal, "pthread_sigmask"):
                before = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_THE_PARENT)
                try:
                    return super().__iter__()
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return super().__iter__()

    def close(self) -> None:
        """End the processes; the next iteration starts new ones."""
        iterator, self._iterator = self._iterator, None
        if isinstance(iterator, _MultiProcessingDataLoaderIter):
            iterator._shutdown_workers()
            for worker in iterator._workers:
                worker.kill()  # one that is stuck in a file that cannot be read


class TrainLoader(WorkerLoader):
    """A loader that can go on in the middle of an epoch; `batches` says where it starts."""

    batches: TrainBatches

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the place in the epoch is known by who counts the finished batches. Lightning looks for this."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing, as above."""


def train_loader(dataset: Dataset[Any], batches: TrainBatches, *, workers: int = 0, pin: bool = False) -> TrainLoader:
    """A loader of the training samples in the order of `batches`, each with its own seed.

    Args:
        dataset: samples by index.
        batches: which samples come when.
        workers: processes that prepare samples; 0 prepares them in this one.
        pin: keep batches in memory that a GPU reads fast.
    """
    loader = TrainLoader(
        SeededSamples(dataset),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        persistent_workers=workers > 0,
        worker_init_fn=_leave_signals_to_the_parent,
        generator=torch.Generator(),  # so that starting an epoch draws nothing from the global one
    )
    loader.batches = batches
    return loader


def eval_loader(
    dataset: Dataset[Any], batch_size: int, *, workers: int = 0, pin: bool = False, rank: int = 0, world: int = 1
) -> WorkerLoader:
    """A loader of all samples in their order; with several processes each gets every `world`-th."""
    return WorkerLoader(
        dataset,
        batch_size=max(1, batch_size // world),
        sampler=range(rank, len(dataset), world),  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        persistent_workers=workers > 0,
        worker_init_fn=_leave_signals_to_the_parent,
        generator=torch.Generator(),
    )


def _leave_signals_to_the_parent(_worker: int) -> None:
    """Ctrl-C reaches all processes of a terminal; the one that trains needs its workers until it has saved."""
    for number in LEFT_TO_THE_PARENT:
        signal.signal(number, signal.SIG_IGN)


def _close(reference: weakref.ref[WorkerLoader]) -> None:
    loader = reference()
    if loader is not None:
        loader.close()


def _mixed(seed: int, epoch: int) -> int:
    """One number for both, far from those of neighbours."""
    return (seed * 0x9E3779B97F4A7C15 + epoch * 0xC2B2AE3D27D4EB4F + 1) % 2**63
