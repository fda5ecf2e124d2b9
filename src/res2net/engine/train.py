"""Train a task by configuration: data, network, Lightning's loop, checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console

from res2net.backbones.base import Backbone
from res2net.engine.callbacks import GracefulStop, RandomState, RunRecorder
from res2net.engine.checkpoints import AtomicCheckpointIO, read_state
from res2net.engine.config import TrainConfig
from res2net.engine.evaluate import evaluate, workers_for
from res2net.engine.folder import RunFolder
from res2net.engine.lightning import make_trainer, quiet
from res2net.engine.module import TaskModule, describe_skipped
from res2net.engine.progress import RunProgress
from res2net.engine.restore import restore_task
from res2net.errors import InputError
from res2net.images.loader import TrainBatches, eval_loader, train_loader
from res2net.images.sources import DataSettings, DataSource
from res2net.task.base import TASKS, Evaluation, Task, backbone_of
from res2net.zoo import check_model_options, create_model, find_checkpoint, preprocessing_of

__all__ = ["Trained", "make_task", "open_data", "train"]


@dataclass(frozen=True)
class Trained:
    """A finished run: its folder, the table of its epochs, and the evaluation of its best weights."""

    folder: RunFolder
    rows: list[dict[str, float]]
    evaluation: Evaluation
    task: Task


def train(
    config: TrainConfig[Any],
    *,
    resume: RunFolder | None = None,
    console: Console | None = None,
    callbacks: Sequence[L.Callback] = (),
) -> Trained:
    """Train, evaluate the best weights, and leave everything in the run's folder.

    Args:
        config: of the run.
        resume: the folder of a run that was stopped; it goes on exactly, and `config` is its own.
        console: where progress is shown.
        callbacks: more callbacks of Lightning; they see a step before a stop is looked for.

    Raises:
        InputError: something in the configuration or the data is wrong; what was saved before stays.
        StoppedError: the run was asked to stop; its state is saved.
    """
    console = console or Console()
    L.seed_everything(config.seed, verbose=False)
    source = open_data(config)
    task = make_task(config, source)
    state = read_state(resume.state) if resume else None
    folder = resume or RunFolder.create(config)
    train_set, val_set = task.datasets(source)
    workers = workers_for(source) if config.data.workers is None else config.data.workers
    pin = torch.cuda.is_available() and config.accelerator != "cpu"
    batches = TrainBatches(len(train_set), config.data.batch_size, seed=config.seed)
    if state:
        batches.start_at(**state["place"])
    backbone = backbone_of(task)
    loader = train_loader(train_set, batches, workers=workers, pin=pin)
    val_loader = eval_loader(val_set, config.data.batch_size, workers=workers, pin=pin)
    console.print(
        f"{backbone.variant_name or type(backbone).__name__}: {len(train_set):,} {task.scoring.samples} "
        f"to train, {len(val_set):,} to validate, {len(source.class_names)} classes; run folder {folder.path}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    # A single image is too few for batch normalisation, unless that is what was chosen.
    min_batch = min(2, batches.batch_size)
    module = TaskModule(task, config.optim, channels_last=config.channels_last, min_batch=min_batch)
    if config.compile:
        task.model.compile()
    recorder = RunRecorder(folder, config, console)
    every: list[L.Callback] = [recorder, RunProgress(console), RandomState()]
    if config.optim.ema:
        every.append(EMAWeightAveraging(decay=config.optim.ema))
    every += [*callbacks, GracefulStop(folder, loader, console)]
    trainer = make_trainer(
        config.accelerator,
        config.precision,
        max_epochs=config.optim.epochs,
        accumulate_grad_batches=config.optim.accumulate,
        # Where networks take turns, the module clips: Lightning leaves that to it.
        gradient_clip_val=(config.optim.clip or None) if module.automatic_optimization else None,
        callbacks=every,
        logger=TensorBoardLogger(folder.path, name="", version="tensorboard"),
        plugins=[AtomicCheckpointIO()],
    )
    with closing(val_loader):
        with quiet(), closing(loader):
            trainer.fit(module, loader, val_loader, ckpt_path=str(folder.state) if resume else None)
        if module.skipped:
            skipped = [f"{path} ({reason})" for path, reason in module.skipped.items()]
            console.print(describe_skipped(skipped), highlight=False, markup=False, soft_wrap=True)
        best, _ = restore_task(folder.best)
        evaluation = evaluate(
            best,
            val_loader,
            precision=config.precision,
            accelerator=config.accelerator,
            channels_last=config.channels_last,
            console=console,
        )
    return Trained(folder, recorder.rows, evaluation, best)


def open_data(config: TrainConfig[Any]) -> DataSource:
    """The images of a run."""
    data = config.data
    settings = DataSettings(data.val_fraction, config.seed, data.bad_images, data.bad_annotations, data.decode)
    source = TASKS[config.task_name].open(config.source, settings, config.task)
    return source.overfit(data.overfit) if data.overfit else source


def make_task(config: TrainConfig[Any], source: DataSource) -> Task:
    """The task that a configuration describes, for the data of a source."""
    model = config.model
    options: dict[str, Any] = dict(model.options)
    check_model_options(model.model, options)
    if fixed := [option for option in ("num_classes", "in_channels") if option in options]:
        raise InputError(f"The options of the model cannot set {fixed[0]}, which the data decide: leave it out.")
    preprocessing = source.preprocessing
    if model.weights is not None:
        checkpoint = find_checkpoint(model.model, model.weights)
        preprocessing = preprocessing_of(checkpoint) or preprocessing
        options |= {
            "weights": checkpoint,
            "adapt_classifier": model.adapt_classifier,
            "adapt_input": model.adapt_input,
        }
    if config.data.size is not None:
        preprocessing = replace(preprocessing, size=config.data.size)

    def create(num_classes: int, in_channels: int | None = None, output_stride: int | None = None) -> Backbone:
        # A network without a classifier needs none of that of the weights; channels that a task adds are new to them.
        chosen = options | ({"adapt_classifier": True} if num_classes == 0 else {})
        if in_channels is not None and model.weights is not None:
            chosen["adapt_input"] = "zeros"
        if output_stride is not None:
            chosen["output_stride"] = output_stride
        channels = in_channels or len(preprocessing.mean)
        return create_model(model.model, in_channels=channels, num_classes=num_classes, **chosen)

    return TASKS[config.task_name].build(create, source, preprocessing, config.task)
