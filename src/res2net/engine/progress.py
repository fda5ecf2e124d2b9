"""Progress bars of training and evaluation, with speed, loss and remaining time."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.progress import Progress, TaskID

from res2net.report.progress import progress_bar

__all__ = ["RunProgress"]


class RunProgress(L.Callback):
    """Shows progress bars for the run, the current epoch and evaluations, with images/s, loss and remaining time."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Progress | None = None
        self._run: TaskID | None = None
        self._epoch: TaskID | None = None
        self._images, self._since = 0, 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the bars."""
        self._open()
        assert self.bar is not None
        epochs, batches = trainer.max_epochs or 1, int(trainer.num_training_batches)
        # When a run resumes within an epoch, Lightning counts its last batch as ready but not as completed.
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready % batches
        self._run = self.bar.add_task(
            "run", total=epochs * batches, completed=trainer.current_epoch * batches + done, note="batches"
        )
        self._epoch = self.bar.add_task("epoch", total=batches, note="")
        self._start_epoch(trainer, done)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reset the bar of the epoch; Lightning does not call this when it resumes within an epoch."""
        self._start_epoch(trainer, 0)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance the bars."""
        assert self.bar is not None
        assert self._epoch is not None
        assert self._run is not None
        self._images += len(batch[0]) * trainer.world_size
        rate = self._images / max(1e-9, time.monotonic() - self._since)
        # Reading the loss from a GPU at every step would stall it.
        if outputs and (batch_idx % 10 == 0 or pl_module.device.type == "cpu"):
            loss = float(torch.as_tensor(outputs["loss"])) * trainer.accumulate_grad_batches  # Lightning divided it
            self.bar.update(self._epoch, note=f"{rate:,.0f} images/s, loss {loss:.3f}")
        self.bar.update(self._epoch, completed=batch_idx + 1)
        self.bar.advance(self._run)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add the bar of an evaluation."""
        self._open()
        assert self.bar is not None
        batches = trainer.num_val_batches or [0]
        total = int(sum(batches)) if trainer.state.fn == "fit" else int(sum(trainer.num_sanity_val_batches or batches))
        self._validation = self.bar.add_task("evaluation", total=total or None, note="")
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
        assert self.bar is not None
        self._images += len(batch[0]) * trainer.world_size
        rate = self._images / max(1e-9, time.monotonic() - self._since)
        self.bar.update(self._validation, advance=1, note=f"{rate:,.0f} images/s")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remove the bar of the evaluation."""
        assert self.bar is not None
        self.bar.remove_task(self._validation)
        if trainer.state.fn != "fit":
            self.close()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Close the bars."""
        self.close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Close the bars, so that the error message is readable."""
        self.close()

    def close(self) -> None:
        """Remove the bars."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _start_epoch(self, trainer: L.Trainer, done: int) -> None:
        assert self.bar is not None
        assert self._epoch is not None
        name = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        batches = int(trainer.num_training_batches)
        self.bar.reset(self._epoch, total=batches, completed=done, description=name, note="")
        self._images, self._since = 0, time.monotonic()

    def _open(self) -> None:
        if self.bar is None:
            self.bar = progress_bar(self.console)
            self.bar.start()
