"""The Lightning module of a task."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler, OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from torchmetrics import Metric, MetricCollection

from res2net.engine.config import OptimConfig
from res2net.engine.optim import make_optimizer, make_schedule
from res2net.errors import InputError
from res2net.task.base import Evaluation, Task

Batch = tuple[Tensor, dict[str, Any]]

ONE_VALUE = "more than 1 value per channel"
"""Part of torch's error message when batch normalisation in training gets a single value per channel."""


class TaskModule(L.LightningModule):
    """Connects a task to Lightning's training and evaluation loops, and collects the results of evaluations.

    Without `optim` it only evaluates. Training skips batches that have fewer than `min_batch` images after broken
    images were left out.
    """

    def __init__(
        self,
        task: Task,
        optim: OptimConfig | None = None,
        *,
        channels_last: bool = True,
        metric: Metric | MetricCollection | None = None,
        min_batch: int = 2,
    ) -> None:
        super().__init__()
        self.min_batch = min_batch
        is_3d = any(parameter.ndim == 5 for parameter in task.parameters())
        memory_format = torch.channels_last_3d if is_3d else torch.channels_last
        self.task = task.to(memory_format=memory_format) if channels_last else task
        self.optim = optim
        self.channels_last = channels_last
        self.metric = task.metric() if metric is None else metric
        self.skipped: dict[str, str] = {}
        """Path and reason of each image that could not be read."""
        self.plans: list[Any] = []
        """What `plan_of` returned for each optimizer, before a state was restored."""
        self.evaluate_first = False
        """Whether training begins with the evaluation of the epoch before."""
        self.updates_before: int | None = None
        """Number of updates after which a resumed run begins a schedule anew, as other epochs or data need; None keeps
        the interrupted one."""
        self._records: list[dict[str, Tensor]] = []
        self._started = 0.0
        self._turns = task.turns()
        self.automatic_optimization = len(self._turns) == 1
        if not self.automatic_optimization and optim is not None and optim.accumulate > 1:
            raise InputError(
                f"The task {task.name} trains networks in turns, each with every batch: leave out --accumulate."
            )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """An optimizer for the learner of each turn, with a schedule over all updates of the run."""
        assert self.optim is not None
        steps = int(self.trainer.estimated_stepping_batches)
        configured: list[OptimizerLRSchedulerConfig] = []
        for turn in self._turns:
            optimizer = make_optimizer(turn.learner, self.optim)
            schedule = make_schedule(optimizer, self.optim, steps)
            self.plans.append(plan_of(optimizer, schedule))
            configured.append({"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}})
        return configured

    def on_train_start(self) -> None:
        """Prepare what a resumed run begins with: its schedule, and the evaluation of the epoch before."""
        if self.updates_before is not None:
            self._start_schedules(self.updates_before)
        if self.evaluate_first:
            loop = self.trainer.fit_loop.epoch_loop.val_loop
            loop.restarting = False  # the evaluation starts anew
            self.trainer.validating = True
            loop.run()
            self.trainer.training = True

    def _start_schedules(self, steps: int) -> None:
        """Replace the schedules by those of the present configuration, after a number of updates."""
        assert self.optim is not None
        total = int(self.trainer.estimated_stepping_batches)
        for optimizer, config in zip(self.trainer.optimizers, self.trainer.lr_scheduler_configs, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = self.optim.lr
            schedule = make_schedule(optimizer, self.optim, total)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the updates of these steps were made before
                for _ in range(steps):
                    schedule.step()
            config.scheduler = schedule

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move tensors to the device, and record the images that were skipped."""
        images, targets = batch
        targets = dict(targets)
        self.skipped.update((skipped.path, skipped.reason) for skipped in targets.pop("skipped", ()))
        memory_format = torch.channels_last if images.ndim == 4 and self.channels_last else torch.preserve_format
        return images.to(device, memory_format=memory_format, non_blocking=True), {
            name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            for name, value in targets.items()
        }

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """The loss of a batch, or None to skip a batch in which broken images left too few samples."""
        images, targets = batch
        if len(images) < self.min_batch:
            return None
        try:
            return self._step(images, targets)
        except ValueError as error:
            if ONE_VALUE not in str(error):
                raise
            raise InputError(
                "This network normalises over the images of a batch, which one alone does not allow: give "
                "--batch-size 2 or more."
            ) from error

    def _step(self, images: Tensor, targets: dict[str, Any]) -> Tensor:
        """The loss of a batch; where networks take turns, also update each of them."""
        if self.automatic_optimization:
            return self._total_loss(self._turns[0].losses(images, targets))
        totals = []
        optimizers, schedules = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizers, list)
        assert isinstance(schedules, list)
        for turn, optimizer, schedule in zip(self._turns, optimizers, schedules, strict=True):
            with self.toggled_optimizer(optimizer):
                total = self._total_loss(turn.losses(images, targets))
                optimizer.zero_grad()
                self.manual_backward(total)
                optimizer.step()
            schedule.step()
            totals.append(total.detach())
        return totals[0]

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the gradients of a turn's learner; with a single turn, Lightning does it."""
        if not self.automatic_optimization and self.optim is not None and self.optim.clip:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.optim.clip)

    def _total_loss(self, losses: dict[str, Tensor]) -> Tensor:
        """Log the terms of a loss by name, and return their sum."""
        self.log_dict({f"train/{name}": loss.detach() for name, loss in losses.items()})
        return torch.stack(list(losses.values())).sum()

    def on_validation_epoch_start(self) -> None:
        """Reset the metric and the records."""
        self.metric.reset()
        self._records = []
        self._started = time.monotonic()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the metric and collect the per-sample values."""
        images, targets = batch
        if len(images):
            records = self.task.validate(images, targets, self.metric) | {"index": targets["index"]}
            self._records.append({name: value.detach().cpu() for name, value in records.items()})

    def evaluation(self) -> Evaluation:
        """The result of the evaluation that just ended; raises `InputError` if none of the images could be read."""
        seconds = time.monotonic() - self._started
        skipped = tuple(self.skipped)
        if not self._records:
            raise InputError(f"No image to validate on could be read: fix {skipped[0]} and the others.")
        return evaluation_of(self.task, self._records, self.metric, skipped, seconds)


def plan_of(optimizer: Optimizer, schedule: LRScheduler) -> Any:
    """The settings of an optimizer and of its schedule, without what changes from step to step."""
    changing = {"params", "lr", "step"} | ({"betas", "momentum"} if isinstance(schedule, OneCycleLR) else set())
    groups = [
        {name: value for name, value in group.items() if name not in changing} for group in optimizer.param_groups
    ]
    return copy.deepcopy((groups, _constants(schedule.state_dict())))


def _constants(value: Any) -> Any:
    """The values of a schedule's state that do not count steps."""
    if isinstance(value, dict):
        counting = ("last_epoch", "_last_lr")
        return {
            name: _constants(one)
            for name, one in value.items()
            if name not in counting and not (name.startswith("_") and name not in ("_schedulers", "_milestones"))
        }
    return [_constants(one) for one in value] if isinstance(value, list | tuple) else value


def evaluation_of(
    task: Task,
    parts: Sequence[Mapping[str, Tensor]],
    metric: Metric | MetricCollection,
    skipped: Sequence[str] = (),
    seconds: float = 0.0,
) -> Evaluation:
    """Combine the per-sample values of all batches and the computed metric into an `Evaluation`."""
    records = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    loss = {"loss": float(records["loss"].mean())} if "loss" in records else {}
    scores: dict[str, float] = {}
    units: dict[str, str] = {}
    for name, value in metric.compute().items():
        unit = task.scoring.unit(name)
        scores[name] = float(value) * (100 if unit == "%" else 1)
        units |= {} if unit == "%" else {name: unit}
    return Evaluation(loss | scores, records, skipped, seconds, units)


def describe_skipped(skipped: Sequence[str]) -> str:
    """A sentence that counts the images that were skipped, with an example."""
    if len(skipped) == 1:
        return f"1 broken image was skipped: {skipped[0]}"
    return f"{len(skipped)} broken images were skipped, such as {skipped[0]}"
