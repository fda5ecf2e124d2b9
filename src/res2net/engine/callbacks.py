"""What happens around the training loop: scores, checkpoints, a graceful stop, exact random numbers."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import lightning as L
import torch
from rich.console import Console
from torch import Tensor

from res2net.engine.checkpoints import save_task
from res2net.engine.config import TrainConfig
from res2net.engine.folder import RunFolder
from res2net.engine.module import TaskModule
from res2net.images.loader import TrainLoader
from res2net.task.base import Task

__all__ = ["GracefulStop", "RandomState", "RunRecorder", "StoppedError"]

SECOND_SIGNAL_DELAY = 0.1
"""Seconds after the first Ctrl-C from which another one counts as a second one."""


class StoppedError(Exception):
    """A person or the cluster asked the run to stop; its state is saved in the folder that is its text."""


class RunRecorder(L.Callback):
    """Records the table of epochs, the best and the last weights, and the state to resume from.

    It comes before a weight average in the list of callbacks, so that it saves the averaged weights, which are in the
    network until the evaluation ends.
    """

    def __init__(self, folder: RunFolder, config: TrainConfig[Any], console: Console) -> None:
        self.folder, self.config, self.console = folder, config, console
        self.rows: list[dict[str, float]] = []
        self.best: dict[str, float] = {}
        self._loss = torch.zeros((), dtype=torch.float64)
        self._images, self._batches, self._seconds = 0, 0, 0.0
        self._since = 0.0
        self._lr = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start counting."""
        self._loss, self._images, self._batches, self._seconds = torch.zeros((), dtype=torch.float64), 0, 0, 0.0

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start the clock, also after resuming in the middle of an epoch."""
        self._lr = float(trainer.optimizers[0].param_groups[0]["lr"])
        if self._since == 0.0:
            self._since = time.monotonic()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch."""
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
        # A score is NaN while there is nothing to measure it on.
        best = not self.best or now > before or (math.isnan(before) and not math.isnan(now))
        if best:
            self.best = row
        if trainer.is_global_zero:
            self.folder.write_metrics(self.rows)
            save_task(self.folder.last, pl_module.task, dict(evaluation.metrics), self.config)
            if best:
                save_task(self.folder.best, pl_module.task, dict(evaluation.metrics), self.config)
            line = self._line(row, trainer.max_epochs or 0, best, pl_module.task)
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the state to resume from."""
        self._seconds = 0.0
        trainer.save_checkpoint(self.folder.state)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Remember how far the epoch is."""
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
        """Go on from there."""
        state = checkpoint["res2net"]
        self.rows, self.best, self._loss = state["rows"], state["best"], state["loss"]
        self._images, self._batches, self._seconds = state["images"], state["batches"], state["seconds"]

    def _line(self, row: dict[str, float], epochs: int, best: bool, task: Task) -> str:
        scoring = task.scoring
        names = [name for name in row if name.startswith("val_") and name != "val_loss"]
        scores = "  ".join(
            f"{name.removeprefix('val_')} {row[name]:.2f} {scoring.unit(name.removeprefix('val_'))}"
            for name in names
            if not scoring.headline or name.removeprefix("val_") in scoring.headline
        )
        scores = f"{scores} {scoring.note}".rstrip()
        loss = f"val loss {row['val_loss']:.3f}  " if "val_loss" in row else ""
        return (
            f"epoch {row['epoch']:>3}/{epochs}  train loss {row['train_loss']:.3f}  {loss}"
            f"{scores}  {row['images_per_s']:,.0f} images/s  {row['seconds']:.0f} s{'  best' if best else ''}"
        )


class RandomState(L.Callback):
    """Puts the state of torch's random numbers into checkpoints and takes it up again at the first batch."""

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save it."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        checkpoint["random"] = {"cpu": torch.get_rng_state(), "cuda": cuda}

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep it until training begins: what comes before may draw numbers too."""
        self._restored = checkpoint["random"]

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Take it up."""
        if self._restored is not None:
            torch.set_rng_state(self._restored["cpu"])
            if self._restored["cuda"]:
                torch.cuda.set_rng_state_all(self._restored["cuda"])
            self._restored = None


class GracefulStop(L.Callback):
    """Ctrl-C, or a cluster's SIGTERM, ends the step, saves the state and stops; a second Ctrl-C stops at once.

    It is the last in the list of callbacks, so that what it saves includes what the others did with the step.
    """

    def __init__(self, folder: RunFolder, loader: TrainLoader, console: Console) -> None:
        self.folder, self.loader, self.console = folder, loader, console
        self.asked = False
        self._asked_at = 0.0
        self._evaluates = False
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Note the handlers of the signals, before Lightning sets its own."""
        if threading.current_thread() is threading.main_thread():  # elsewhere the caller decides what a signal does
            self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Listen."""
        for number in self._before:
            signal.signal(number, self._ask)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Choose the order of the epoch; it is drawn after this."""
        self.loader.batches.set_epoch(trainer.current_epoch)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop within an epoch. After its last batch the epoch is ended first: its evaluation belongs to it."""
        between_updates = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if self.asked and between_updates and batch_idx + 1 < len(self.loader):
            trainer.save_checkpoint(self.folder.state)
            self._stop()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note what a stop has to wait for."""
        self._evaluates = True

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note that the next stop waits for a step again."""
        self._evaluates = False

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop between epochs, or before the last evaluation; the state is saved already."""
        if self.asked:
            self._stop()

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note how far the epoch is in the data."""
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        epoch = trainer.current_epoch
        ended = done >= len(self.loader)
        checkpoint["place"] = {"epoch": epoch + 1, "batch": 0} if ended else {"epoch": epoch, "batch": done}

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Leave the signals as they were."""
        self._restore()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Leave the signals as they were after a run that ends early, too."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked:
            # Programs such as `timeout` send a signal twice; only a person who presses again means "at once".
            if number == signal.SIGINT and now - self._asked_at > SECOND_SIGNAL_DELAY:
                raise KeyboardInterrupt
            return
        self.asked, self._asked_at = True, now
        until = "evaluation" if self._evaluates else "step"
        # Who reads the output may have been stopped by the same Ctrl-C, as in `res2net train ... | tee log`, and the
        # signal may have come in the middle of another line: to save is worth more than to tell.
        with contextlib.suppress(OSError, RuntimeError, SystemExit):
            self.console.print(f"Stopping after this {until} (press Ctrl-C again to stop at once) ...")

    def _stop(self) -> None:
        raise StoppedError(self.folder.path)
