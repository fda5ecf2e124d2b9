"""Lightning's trainer configured for this library, and the evaluation of a task with it."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.callbacks import LambdaCallback
from torch.utils.data import DataLoader
from torchmetrics import Metric, MetricCollection

from res2net.console import Console
from res2net.engine.module import TaskModule
from res2net.engine.options import Accelerator
from res2net.engine.progress import RunProgress
from res2net.errors import InputError, check_choice
from res2net.images.sources import DataSource
from res2net.optional import muted
from res2net.task.base import Evaluation, Task

PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def make_trainer(accelerator: str, precision: str, **options: Any) -> L.Trainer:
    """Create a trainer for one device, without Lightning's own progress bars, summaries and checkpoints.

    The options are further arguments of `lightning.Trainer`.
    """
    check_choice("Precision", precision, PRECISION)
    check_choice("Accelerator", accelerator, Accelerator)
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
    if precision == "fp16" and on_cpu:
        raise InputError("Precision fp16 needs a GPU: choose --precision bf16 or fp32 on a CPU.")
    with quiet_lightning():
        try:
            return L.Trainer(
                accelerator=accelerator,
                devices=1,
                precision=PRECISION[precision],  # type: ignore[arg-type]
                enable_progress_bar=False,
                enable_model_summary=False,
                enable_checkpointing=False,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
                log_every_n_steps=10,
                **options,
            )
        except (MisconfigurationException, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"This machine cannot run that ({reason}): choose another --accelerator.") from error


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's messages that do not concern the user, and do not let it exit the program after a signal."""
    with warnings.catch_warnings(), ExitStack() as loggers:
        warnings.simplefilter("ignore", PossibleUserWarning)
        # Batches that are too small because of broken images are skipped on purpose.
        warnings.filterwarnings("ignore", message="`training_step` returned `None`")
        # Lightning 2.6 uses a type that torch 2.15 has renamed.
        warnings.filterwarnings("ignore", message=".*LeafSpec")
        for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
            loggers.enter_context(muted(name, logging.ERROR))
        try:
            yield
        except SystemExit as end:  # silently, and with status 0
            raise KeyboardInterrupt from end


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
    ended: list[Evaluation] = []
    capture = LambdaCallback(on_validation_epoch_end=lambda *_: ended.append(module.evaluation()))
    callbacks = [capture, *([RunProgress(console)] if console else [])]
    trainer = make_trainer(accelerator, precision, callbacks=callbacks, logger=False)
    with quiet_lightning():
        trainer.validate(module, loader, verbose=False)
    return ended[0]


def workers_for(source: DataSource) -> int:
    """The number of loader processes: all processors but one (at most 8) for files, none for images in memory.

    A data set that reads files has an attribute `reads_files` that is true.
    """
    if not getattr(source.train, "reads_files", False):
        return 0
    # Only some systems report how many processors a container may use.
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, max(1, processors - 1))
