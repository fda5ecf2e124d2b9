"""A run that was stopped goes on exactly: weights and scores are those of one that was never stopped."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from safetensors.torch import load_file

from res2net.engine.callbacks import RunRecorder
from res2net.engine.evaluate import quiet_lightning
from res2net.engine.folder import RunFolder
from res2net.engine.state import read_state
from res2net.engine.stop import SECOND_SIGNAL_DELAY, GracefulStop, StoppedError
from res2net.engine.train import train
from res2net.errors import InputError

# Everything that has a state: random numbers on the way, a schedule, an average of the weights.
OPTIONS = {
    "task": {"mixup": 0.2, "cutmix": 0.5, "erase": 0.3, "label_smoothing": 0.1},
    "model": {"options": {"drop_path_rate": 0.3, "dropout": 0.2}},
}
OPTIM = {"epochs": 3, "ema": 0.9, "warmup": 1.0, "clip": 5.0}


def scores(rows):
    return [{name: value for name, value in row.items() if name not in ("seconds", "images_per_s")} for row in rows]


@pytest.mark.parametrize(
    ("batch", "optim"),
    [
        pytest.param(2, {}, marks=pytest.mark.slow),
        (5, {}),  # the last of the first epoch
        pytest.param(7, {}, marks=pytest.mark.slow),
        # The last of all: the evaluation of the best weights is left.
        pytest.param(15, {}, marks=pytest.mark.slow),
        pytest.param(7, {"optimizer": "adamw", "schedule": "one-cycle"}, marks=pytest.mark.slow),
        pytest.param(6, {"optimizer": "lamb", "schedule": "step", "step_epochs": 1}, marks=pytest.mark.slow),
        (6, {"accumulate": 2}),  # in the middle of an update, which is ended first
    ],
)
def test_stopped_anywhere_and_resumed(small_run, console, ctrl_c, batch, optim):
    whole = train(small_run("whole", optim=OPTIM | optim, **OPTIONS), console=console)
    config = small_run("stopped", optim=OPTIM | optim, **OPTIONS)
    with pytest.raises(StoppedError):
        train(config, console=console, callbacks=[ctrl_c(batch)])
    resumed = train(config, resume=RunFolder.existing(config.out), console=console)
    assert scores(resumed.rows) == scores(whole.rows)
    for name in ("last", "best"):
        one, other = (load_file(getattr(run.folder, name)) for run in (whole, resumed))
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_signals_are_as_before_after_a_run(small_run, console):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train(small_run(optim={"epochs": 1}), console=console)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_ctrl_c_stops_at_once(console, tmp_path):
    stop = GracefulStop(RunFolder(tmp_path), None, console)
    stop._request_stop(signal.SIGINT, None)
    assert stop.asked
    stop._request_stop(signal.SIGINT, None)  # `timeout` and others send a signal twice
    time.sleep(1.1 * SECOND_SIGNAL_DELAY)
    stop._request_stop(signal.SIGTERM, None)
    with pytest.raises(KeyboardInterrupt):
        stop._request_stop(signal.SIGINT, None)


@pytest.mark.parametrize("error", [BrokenPipeError, RuntimeError("reentrant call"), SystemExit(1)])
def test_a_run_saves_also_when_nobody_listens(console, tmp_path, monkeypatch, error):
    def print_to_nobody(*_words, **_options):
        raise error

    monkeypatch.setattr(console, "print", print_to_nobody)
    stop = GracefulStop(RunFolder(tmp_path), None, console)
    stop._request_stop(signal.SIGINT, None)
    assert stop.asked


def test_a_signal_that_lightning_hears_first_does_not_end_in_silence():
    with pytest.raises(KeyboardInterrupt), quiet_lightning():
        raise SystemExit


def test_a_full_disk_leaves_the_checkpoint_before(small_run, console, monkeypatch):
    """The disk fills up while the second epoch is saved."""
    config = small_run(optim={"epochs": 3})
    folder = RunFolder(Path(config.out))

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    class FillDisk(L.Callback):
        before = b""

        def on_save_checkpoint(self, trainer, pl_module, checkpoint):
            if folder.state.exists():
                self.before = folder.state.read_bytes()
                monkeypatch.setattr(os, "fsync", full)

    fill = FillDisk()
    with pytest.raises(InputError, match="No space left on the disk"):
        train(config, console=console, callbacks=[fill])
    monkeypatch.undo()
    assert RunFolder.existing(config.out).state.read_bytes() == fill.before
    assert not [path for path in folder.path.iterdir() if path.name.endswith(".tmp")]
    assert read_state(folder.state)["place"] == {"epoch": 1, "batch": 0}


def test_what_cannot_be_resumed(tmp_path):
    with pytest.raises(InputError, match=r"not the folder of a run \(it has no config\.yaml\)"):
        RunFolder.existing(tmp_path)
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    with pytest.raises(InputError, match=r"has no last\.ckpt"):
        RunFolder.existing(tmp_path)
    (tmp_path / "last.ckpt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match="damaged or not the state of a run"):
        read_state(RunFolder.existing(tmp_path).state)
    torch.save({"weights": torch.zeros(1)}, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match="not the state of a run"):
        read_state(tmp_path / "last.ckpt")


def test_a_state_that_would_run_code_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "attacked"),)

    torch.save({"loops": Attack()}, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match="damaged or not the state"):
        read_state(tmp_path / "last.ckpt")
    assert not (tmp_path / "attacked").exists()


def test_the_best_score_survives_a_stop(small_run, console, ctrl_c):
    config = small_run(optim={"epochs": 2})
    with pytest.raises(StoppedError):
        train(config, console=console, callbacks=[ctrl_c(7)])
    kept = {}

    class Look(L.Callback):
        def on_train_start(self, trainer, pl_module):
            kept.update(next(one for one in trainer.callbacks if isinstance(one, RunRecorder)).counters.best)

    resumed = train(config, resume=RunFolder.existing(config.out), console=console, callbacks=[Look()])
    assert kept == resumed.rows[0]


class InEvaluation(L.Callback):
    """Does something at the second batch of an evaluation, counted from 1."""

    def __init__(self, evaluation, act):
        self.left, self.act = evaluation, act

    def on_validation_start(self, trainer, pl_module):
        self.left -= 1

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if self.left == 0 and batch_idx == 1:
            self.act()


def break_image():
    raise InputError("val/7.png cannot be read: fix it.")


@pytest.mark.parametrize(
    ("evaluation", "act", "error"),
    [
        pytest.param(1, lambda: os.kill(os.getpid(), signal.SIGTERM), StoppedError, marks=pytest.mark.slow),
        pytest.param(2, lambda: os.kill(os.getpid(), signal.SIGUSR1), StoppedError, marks=pytest.mark.slow),
        pytest.param(3, lambda: os.kill(os.getpid(), signal.SIGHUP), StoppedError, marks=pytest.mark.slow),
        (2, break_image, InputError),
        pytest.param(1, break_image, InputError, marks=pytest.mark.slow),
        pytest.param(3, break_image, InputError, marks=pytest.mark.slow),
    ],
)
def test_a_trained_epoch_is_not_lost_in_its_evaluation(small_run, console, evaluation, act, error):
    whole = train(small_run("whole", optim=OPTIM, **OPTIONS), console=console)
    config = small_run("stopped", optim=OPTIM, **OPTIONS)
    with pytest.raises(error):
        train(config, console=console, callbacks=[InEvaluation(evaluation, act)])
    folder = RunFolder.existing(config.out)
    assert read_state(folder.state)["place"] == {"epoch": evaluation, "batch": 0}
    resumed = train(config, resume=folder, console=console)
    assert scores(resumed.rows) == scores(whole.rows)
    one, other = (load_file(run.folder.last) for run in (whole, resumed))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no such signal here")
def test_a_signal_that_was_ignored_stays_ignored(console, tmp_path):
    """As under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = GracefulStop(RunFolder(tmp_path), None, console)
        stop.setup(None, None, "fit")
        assert set(stop._before) == {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("minutes", "accumulate", "batch", "saved"),
    [(0.0, 1, 0, True), (0.0, 2, 0, False), (0.0, 2, 1, True), (9.0, 1, 0, False), (0.0, 1, 3, False)],
)
def test_the_state_is_saved_at_times(console, tmp_path, minutes, accumulate, batch, saved):
    """Between updates, and not at the last of four batches, after which the epoch is saved anyway."""
    stop = GracefulStop(RunFolder(tmp_path), range(4), console, minutes)
    calls = []
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(_should_check_val_epoch=lambda: False))
    trainer = SimpleNamespace(accumulate_grad_batches=accumulate, save_checkpoint=calls.append, fit_loop=loop)
    stop.on_train_batch_end(trainer, None, None, None, batch)
    assert calls == ([tmp_path / "last.ckpt"] if saved else [])
