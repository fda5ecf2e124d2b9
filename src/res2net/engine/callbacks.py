"""Callbacks of the training loop, and the checkpoints that they write."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, WeightAveraging
from torch import Tensor

from res2net._version import __version__
from res2net.console import Console
from res2net.engine.config import TrainConfig
from res2net.engine.folder import RunFolder
from res2net.engine.identity import backbone_metadata
from res2net.engine.module import TaskModule
from res2net.engine.restore import task_metadata
from res2net.engine.state import Counters, RunRecord
from res2net.task.base import Task
from res2net.weights import save


def save_task(
    path: Path, task: Task, metrics: dict[str, float], config: TrainConfig[Any], record: RunRecord | None = None
) -> None:
    """Write the weights of a task, with the metadata for evaluation and prediction in the header.

    Without a record, the weights are of no run.
    """
    metadata = backbone_metadata(task) | {
        "task": task.name,
        "class_names": list(task.class_names),
        "preprocessing": task.preprocessing.to_dict(),
        "metrics": metrics,
        "score": task.scoring.monitor,
        "precision": config.precision,
        "batch_size": config.data.batch_size,
        "channels_last": config.channels_last,
        "source": config.source,
        "val_fraction": config.data.val_fraction,
        "seed": config.seed,
        "decode": config.data.decode,
        "version": __version__,
    }
    if record is not None:
        metadata |= {"run": record.id, "data": {"train": record.train, "val": record.val}}
    save(path, task.model.state_dict(), metadata | task_metadata(task))


class RunRecorder(L.Callback):
    """Writes the metrics of each epoch, the best and the last weights, and the state to resume from.

    It must precede `EMAWeightAveraging` in the list of callbacks, so that it saves the averaged weights, which are in
    the network until the evaluation ends.
    """

    def __init__(self, folder: RunFolder, config: TrainConfig[Any], record: RunRecord, console: Console) -> None:
        self.folder, self.config, self.record, self.console = folder, config, record, console
        self.counters = Counters()
        self._since, self._lr = 0.0, 0.0

    @property
    def rows(self) -> list[dict[str, float]]:
        """The metrics of each epoch."""
        return list(self.counters.rows)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Let the module evaluate the epoch that was trained before the run was interrupted."""
        assert isinstance(pl_module, TaskModule)
        pl_module.evaluate_first = self.counters.pending

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start the clock at the first batch, also when a run resumes within an epoch."""
        self._lr = float(trainer.optimizers[0].param_groups[0]["lr"])
        if self._since == 0.0:
            self._since = time.monotonic()
        # Lightning asks for this after each batch; the last epoch is always evaluated.
        is_last = trainer.current_epoch + 1 == trainer.max_epochs
        trainer.check_val_every_n_epoch = 1 if is_last else self.config.validate_every

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the loss and the images of the batch to the counters."""
        counters = self.counters
        if outputs:
            loss: Tensor = torch.as_tensor(outputs["loss"]).detach()
            counters.loss = counters.loss.to(loss.device) + loss * self.config.optim.accumulate
            counters.batches += 1
        counters.images += len(batch[0]) * trainer.world_size
        if batch_idx + 1 == trainer.num_training_batches:
            self._stop_clock()
            counters.lr = self._lr
            counters.pending = True

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the epoch's row, and the weights if they are the best so far."""
        assert isinstance(pl_module, TaskModule)
        if trainer.state.fn != "fit":
            return
        evaluation = pl_module.evaluation()
        row = self._add_row(trainer, {f"val_{name}": value for name, value in evaluation.metrics.items()})
        row["seconds"] += evaluation.seconds
        score = f"val_{pl_module.task.scoring.monitor}"
        best = is_better(row, self.counters.best, score)
        if best:
            self.counters.best = row
        pl_module.log("score", row[score] if math.isfinite(row[score]) else -math.inf, logger=False)
        if trainer.is_global_zero:
            metrics = dict(evaluation.metrics)
            self.folder.write_metrics(self.rows)
            save_task(self.folder.last, pl_module.task, metrics, self.config, self.record)
            if best:
                save_task(self.folder.best, pl_module.task, metrics, self.config, self.record)
            line = self._epoch_line(row, trainer.max_epochs or 0, best, pl_module.task)
            self.console.out(line, highlight=False)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the row of an epoch without an evaluation, and the state to resume from."""
        assert isinstance(pl_module, TaskModule)
        if self.counters.pending:
            row = self._add_row(trainer, {})
            self.folder.write_metrics(self.rows)
            self.console.out(self._epoch_line(row, trainer.max_epochs or 0, False, pl_module.task), highlight=False)
        trainer.save_checkpoint(self.folder.state)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the record of the run, the table of epochs and the counters of the current epoch."""
        elapsed = time.monotonic() - self._since if self._since else 0.0
        counters = replace(self.counters, loss=self.counters.loss.cpu(), seconds=self.counters.seconds + elapsed)
        checkpoint["res2net"] = vars(counters)
        checkpoint["run"] = vars(self.record)

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore what `on_save_checkpoint` added."""
        self.counters = Counters(**checkpoint["res2net"])

    def _stop_clock(self) -> None:
        if self._since:
            self.counters.seconds += time.monotonic() - self._since
            self._since = 0.0

    def _add_row(self, trainer: L.Trainer, metrics: Mapping[str, float]) -> dict[str, float]:
        """Add the row of the epoch that was trained to the table, log it, and reset the counters."""
        counters = self.counters
        row = {
            "epoch": len(counters.rows) + 1,
            "lr": counters.lr,
            "train_loss": float(counters.loss) / max(1, counters.batches),
            "images_per_s": counters.images / max(1e-9, counters.seconds),
            "seconds": counters.seconds,
            **metrics,
        }
        self.counters = Counters([*counters.rows, row], counters.best)
        for logger in trainer.loggers:
            logger.log_metrics({name: value for name, value in row.items() if name != "epoch"}, trainer.global_step)
        return row

    def _epoch_line(self, row: dict[str, float], epochs: int, best: bool, task: Task) -> str:
        scoring = task.scoring
        metrics = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
        scores = "  ".join(
            f"{name} {value:.2f} {scoring.unit(name)}"
            for name, value in metrics.items()
            if name != "loss" and name in (scoring.headline or metrics)
        )
        scores = f"{scores} {scoring.note}".rstrip() if metrics else "not evaluated"
        loss = f"val loss {row['val_loss']:.3f}  " if "val_loss" in row else ""
        return (
            f"epoch {row['epoch']:>3}/{epochs}  train loss {row['train_loss']:.3f}  {loss}"
            f"{scores}  {row['images_per_s']:,.0f} images/s  {row['seconds']:.0f} s{'  best' if best else ''}"
        )


def is_better(row: Mapping[str, float], best: Mapping[str, float], score: str) -> bool:
    """Whether the score of an epoch is a number and higher than the best; one whose loss is NaN never is."""
    now, before = row.get(score, math.nan), best.get(score, -math.inf)
    return math.isfinite(now) and math.isfinite(row.get("val_loss", 0.0)) and now > before


class WarmingAverage(WeightAveraging):
    """An exponential moving average of the weights whose decay rises, so that short runs leave their start.

    The decay of update n, counted from 0, is min(decay, (1 + n) / (10 + n)), as in TensorFlow and timm.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
            rate = torch.clamp((1 + torch.as_tensor(count)) / (10 + torch.as_tensor(count)), max=decay)
            return rate * averaged + (1 - rate) * current

        super().__init__(use_buffers=True, avg_fn=average)


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

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Restore the states before an evaluation that the interrupted run had not ended."""
        self._restore()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Restore the states before the first batch."""
        self._restore()

    def _restore(self) -> None:
        if self._restored is not None:
            torch.set_rng_state(self._restored["cpu"])
            if self._restored["cuda"]:
                torch.cuda.set_rng_state_all(self._restored["cuda"])
            self._restored = None


def early_stopping(patience: int) -> EarlyStopping:
    """Stops a run after `patience` evaluations in a row without a better score."""
    return EarlyStopping("score", mode="max", patience=patience, check_finite=False, check_on_train_epoch_end=False)
