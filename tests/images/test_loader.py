"""Batches depend on seed, epoch and index, not on workers; and an epoch can be entered in the middle."""

import subprocess
import sys
import textwrap

import pytest
import torch
from torch.utils.data import Dataset

from res2net.images.loader import TrainBatches, eval_loader, train_loader


class Noise(Dataset):
    """Samples that are random each time they are made."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return torch.rand(1, 2, 2), {"label": index, "index": index}


def drawn(batches, workers=0):
    return [(images, targets["label"].tolist()) for images, targets in train_loader(Noise(), batches, workers=workers)]


def same(one, other):
    return len(one) == len(other) and all(
        a[1] == b[1] and torch.equal(a[0], b[0]) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers):
    assert same(drawn(TrainBatches(10, 3, seed=1)), drawn(TrainBatches(10, 3, seed=1), workers))


def test_every_sample_comes_once_but_those_of_the_incomplete_batch():
    labels = [label for _, labels in drawn(TrainBatches(10, 3)) for label in labels]
    assert len(labels) == len(set(labels)) == 9
    assert len(drawn(TrainBatches(10, 64))) == 1


def test_epochs_and_seeds_differ_in_order_and_in_random_changes():
    first, again, other_seed = (TrainBatches(10, 10, seed=seed) for seed in (1, 1, 2))
    again.set_epoch(1)
    epochs = [drawn(first)[0], drawn(again)[0], drawn(other_seed)[0]]
    orders = [tuple(labels) for _, labels in epochs]
    assert len(set(orders)) == 3
    batch_images = [images[labels.index(0)] for images, labels in epochs]
    assert not torch.equal(batch_images[0], batch_images[1])
    assert not torch.equal(batch_images[0], batch_images[2])


def test_an_epoch_that_is_entered_in_the_middle_goes_on_with_the_same_batches():
    whole, rest = TrainBatches(10, 2, seed=4), TrainBatches(10, 2, seed=4)
    whole.set_epoch(3)
    rest.start_at(3, 2)
    assert same(drawn(whole)[2:], drawn(rest))
    for batches in (whole, rest):
        batches.set_epoch(4)
    assert same(drawn(whole), drawn(rest))


def test_drawing_leaves_the_global_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    loader = train_loader(Noise(), TrainBatches(10, 3))
    list(loader)
    assert torch.equal(torch.rand(3), expected)


def test_evaluation_goes_through_all_samples_in_order():
    labels = [label for _, targets in eval_loader(Noise(), 4) for label in targets["label"].tolist()]
    assert labels == list(range(10))


def test_closing_ends_the_workers_and_another_iteration_starts_new_ones():
    loader = eval_loader(Noise(), 4, workers=2)
    first = [targets["label"].tolist() for _, targets in loader]
    workers = loader._iterator._workers
    loader.close()
    assert not any(worker.is_alive() for worker in workers)
    assert [targets["label"].tolist() for _, targets in loader] == first
    loader.close()
    loader.close()


@pytest.mark.slow
def test_a_program_ends_while_a_loader_has_workers():
    program = """
        import torch
        from res2net.images.loader import eval_loader
        loader = eval_loader([(torch.zeros(1, 2, 2), {"label": 0})] * 100, 2, workers=1)
        batches = iter(loader)
        next(batches)
        raise SystemExit(3)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (ended.returncode, ended.stderr) == (3, "")
