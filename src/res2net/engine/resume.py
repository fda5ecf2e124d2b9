"""How a run starts: anew, or from the state of an interrupted one, which must be the same run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from res2net.engine.changes import changed_options
from res2net.engine.config import FALLING, RESUMABLE, TrainConfig, read_config
from res2net.engine.folder import RunFolder
from res2net.engine.identity import (
    Keys,
    accept,
    check_folder,
    compare_data,
    make_record,
    split_keys,
    write_config,
    write_samples,
)
from res2net.engine.module import TaskModule, plan_of
from res2net.engine.state import AtomicCheckpointIO, Place, RunRecord, part, read_state
from res2net.errors import InputError
from res2net.images.sources import DataSource
from res2net.task.base import Task


@dataclass(frozen=True)
class Start:
    """What a run starts from."""

    record: RunRecord
    keys: Keys
    """The samples of each split."""
    place: Place
    """The epoch and the batch that are next."""
    new_schedule: bool = False
    """Whether the schedule is another than that of the state."""
    notes: Sequence[str] = ()
    """What to print."""
    state: dict[str, Any] | None = None
    """The state to go on from; None for a new run."""


def begin(folder: RunFolder, config: TrainConfig[Any], task: Task, source: DataSource) -> Start:
    """Start a new run in its folder."""
    keys = split_keys(source)
    record = make_record(config, task, keys)
    write_samples(folder, keys, record)
    return Start(record, keys, Place(0, 0))


def read_run(folder: RunFolder, config: TrainConfig[Any]) -> tuple[dict[str, Any], RunRecord]:
    """Read the state of an interrupted run and its record.

    Raises:
        InputError: the state is damaged, is of another run, the configuration in the folder was edited, or `config`
            changes options of the run that cannot change.
    """
    state = read_state(folder.state)
    record: RunRecord = part(state, "run")
    on_disk = read_config(folder.config)
    check_folder(folder, record, on_disk)
    check_resumable(folder, on_disk, config)
    return state, record


def check_resumable(folder: RunFolder, before: TrainConfig[Any], config: TrainConfig[Any]) -> None:
    """Raise `InputError` if a configuration changes options that a resumed run keeps."""
    fixed = [name for name in changed_options(before, config) if name not in RESUMABLE]
    if "out" in fixed and Path(config.out or "").absolute() == folder.path.absolute():
        fixed.remove("out")
    if fixed:
        shown = ", ".join(f"--{name.replace('_', '-')}" for name in fixed)
        raise InputError(
            f"A resumed run keeps {shown}: leave that out of --resume {folder.path} (only SOURCE and "
            f"{', '.join(name.replace('_', '-') for name in RESUMABLE[1:])} may change), or start a new run with "
            f"--weights {folder.best}."
        )


def go_on(
    folder: RunFolder,
    config: TrainConfig[Any],
    task: Task,
    source: DataSource,
    state: dict[str, Any],
    *,
    accept_changed_data: bool,
) -> Start:
    """Compare an interrupted run with what it goes on with, and write what was accepted to its folder.

    Args:
        folder: the folder of the run.
        config: the configuration, possibly with other values of the options in `RESUMABLE`.
        task: the untrained task; its facts become those of the run.
        source: the data.
        state: the state of the run.
        accept_changed_data: go on with other samples of the same classes.

    Raises:
        InputError: the data are not those of the run, or it has more epochs behind it than it is to have.
    """
    record: RunRecord = part(state, "run")
    place: Place = part(state, "place")
    epochs, planned = config.optim.epochs, int(record.config["optim"]["epochs"])
    trained = place.epoch + (1 if place.batch else 0)
    if epochs < trained:
        part_of = " and a part of the next" if place.batch else ""
        raise InputError(
            f"The run in {folder.path} has trained for {place.epoch} epochs{part_of}, and --epochs is {epochs}: give "
            f"{trained} or more."
        )
    keys = split_keys(source)
    changes = compare_data(folder, record, task.facts, keys)
    notes = [accept(folder, changes, source, accept_changed_data=accept_changed_data)]
    if changes.unread:
        notes.append(
            f"{folder.samples} has no contents of files, so that only names, sizes and labels were compared: an image "
            "that was exchanged for another of the same size was not noticed; from now on it is."
        )
    task.facts = dict(record.facts)
    if "train" in changes.splits and place.batch:
        place = Place(place.epoch, 0)
        notes.append(f"Epoch {place.epoch + 1} starts again, since its samples changed.")
        _restart_epoch(state)
    if epochs != planned and config.optim.schedule in (*FALLING, "one-cycle"):
        notes.append(
            f"The schedule {config.optim.schedule} is now that of {epochs} epochs instead of {planned}, from epoch "
            f"{place.epoch + 1} on: the learning rate there is another than it would have been."
        )
    counters = state["res2net"]
    lost = bool(counters["best"]) and not folder.best.exists()
    if lost:
        counters["best"] = {}
        notes.append(f"{folder.best} is missing: the best epoch from here on takes its place.")
    now = replace(make_record(config, task, keys, record.id), model=record.model)
    if now != record or changes.splits or changes.unread or lost:
        state["run"] = vars(now)
        AtomicCheckpointIO().save_checkpoint(state, folder.state)
        write_samples(folder, keys, now)
        write_config(folder, config)
    new_schedule = epochs != planned or "train" in changes.splits
    return Start(now, keys, place, new_schedule, notes, state)


def _restart_epoch(state: dict[str, Any]) -> None:
    """Let a state within an epoch go on at the beginning of that epoch."""
    state["place"] = {"epoch": state["place"]["epoch"], "batch": 0}
    counters = state["res2net"]
    counters |= {"loss": torch.zeros_like(counters["loss"]), "images": 0, "batches": 0, "seconds": 0.0}
    progress = state["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    progress["current"] = dict.fromkeys(progress["current"], 0)
    progress["total"]["completed"] = progress["total"]["processed"]
    progress["is_last_batch"] = False


def fit_from(
    path: Path,
    state: dict[str, Any],
    trainer: L.Trainer,
    module: TaskModule,
    loader: DataLoader[Any],
    val_loader: DataLoader[Any],
) -> None:
    """Train on from the state in a file; raises `InputError` if it does not fit the network or contradicts itself."""
    found, expected = state["state_dict"], module.state_dict()
    for name in dict.fromkeys((*expected, *found)):
        if _kind(found.get(name)) != _kind(expected.get(name)):
            raise _misfit(path, f"{name} is not as in the network")
    check = _CheckRestored(path, state)
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    callbacks.insert(0, check)
    try:
        trainer.fit(module, loader, val_loader, ckpt_path=str(path))
    except Exception as error:  # whatever does not fit, the answer is the same
        if check.passed or isinstance(error, InputError):
            raise
        raise _misfit(
            path, str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        ) from error


class _CheckRestored(L.Callback):
    """Compares the parts of a restored state with each other before the first step."""

    def __init__(self, path: Path, state: dict[str, Any]) -> None:
        self.path, self.state = path, state
        self.passed = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check counts, rates and shapes."""
        assert isinstance(pl_module, TaskModule)
        state = self.state
        place: Place = part(state, "place")
        counters = part(state, "res2net")
        progress = trainer.fit_loop.epoch_loop.batch_progress.current
        accumulate = trainer.accumulate_grad_batches
        updates = place.epoch * math.ceil(trainer.num_training_batches / accumulate) + place.batch // accumulate
        rows = place.epoch - (1 if counters.pending else 0)
        faults = {
            "the epochs of its table": [row.get("epoch") for row in counters.rows] != list(range(1, rows + 1)),
            # A state at the end of an epoch counts that epoch as the present one.
            "its epoch": trainer.current_epoch != place.epoch
            or state["epoch"] not in (place.epoch, place.epoch - (place.batch == 0)),
            "its batch": place.batch > 0 and progress.ready != place.batch,
            "its number of updates": state["global_step"] != trainer.global_step,
        }
        configs = trainer.lr_scheduler_configs
        for optimizer, config, plan in zip(trainer.optimizers, configs, pl_module.plans, strict=True):
            rates = [group["lr"] for group in optimizer.param_groups]
            faults["its learning rates"] = rates != list(config.scheduler.get_last_lr())
            faults["its schedule"] = pl_module.updates_before is None and (
                config.scheduler.last_epoch != updates or plan_of(optimizer, config.scheduler) != plan
            )
            faults["the state of its optimizer"] = not all(
                _fits(parameter, kept) for parameter, kept in optimizer.state.items()
            )
        wrong = next((what for what, is_wrong in faults.items() if is_wrong), None)
        if wrong is not None:
            raise _misfit(self.path, f"{wrong} and the rest disagree")
        self.passed = True


def _kind(value: Any) -> Any:
    """Shape and type of a tensor."""
    return (value.shape, value.dtype) if isinstance(value, Tensor) else None


def _fits(parameter: Tensor, state: dict[str, Any]) -> bool:
    """Whether what an optimizer keeps for a parameter has its shape, or is a number or nothing."""
    return all(
        value.shape == parameter.shape or value.numel() == 1
        if isinstance(value, Tensor)
        else isinstance(value, int | float | None)
        for value in state.values()
    )


def _misfit(path: Path, reason: str) -> InputError:
    return InputError(f"{path} does not fit the run ({reason}): start a new one from best.safetensors instead.")
