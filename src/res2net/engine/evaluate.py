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

MOST_WORKERS = 8


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
    """Run a task over a loader and compute its metrics, exactly as the evaluations within a run.

    Args:
        task: with trained weights.
        loader: of prepared images, in order.
        precision: "fp32", "bf16" or "fp16".
        accelerator: "cpu", "gpu", "mps" or "auto".
        channels_last: memory format of images.
        metric: of the task, to be looked into afterwards; by default a new one.
        console: where progress is shown; None shows nothing.
    """
    module = TaskModule(task, channels_last=channels_last, metric=metric)
    found = _Found()
    callbacks = [found, RunProgress(console)] if console else [found]
    trainer = make_trainer(accelerator, precision, callbacks=callbacks, logger=False)
    with quiet():
        trainer.validate(module, loader, verbose=False)
    assert found.evaluation is not None
    return found.evaluation


class _Found(L.Callback):
    """Takes what an evaluation found when it ends."""

    evaluation: Evaluation | None = None

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, TaskModule)
        self.evaluation = pl_module.evaluation()


def workers_for(source: DataSource) -> int:
    """Worker processes for data: one for each processor but one for files, none for images in memory.

    A data set of files has an attribute `reads_files` that is true.
    """
    if not getattr(source.train, "reads_files", False):
        return 0
    # Where a container gives fewer processors than the machine has, only some systems tell.
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, max(1, processors - 1))
