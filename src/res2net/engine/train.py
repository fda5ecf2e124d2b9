"""Training runs: build the task of a configuration, train it with Lightning, and evaluate its best weights."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger

from res2net.backbones.base import Backbone
from res2net.console import Console
from res2net.engine.callbacks import AtomicCheckpointIO, GracefulStop, RandomState, RunRecorder, read_state
from res2net.engine.config import TrainConfig, size_and_options
from res2net.engine.evaluate import evaluate, make_trainer, quiet_lightning, workers_for
from res2net.engine.folder import RunFolder
from res2net.engine.module import TaskModule, describe_skipped
from res2net.engine.progress import RunProgress
from res2net.engine.restore import restore_task
from res2net.errors import InputError
from res2net.images.folder import enlargement_note
from res2net.images.loader import TrainBatches, eval_loader, train_loader
from res2net.images.sources import DataSource
from res2net.images.splits import DataSettings
from res2net.task.base import TASKS, Evaluation, Task, backbone_of
from res2net.zoo import check_model_options, create_model, find_checkpoint, preprocessing_of


@dataclass(frozen=True)
class Trained:
    """The outcome of a finished run; `res2net.engine.report` turns it into the report."""

    folder: RunFolder
    rows: list[dict[str, float]]
    """The metrics of each epoch, as in `metrics.csv`."""
    evaluation: Evaluation
    """The evaluation of the best weights on the validation samples."""
    task: Task
    """The task with its best weights."""


def train(
    config: TrainConfig[Any],
    *,
    resume: RunFolder | None = None,
    console: Console | None = None,
    callbacks: Sequence[L.Callback] = (),
) -> Trained:
    """Train a task, then evaluate its best weights. Checkpoints, metrics and logs are written to the run's folder.

    Args:
        config: configuration of the run.
        resume: the folder of an interrupted run to resume bit-exactly; `config` must be the configuration of that run.
        console: where progress is shown.
        callbacks: additional Lightning callbacks; they run before the callback that handles Ctrl-C and SIGTERM.

    Raises:
        InputError: the configuration or the data are invalid; checkpoints written before are kept.
        StoppedError: the run was asked to stop; its state has been saved.
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
    enlarged = enlargement_note(source.train, task.preprocessing.size) if task.inputs.resized else ""
    for note in filter(None, (*source.notes, enlarged)):
        console.out(note, highlight=False)
    console.out(
        f"{backbone.variant_name or type(backbone).__name__}: {len(train_set):,} {task.scoring.samples} "
        f"to train, {len(val_set):,} to validate ({source.val_about}), {len(source.class_names)} classes; "
        f"run folder {folder.path}",
        highlight=False,
    )
    # Batch normalisation needs at least two images, unless the user chose a batch size of 1.
    min_batch = min(2, batches.batch_size)
    module = TaskModule(task, config.optim, channels_last=config.channels_last, min_batch=min_batch)
    if config.compile:
        task.model.compile()
    recorder = RunRecorder(folder, config, console)
    all_callbacks: list[L.Callback] = [recorder, RunProgress(console), RandomState()]
    if config.optim.ema:
        all_callbacks.append(EMAWeightAveraging(decay=config.optim.ema))
    all_callbacks += [*callbacks, GracefulStop(folder, loader, console)]
    trainer = make_trainer(
        config.accelerator,
        config.precision,
        max_epochs=config.optim.epochs,
        accumulate_grad_batches=config.optim.accumulate,
        # Lightning does not clip under manual optimisation; `TaskModule` does it there.
        gradient_clip_val=(config.optim.clip or None) if module.automatic_optimization else None,
        callbacks=all_callbacks,
        logger=TensorBoardLogger(folder.path, name="", version="tensorboard"),
        plugins=[AtomicCheckpointIO()],
    )
    with closing(val_loader):
        with quiet_lightning(), closing(loader):
            trainer.fit(module, loader, val_loader, ckpt_path=str(folder.state) if resume else None)
        if module.skipped:
            skipped = [f"{path} ({reason})" for path, reason in module.skipped.items()]
            console.out(describe_skipped(skipped), highlight=False)
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
    """Open the data source of a run."""
    data = config.data
    settings = DataSettings(
        val_fraction=data.val_fraction,
        seed=config.seed,
        bad_images=data.bad_images,
        bad_annotations=data.bad_annotations,
        decode=data.decode,
        train_split=data.train_split,
        val_split=data.val_split,
    )
    source = TASKS[config.task_name].open(config.source, settings, config.task)
    return source.overfit(data.overfit) if data.overfit else source


def make_task(config: TrainConfig[Any], source: DataSource) -> Task:
    """Create the untrained task that a configuration describes, for a data source."""
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
    size, task_options = size_and_options(config)
    if size is not None:
        preprocessing = replace(preprocessing, size=size)

    def create(num_classes: int, in_channels: int | None = None, output_stride: int | None = None) -> Backbone:
        # Without a classifier, drop that of the weights. Input channels that a task adds start with zero weights.
        arguments = options | ({"adapt_classifier": True} if num_classes == 0 else {})
        if in_channels is not None and model.weights is not None:
            arguments["adapt_input"] = "zeros"
        if output_stride is not None:
            arguments["output_stride"] = output_stride
        channels = in_channels or len(preprocessing.mean)
        return create_model(model.model, in_channels=channels, num_classes=num_classes, **arguments)

    return TASKS[config.task_name].build(create, source, preprocessing, task_options)
