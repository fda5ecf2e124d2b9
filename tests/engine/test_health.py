"""Training that fails says so: NaN and infinity, too little memory, nothing learned; and averages that warm up."""

import errno
import io
import math

import lightning as L
import pytest
import torch
from safetensors.torch import load_file

from res2net.console import Console
from res2net.engine.callbacks import WarmingAverage, is_better
from res2net.engine.config import default_config, override
from res2net.engine.folder import RunFolder
from res2net.engine.health import end_notes, one_sentence, start_notes
from res2net.engine.train import train
from res2net.errors import InputError
from res2net.images import open_source
from res2net.tasks.classify.task import Classify

NAN = math.nan


@pytest.mark.parametrize(
    ("row", "best", "wanted"),
    [
        ({"val_s": 1.0}, {}, True),
        ({"val_s": 0.0}, {}, True),
        ({"val_s": NAN}, {}, False),
        ({"val_s": NAN}, {"val_s": 1.0}, False),
        ({"val_s": math.inf}, {"val_s": 1.0}, False),
        ({"val_s": 1.0}, {"val_s": 1.0}, False),
        ({"val_s": 2.0}, {"val_s": 1.0}, True),
        ({"val_s": 2.0, "val_loss": NAN}, {"val_s": 1.0}, False),
        ({"val_s": 2.0, "val_loss": 9.0}, {"val_s": 1.0}, True),
        ({}, {}, False),
    ],
)
def test_a_score_that_is_no_number_is_never_the_best(row, best, wanted):
    assert is_better(row, best, "val_s") is wanted


class Break(L.Callback):
    """Puts a value into a gradient or a weight at an update, counted from 1."""

    def __init__(self, update, value, what):
        self.update, self.value, self.what, self.seen = update, value, what, 0

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.seen += 1
        parameter = optimizer.param_groups[0]["params"][0]
        if self.seen == self.update:
            (parameter.grad if self.what == "gradient" else parameter.data)[0, 0, 0, 0] = self.value


@pytest.mark.parametrize(
    ("update", "value", "what", "text"),
    [
        (7, NAN, "weight", "The loss became NaN in epoch 2, batch 3 (sample "),
        (10, math.inf, "weight", "Weights became NaN or infinite in epoch 2, batch 5 (sample "),
    ],
)
def test_a_run_that_diverges_stops_and_keeps_the_good_weights(small_run, console, update, value, what, text):
    config = small_run(optim={"epochs": 3})
    with pytest.raises(InputError) as error:
        train(config, console=console, callbacks=[Break(update, value, what)])
    assert str(error.value).startswith(text)
    assert "lower --lr (now 0.05), or add --clip" in str(error.value)
    folder = RunFolder.existing(config.out)
    assert f"{folder.best} has the last good weights" in str(error.value)
    for file in (folder.best, folder.last):
        assert all(tensor.isfinite().all() for tensor in load_file(file).values() if tensor.is_floating_point())
    resumed = train(config, resume=folder, console=console)
    assert [row["epoch"] for row in resumed.rows] == [1, 2, 3]


def test_a_rate_that_is_far_too_high_names_the_images(small_run, console):
    config = small_run(optim={"lr": 1e6, "clip": 1e9})
    with pytest.raises(InputError, match=r"(NaN|infinite) in epoch 1, batch \d \(sample .*lower --lr \(now 1e\+06\)"):
        train(config, console=console)
    assert not RunFolder.of_run(config.out).best.exists()


def test_an_update_of_more_batches_than_an_epoch_has_is_refused(small_run, console):
    """Its gradients would be divided by batches that never come."""
    with pytest.raises(InputError, match=r"--accumulate 6 is out of range: give 1 to the 5 batches"):
        train(small_run(optim={"accumulate": 6}), console=console)


