"""Progress bars of training and evaluation, with speed, loss and remaining time."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
import torch
from rich.progress import TaskID

from res2net.console import Console
from res2net.report.progress import progress_bar


class RunProgress(L.Callback):
    """Shows progress bars for the run, the current epoch and evaluations, with images/s, loss and remaining time.

    Lightning's own bars know neither the whole run nor images/s.
    """

    def __init__(self, console: Console) -> None:
        self.bar = progress_bar(console)
        self._tasks: dict[str, TaskID] = {}
        self._images, self._since = 0, 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the bars of the run and of its current epoch."""
        self.bar.start()
        epochs, batches = trainer.max_epochs or 1, int(trainer.num_training_batches)
        # When a run resumes within an epoch, Lightning counts its last batch as ready but not as completed.
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready % batches
        self._add("run", epochs * batches, completed=trainer.current_epoch * batches + done, note="batches")
        self._add("epoch", batches)
        self._start_epoch(trainer, done)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reset the bar of the epoch; Lightning does not call this when it resumes within an epoch."""
        self._start_epoch(trainer, 0)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance the bars."""
        speed = self._speed(batch, trainer)
        # Reading the loss from a GPU at every step would stall it.
        if outputs and (batch_idx % 10 == 0 or pl_module.device.type == "cpu"):
            loss = float(torch.as_tensor(outputs["loss"])) * trainer.accumulate_grad_batches  # Lightning divided it
            self.bar.update(self._tasks["epoch"], note=f"{speed}, loss {loss:.3f}")
        self.bar.update(self._tasks["epoch"], completed=batch_idx + 1)
        self.bar.advance(self._tasks["run"])

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add the bar of an evaluation."""
        self.bar.start()
        batches = trainer.num_val_batches or [0]
        total = int(sum(batches)) if trainer.state.fn == "fit" else int(sum(trainer.num_sanity_val_batches or batches))
        self._add("evaluation", total or None)
        self._images, self._since = 0, time.monotonic()

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Advance the bar of the evaluation."""
        self.bar.update(self._tasks["evaluation"], advance=1, note=self._speed(batch, trainer))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remove the bar of the evaluation."""
        self.bar.remove_task(self._tasks["evaluation"])
        if trainer.state.fn != "fit":
            self.bar.stop()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Close the bars."""
        self.bar.stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Close the bars, so that the error message is readable."""
        self.bar.stop()

    def _add(self, name: str, total: int | None, *, completed: int = 0, note: str = "") -> None:
        self._tasks[name] = self.bar.add_task(name, total=total, completed=completed, note=note)

    def _start_epoch(self, trainer: L.Trainer, done: int) -> None:
        name = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        batches = int(trainer.num_training_batches)
        self.bar.reset(self._tasks["epoch"], total=batches, completed=done, description=name, note="")
        self._images, self._since = 0, time.monotonic()

    def _speed(self, batch: Any, trainer: L.Trainer) -> str:
        """Images per second since the epoch or the evaluation began, with those of a batch that ended now."""
        self._images += len(batch[0]) * trainer.world_size
        return f"{self._images / max(1e-9, time.monotonic() - self._since):,.0f} images/s"
