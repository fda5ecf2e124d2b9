"""Evaluate a task on data."""

from __future__ import annotations

import os
from typing import Any

import lightning as L
from rich.console import Console
from torch.utils.data import DataLoader
from torchmetrics import Metric, MetricCollection

from res2net.engine.lightning import make_trainer, quiet
from res2net.engine.module import TaskModule
from res2net.engine.progress import RunProgress
from res2net.images.sources import DataSource
from res2net.task.base import Evaluation, Task

__all__ = ["evaluate", "workers_for"]

MAX_WORKERS = 8


def evaluate(
    task: Task,
    loader: DataLoader[Any],
    *,
    precision: str = "fp32",
    accelerator: str = "auto",
    channels_last: bool = True,
    metric: Metric | MetricCollection | None = None,
    console: Console | None = None,
) -> Evaluation:
    """Run a task over a loader and compute its metrics, exactly as the evaluations during training do.

    Args:
        task: the trained task.
        loader: batches of transformed samples, in order.
        precision: "fp32", "bf16" or "fp16".
        accelerator: "cpu", "gpu", "mps" or "auto".
        channels_last: memory format of images.
        metric: the metric to update, if it is needed afterwards; by default a new one of the task.
        console: where progress is shown; None shows nothing.
    """
    module = TaskModule(task, channels_last=channels_last, metric=metric)
    capture = _EvaluationCapture()
    callbacks = [capture, RunProgress(console)] if console else [capture]
    trainer = make_trainer(accelerator, precision, callbacks=callbacks, logger=False)
    with quiet():
        trainer.validate(module, loader, verbose=False)
    assert capture.evaluation is not None
    return capture.evaluation


class _EvaluationCapture(L.Callback):
    """Stores the result of an evaluation when it ends."""

    evaluation: Evaluation | None = None

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, TaskModule)
        self.evaluation = pl_module.evaluation()


def workers_for(source: DataSource) -> int:
    """The number of loader processes: all processors but one (at most 8) for files, none for images in memory.

    A data set that reads files has an attribute `reads_files` that is true.
    """
    if not getattr(source.train, "reads_files", False):
        return 0
    # Only some systems report how many processors a container may use.
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MAX_WORKERS, max(1, processors - 1))