def test_an_average_warms_up():
    average = WarmingAverage(0.9)._kwargs["avg_fn"]
    value = torch.tensor(1.0)
    expected = 1.0
    for count in range(1, 200):
        value = average(value, torch.tensor(float(count)), torch.tensor(count))
        rate = min(0.9, (1 + count) / (10 + count))
        expected = rate * expected + (1 - rate) * count
    assert float(value) == pytest.approx(expected)
    assert float(average(torch.tensor(1.0), torch.tensor(0.0), torch.tensor(1))) == pytest.approx(2 / 11)
    assert float(average(torch.tensor(1.0), torch.tensor(0.0), torch.tensor(10**6))) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "lower --batch-size (now 64"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "Out of memory"),
        (MemoryError(), "Out of memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Out of memory"),
        (RuntimeError("DataLoader worker (pid 3) is killed by signal: Killed."), "fewer --workers"),
        (RuntimeError("DataLoader worker (pid 3) is killed by signal: Bus error."), "/dev/shm"),
        (RuntimeError("unable to write to file </torch_12_3>: No space left on device (28)"), "/dev/shm"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on the disk for run"),
        (OSError(errno.EROFS, "Read-only file system"), "No permission to write run"),
        (OSError(errno.EFBIG, "File too large"), "Cannot write run (File too large)"),
    ],
)
def test_too_little_memory_or_disk_is_one_sentence(tmp_path, monkeypatch, error, text):
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(InputError) as raised,
        one_sentence(default_config("classify", "x"), RunFolder(tmp_path / "run")),
    ):
        raise error
    assert text.replace(" run", f" {tmp_path / 'run'}") in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "error", [ValueError("a"), RuntimeError("shapes differ"), InputError("out of memory"), KeyError(1)]
)
def test_other_errors_stay_as_they_are(tmp_path, error):
    with pytest.raises(type(error)) as raised, one_sentence(default_config("classify", "x"), RunFolder(tmp_path)):
        raise error
    assert raised.value is error


def rows(*losses, score=50.0):
    return [{"train_loss": loss, "val_top1": score} for loss in losses]


@pytest.mark.parametrize(
    ("rows", "chance", "text"),
    [
        (rows(2.0, 2.1, 2.05), 25.0, "never fell below that of the first epoch (2)"),
        (rows(2.0, 1.0), 50.0, "its best top1 50.00 % is no better than 50.00 %, which needs no learning"),
        (rows(2.0, 1.0, score=0.0), 0.0, "its best top1 is 0"),
        (rows(2.0, 1.0), 25.0, ""),
        (rows(2.0), 25.0, ""),
        (rows(2.0, 1.0, score=-3.0), -math.inf, ""),
        (rows(2.0, 1.0, score=NAN), 25.0, ""),
        ([{"train_loss": 2.0}, {"train_loss": 1.0}], 25.0, ""),
    ],
)
def test_a_run_that_learned_nothing_says_what_it_saw(rows, chance, text):
    config = override(default_config("classify", "x"), {"lr": 1e-9})
    notes = end_notes(rows, "top1", chance, config, "80 images of 2 classes")
    assert bool(notes) is bool(text)
    if text:
        assert text in notes[0]
        assert "It saw 80 images of 2 classes" in notes[0]
        assert "--lr 1e-09" in notes[0]


def test_the_score_of_a_guess():
    source = open_source("shapes:20,8")
    assert Classify.scoring.chance(source) == 100 / len(source.class_names)
    source.val.targets = [0, 1, 1, 1]
    assert Classify.scoring.chance(source) == 75.0
    assert start_notes(["a"], 75.0) == []
    assert "any network scores 100 %" in start_notes(["a"], 100.0)[0]


def test_early_stopping_and_evaluations_now_and_then(small_run):
    out = io.StringIO()
    config = small_run(optim={"epochs": 30, "lr": 1e-9}, validate_every=2, patience=1, logger="csv")
    trained = train(config, console=Console(file=out, width=300))
    scores = {row["epoch"]: row["val_top1"] for row in trained.rows if "val_top1" in row}
    assert list(scores) == list(range(2, len(trained.rows) + 1, 2))
    *better, last = scores.values()
    assert better == sorted(set(better))
    assert last <= better[-1]
    assert "Stopped early: top1 was not better in 1 evaluations in a row." in out.getvalue()
    assert (trained.folder.path / "csv" / "metrics.csv").is_file()
    assert not (trained.folder.path / "tensorboard").exists()


def test_the_last_epoch_is_always_evaluated(small_run, console):
    trained = train(small_run(optim={"epochs": 3}, validate_every=2), console=console)
    assert [row["epoch"] for row in trained.rows if "val_top1" in row] == [2, 3]


def test_a_logger_that_is_missing(small_run, console):
    with pytest.raises(InputError, match="--logger wandb needs the package wandb, which is not installed: run pip"):
        train(small_run(logger="wandb"), console=console)
