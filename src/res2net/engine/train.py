"""Training runs: build the task of a configuration, train it with Lightning, and evaluate its best weights."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from res2net.backbones.base import Backbone
from res2net.console import Console
from res2net.engine.callbacks import RandomState, RunRecorder, WarmingAverage, early_stopping
from res2net.engine.config import TrainConfig, size_and_options
from res2net.engine.data_tools import tasks_reading
from res2net.engine.evaluate import evaluate, make_trainer, quiet_lightning, workers_for
from res2net.engine.folder import RunFolder
from res2net.engine.health import FiniteWatch, end_notes, one_sentence, start_notes
from res2net.engine.loggers import make_logger
from res2net.engine.module import TaskModule, describe_skipped
from res2net.engine.progress import RunProgress
from res2net.engine.restore import read_alpha, restore_task
from res2net.engine.resume import Start, begin, fit_from, go_on, read_run
from res2net.engine.state import AtomicCheckpointIO, RunRecord
from res2net.engine.stop import GracefulStop, stop_at_once
from res2net.errors import InputError
from res2net.images.folder import enlargement_note
from res2net.images.loader import TrainBatches, eval_loader, train_loader
from res2net.images.sources import DataSource
from res2net.images.splits import DataSettings
from res2net.task.base import TASKS, Evaluation, Task, backbone_of
from res2net.weights import Preprocessing, read_checkpoint
from res2net.zoo import check_model_options, create_model, find_checkpoint, is_file, preprocessing_of, saved_model

DEFAULT_MODEL = "res2net50_26w_4s"
"""The architecture where neither the user nor the weights name one."""
DECIDED_BY_DATA = ("num_classes", "in_channels")
"""Options of a backbone that the user cannot set."""


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
    source: DataSource
    """The data it was trained and evaluated on."""


def train(
    config: TrainConfig[Any],
    *,
    resume: RunFolder | None = None,
    accept_changed_data: bool = False,
    console: Console | None = None,
    callbacks: Sequence[L.Callback] = (),
) -> Trained:
    """Train a task, then evaluate its best weights. Checkpoints, metrics and logs are written to the run's folder.

    Args:
        config: configuration of the run.
        resume: the folder of an interrupted run to resume bit-exactly, or of a finished one to train for more epochs;
            `config` must be the configuration of that run but for the options in `RESUMABLE`.
        accept_changed_data: resume with other samples of the same classes.
        console: where progress is shown.
        callbacks: additional Lightning callbacks; they run before the callback that saves and handles signals.

    Raises:
        InputError: the configuration or the data are invalid, or the run fails; checkpoints written before are kept.
        StoppedError: the run was asked to stop; its state has been saved.
    """
    console = console or Console()
    config = with_model(config)
    L.seed_everything(config.seed, verbose=False)
    with ExitStack() as held:
        if resume is None:
            source = open_data(config)
            task = make_task(config, source)
            folder = RunFolder.create(config)
            held.callback(folder.release)
            start = begin(folder, config, task, source)
        else:
            folder = resume
            folder.acquire()
            held.callback(folder.release)
            state, record = read_run(folder, config)
            source = open_data_again(config, folder)
            task = make_task(config, source, record)
            start = go_on(folder, config, task, source, state, accept_changed_data=accept_changed_data)
        with one_sentence(config, folder):
            return _train(config, folder, task, source, start, console, callbacks)


def _train(
    config: TrainConfig[Any],
    folder: RunFolder,
    task: Task,
    source: DataSource,
    start: Start,
    console: Console,
    callbacks: Sequence[L.Callback],
) -> Trained:
    """Train in a locked folder whose files belong to the configuration."""
    train_set, val_set = task.datasets(source)
    workers = workers_for(source) if config.data.workers is None else config.data.workers
    pin = torch.cuda.is_available() and config.accelerator != "cpu"
    batches = TrainBatches(len(train_set), config.data.batch_size, seed=config.seed)
    batches.start_at(start.place.epoch, start.place.batch)
    if config.optim.accumulate > len(batches):
        # The gradients of the few batches would be divided by a number of batches that never come.
        raise InputError(
            f"--accumulate {config.optim.accumulate} is out of range: give 1 to the {len(batches)} batches of an epoch."
        )
    backbone = backbone_of(task)
    loader = train_loader(train_set, batches, workers=workers, pin=pin)
    val_loader = eval_loader(val_set, config.data.batch_size, workers=workers, pin=pin)
    enlarged = enlargement_note(source.train, task.preprocessing.size) if task.inputs.resized else ""
    chance = task.scoring.chance(source)
    notes = (*source.notes, enlarged, *start.notes, *start_notes(source.class_names, chance))
    for note in filter(None, notes):
        console.out(note, highlight=False)
    trained_on = f"{len(train_set):,} {task.scoring.samples}"
    console.out(
        f"{backbone.variant_name or type(backbone).__name__}: {trained_on} "
        f"to train, {len(val_set):,} to validate ({source.val_about}), {len(source.class_names)} classes; "
        f"run folder {folder.path}",
        highlight=False,
    )
    # Batch normalisation needs at least two images, unless the user chose a batch size of 1.
    min_batch = min(2, batches.batch_size)
    module = TaskModule(task, config.optim, channels_last=config.channels_last, min_batch=min_batch)
    if start.new_schedule:
        per_epoch = math.ceil(len(batches) / config.optim.accumulate)
        module.updates_before = start.place.epoch * per_epoch + start.place.batch // config.optim.accumulate
    if config.compile:
        task.model.compile()
    recorder = RunRecorder(folder, config, start.record, console)
    # Where a task makes its own samples, such as one for each box, their indices are not those of the images.
    names = [key.name if key.sizes else f"sample {index}" for index, key in enumerate(start.keys["train"])]
    names = names if len(train_set) == len(source.train) else []
    all_callbacks: list[L.Callback] = [recorder, RunProgress(console), RandomState()]
    if config.optim.ema:
        all_callbacks.append(WarmingAverage(config.optim.ema))
    if config.patience:
        all_callbacks.append(early_stopping(config.patience))
    all_callbacks += [
        FiniteWatch(config, folder, names),
        *callbacks,
        GracefulStop(folder, loader, console, config.save_minutes),
    ]
    trainer = make_trainer(
        config.accelerator,
        config.precision,
        max_epochs=config.optim.epochs,
        accumulate_grad_batches=config.optim.accumulate,
        # Lightning does not clip under manual optimisation; `TaskModule` does it there.
        gradient_clip_val=(config.optim.clip or None) if module.automatic_optimization else None,
        callbacks=all_callbacks,
        logger=make_logger(config.logger, folder),
        plugins=[AtomicCheckpointIO()],
    )
    with closing(val_loader):
        with quiet_lightning(), closing(loader):
            if start.state is None:
                trainer.fit(module, loader, val_loader)
            else:
                fit_from(folder.state, start.state, trainer, module, loader, val_loader)
        if trainer.should_stop:
            console.out(
                f"Stopped early: {task.scoring.monitor} was not better in {config.patience} evaluations in a row.",
                highlight=False,
            )
        if module.skipped:
            skipped = [f"{path} ({reason})" for path, reason in module.skipped.items()]
            console.out(describe_skipped(skipped), highlight=False)
        if not folder.best.exists():
            console.out(
                f"No evaluation of this training had a number for {task.scoring.monitor}, so that no weights are the "
                f"best: those of the last evaluation are in {folder.last}.",
                highlight=False,
            )
        best, _ = restore_task(folder.weights)
        with stop_at_once(lambda: folder.path):
            evaluation = evaluate_as_trained(best, val_loader, config, console)
    trained_on = f"{trained_on} of {len(source.class_names)} classes"
    for note in end_notes(recorder.rows, task.scoring.monitor, chance, config, trained_on):
        console.out(note, highlight=False)
    return Trained(folder, recorder.rows, evaluation, best, source)


def evaluate_as_trained(
    task: Task, loader: DataLoader[Any], config: TrainConfig[Any], console: Console | None
) -> Evaluation:
    """Evaluate a task of a run on the device, in the precision and in the memory format of its training."""
    return evaluate(
        task,
        loader,
        precision=config.precision,
        accelerator=config.accelerator,
        channels_last=config.channels_last,
        console=console,
    )


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
    try:
        source = TASKS[config.task_name].open(config.source, settings, config.task)
    except InputError as error:
        others = tasks_reading(config.source)
        if not others or config.task_name in others:
            raise
        task = "" if others[0] == "classify" else f"{others[0]} "
        raise InputError(
            f"{str(error).rstrip('.')}; the task {' or '.join(others)} reads it, as `res2net train {task}"
            f"{config.source}`."
        ) from error
    return source.overfit(data.overfit) if data.overfit else source


def open_data_again(config: TrainConfig[Any], folder: RunFolder) -> DataSource:
    """Open the data source of a run that is resumed; if it is gone, `InputError` says how to state its new place."""
    try:
        return open_data(config)
    except InputError as error:
        if Path(config.source).exists() or "no data set of that name" not in str(error):
            raise
        raise InputError(
            f"The data {config.source!r} of the run in {folder.path} are not there: say where they are now with "
            f"--resume {folder.path} SOURCE."
        ) from error


def with_model(config: TrainConfig[Any]) -> TrainConfig[Any]:
    """Name the architecture where a configuration leaves it open: that of its weights, otherwise the default."""
    if config.model.model:
        return config
    weights = config.model.weights
    found = saved_model(read_checkpoint(weights)) if weights is not None and is_file(weights) else None
    return replace(config, model=replace(config.model, model=found or DEFAULT_MODEL))


def make_task(config: TrainConfig[Any], source: DataSource, record: RunRecord | None = None) -> Task:
    """Create the untrained task that a configuration describes, for a data source.

    With the record of a run that is resumed, the network and the preprocessing are those of the run, without the
    weights that it began with, which may be gone.
    """
    model = config.model
    if record is not None:
        own = {name: value for name, value in record.model["options"].items() if name not in DECIDED_BY_DATA}
        model = replace(model, model=record.model["model"], options=own, weights=None)
    options: dict[str, Any] = dict(model.options)
    check_model_options(model.model, options)
    if fixed := [option for option in DECIDED_BY_DATA if option in options]:
        raise InputError(f"The options of the model cannot set {fixed[0]}, which the data decide: leave it out.")
    preprocessing = source.preprocessing if record is None else Preprocessing.from_dict(record.preprocessing)
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

    if (channels := config.data.in_channels) not in (None, len(preprocessing.mean)):
        # Grey and opacity are between the colours.
        mean, std = (statistics.fmean(values) for values in (preprocessing.mean, preprocessing.std))
        kept = 3 if (channels, len(preprocessing.mean)) == (4, 3) else 0
        preprocessing = replace(
            preprocessing,
            mean=(*preprocessing.mean[:kept], *(mean,) * (channels - kept)),
            std=(*preprocessing.std[:kept], *(std,) * (channels - kept)),
        )
        # The weights of colours stay those of colours: added opacity begins with zero weights.
        options |= {"adapt_input": "zeros" if kept else True} if model.weights is not None else {}

    def create(num_classes: int, in_channels: int | None = None, output_stride: int | None = None) -> Backbone:
        # Without a classifier, drop that of the weights. Input channels that a task adds start with zero weights.
        arguments = options | ({"adapt_classifier": True} if num_classes == 0 else {})
        if in_channels is not None and model.weights is not None:
            arguments["adapt_input"] = "zeros"
        if output_stride is not None:
            arguments["output_stride"] = output_stride
        channels = in_channels or len(preprocessing.mean)
        return create_model(model.model, in_channels=channels, num_classes=num_classes, **arguments)

    task = TASKS[config.task_name].build(create, source, preprocessing, task_options)
    if channels == 4 and not (task.inputs.alpha and hasattr(source.train, "alpha")):
        what = f"{source.name} has no transparency" if task.inputs.alpha else f"{task.name} sees no transparency"
        raise InputError(f"{what}, so that a fourth channel would be empty: choose --in-channels 1 or 3.")
    read_alpha(task, source)
    return task
