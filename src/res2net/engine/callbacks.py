"""Callbacks of the training loop, and the checkpoints that they write."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from torch import Tensor

from res2net._version import __version__
from res2net.console import Console
from res2net.engine.config import TrainConfig
from res2net.engine.folder import RunFolder
from res2net.engine.module import TaskModule
from res2net.engine.restore import task_metadata
from res2net.errors import InputError
from res2net.images.loader import TrainLoader
from res2net.task.base import Task, backbone_of
from res2net.weights import atomic_write, save


class AtomicCheckpointIO(CheckpointIO):
    """Writes the state of a run atomically, and reads it without executing code from the file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`; if that fails, for example on a full disk, the previous file is kept."""
        atomic_write(path, lambda file: torch.save(checkpoint, file))

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        """Read what `save_checkpoint` wrote."""
        return read_state(path)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)


def read_state(path: Path | str) -> dict[str, Any]:
    """Read the state of a run; raises `InputError` if the file is damaged or contains pickled objects."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever is wrong in the file, the answer is the same
        raise InputError(
            f"{path} is damaged or not the state of a run: start from best.safetensors instead."
        ) from error
    if not isinstance(state, dict) or "loops" not in state:
        raise InputError(f"{path} is not the state of a run: give the folder that `res2net train` wrote.")
    return state


def save_task(path: Path, task: Task, metrics: dict[str, float], config: TrainConfig[Any]) -> None:
    """Write the weights of a task, with the metadata for evaluation and prediction in the header."""
    model = backbone_of(task)
    options = dict(model.variant_options) | {"num_classes": model.num_classes, "in_channels": model.in_channels}
    metadata = {
        "task": task.name,
        "model": model.variant_name,
        "options": options,
        "class_names": list(task.class_names),
        "preprocessing": task.preprocessing.to_dict(),
        "metrics": metrics,
        "precision": config.precision,
        "batch_size": config.data.batch_size,
        "channels_last": config.channels_last,
        "source": config.source,
        "val_fraction": config.data.val_fraction,
        "seed": config.seed,
        "decode": config.data.decode,
        "version": __version__,
    }
    save(path, task.model.state_dict(), metadata | task_metadata(task))


SECOND_SIGNAL_DELAY = 0.1
"""Minimum time in seconds between two Ctrl-C for the second one to stop the run at once."""


class StoppedError(Exception):
    """The run stopped after Ctrl-C or SIGTERM; the message is the run's folder, where its state has been saved."""


class RunRecorder(L.Callback):
    """Writes the metrics of each epoch, the best and the last weights, and the state to resume from.

    It must precede `EMAWeightAveraging` in the list of callbacks, so that it saves the averaged weights, which are in
    the network until the evaluation ends.
    """

    def __init__(self, folder: RunFolder, config: TrainConfig[Any], console: Console) -> None:
        self.folder, self.config, self.console = folder, config, console
        self.rows: list[dict[str, float]] = []
        self.best: dict[str, float] = {}
        self._loss = torch.zeros((), dtype=torch.float64)
        self._images, self._batches, self._seconds = 0, 0, 0.0
        self._since, self._lr = 0.0, 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reset the counters of the epoch."""
        self._loss, self._images, self._batches, self._seconds = torch.zeros((), dtype=torch.float64), 0, 0, 0.0

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start the clock at the first batch, also when a run resumes within an epoch."""
        self._lr = float(trainer.optimizers[0].param_groups[0]["lr"])
        if self._since == 0.0:
            self._since = time.monotonic()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the loss and the images of the batch to the counters."""
        if outputs:
            loss: Tensor = torch.as_tensor(outputs["loss"]).detach()
            self._loss = self._loss.to(loss.device) + loss * self.config.optim.accumulate
            self._batches += 1
        self._images += len(batch[0]) * trainer.world_size

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the epoch's row, and the weights if they are the best so far."""
        assert isinstance(pl_module, TaskModule)
        if trainer.state.fn != "fit":
            return
        evaluation = pl_module.evaluation()
        seconds = time.monotonic() - self._since - evaluation.seconds + self._seconds
        row = {
            "epoch": trainer.current_epoch + 1,
            "lr": self._lr,
            "train_loss": float(self._loss) / max(1, self._batches),
            "images_per_s": self._images / max(1e-9, seconds),
            "seconds": seconds + evaluation.seconds,
        } | {f"val_{name}": value for name, value in evaluation.metrics.items()}
        self._since = 0.0
        self.rows.append(row)
        for logger in trainer.loggers:
            logger.log_metrics({name: value for name, value in row.items() if name != "epoch"}, trainer.global_step)
        score = f"val_{pl_module.task.scoring.monitor}"
        before, now = self.best.get(score, math.nan), row.get(score, math.nan)
        # A score is NaN if the validation data have nothing to compute it on.
        best = not self.best or now > before or (math.isnan(before) and not math.isnan(now))
        if best:
            self.best = row
        if trainer.is_global_zero:
            self.folder.write_metrics(self.rows)
            save_task(self.folder.last, pl_module.task, dict(evaluation.metrics), self.config)
            if best:
                save_task(self.folder.best, pl_module.task, dict(evaluation.metrics), self.config)
            line = self._epoch_line(row, trainer.max_epochs or 0, best, pl_module.task)
            self.console.out(line, highlight=False)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the state to resume from."""
        self._seconds = 0.0
        trainer.save_checkpoint(self.folder.state)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the table of epochs and the counters of the current epoch."""
        elapsed = time.monotonic() - self._since if self._since else 0.0
        checkpoint["res2net"] = {
            "rows": self.rows,
            "best": self.best,
            "loss": self._loss.cpu(),
            "images": self._images,
            "batches": self._batches,
            "seconds": self._seconds + elapsed,
        }

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore what `on_save_checkpoint` added."""
        state = checkpoint["res2net"]
        self.rows, self.best, self._loss = state["rows"], state["best"], state["loss"]
        self._images, self._batches, self._seconds = state["images"], state["batches"], state["seconds"]

    def _epoch_line(self, row: dict[str, float], epochs: int, best: bool, task: Task) -> str:
        scoring = task.scoring
        metrics = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
        scores = "  ".join(
            f"{name} {value:.2f} {scoring.unit(name)}"
            for name, value in metrics.items()
            if name != "loss" and name in (scoring.headline or metrics)
        )
        scores = f"{scores} {scoring.note}".rstrip()
        loss = f"val loss {row['val_loss']:.3f}  " if "val_loss" in row else ""
        return (
            f"epoch {row['epoch']:>3}/{epochs}  train loss {row['train_loss']:.3f}  {loss}"
            f"{scores}  {row['images_per_s']:,.0f} images/s  {row['seconds']:.0f} s{'  best' if best else ''}"
        )


class RandomState(L.Callback):
    """Saves the state of torch's random number generators in checkpoints, and restores it before the first batch."""

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the states of the generators of the CPU and of all GPUs."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        checkpoint["random"] = {"cpu": torch.get_rng_state(), "cuda": cuda}

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Hold the states back until training begins, since the setup may consume random numbers too."""
        self._restored = checkpoint["random"]

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Restore the states before the first batch."""
        if self._restored is not None:
            torch.set_rng_state(self._restored["cpu"])
            if self._restored["cuda"]:
                torch.cuda.set_rng_state_all(self._restored["cuda"])
            self._restored = None


class GracefulStop(L.Callback):
    """On Ctrl-C or SIGTERM, finishes the step, saves the state and stops the run; a second Ctrl-C stops it at once.

    It must be the last in the list of callbacks, so that the saved state includes what the others did after the step.
    """

    def __init__(self, folder: RunFolder, loader: TrainLoader, console: Console) -> None:
        self.folder, self.loader, self.console = folder, loader, console
        self.asked = False
        self._asked_at = 0.0
        self._validating = False
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Remember the signal handlers before Lightning replaces them."""
        if threading.current_thread() is threading.main_thread():  # elsewhere the caller decides what a signal does
            self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Install the signal handlers."""
        for number in self._before:
            signal.signal(number, self._request_stop)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Set the epoch of the loader, which determines the order of its batches."""
        self.loader.batches.set_epoch(trainer.current_epoch)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop within an epoch. After its last batch the evaluation is still run, and `on_train_epoch_end` stops."""
        between_updates = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if self.asked and between_updates and batch_idx + 1 < len(self.loader):
            trainer.save_checkpoint(self.folder.state)
            raise StoppedError(self.folder.path)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note that a stop now waits for the evaluation."""
        self._validating = True

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note that a stop now waits for the current step."""
        self._validating = False

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop between epochs, or before the final evaluation; the state has been saved already."""
        if self.asked:
            raise StoppedError(self.folder.path)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the epoch and the batch at which the loader has to resume."""
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        epoch = trainer.current_epoch
        ended = done >= len(self.loader)
        checkpoint["place"] = {"epoch": epoch + 1, "batch": 0} if ended else {"epoch": epoch, "batch": done}

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Restore the original signal handlers."""
        self._restore_handlers()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Restore the original signal handlers."""
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked:
            # Programs such as `timeout` send a signal twice; only a person who presses again means "at once".
            if number == signal.SIGINT and now - self._asked_at > SECOND_SIGNAL_DELAY:
                raise KeyboardInterrupt
            return
        self.asked, self._asked_at = True, now
        until = "evaluation" if self._validating else "step"
        # Printing must never prevent saving. It fails if the same Ctrl-C ended the reader of the output, as in
        # `res2net train ... | tee log`, or if the signal arrived while another line was being printed.
        with contextlib.suppress(OSError, RuntimeError, SystemExit):
            self.console.print(f"Stopping after this {until} (press Ctrl-C again to stop at once) ...")
