"""Training that fails says so: losses that are no number, memory and disks that are too small, nothing learned."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from res2net.engine.config import TrainConfig
from res2net.engine.folder import RunFolder
from res2net.errors import InputError, listed
from res2net.weights.files import write_problem

DELAY = 10
"""Steps between two looks at the losses on a GPU, which each look makes wait."""
SHOWN = 4
"""Number of samples that are named at most."""
NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "unable to allocate",
)
"""Parts of the messages of torch, NumPy and the system about too little memory, in lower case."""
NO_SHARED_MEMORY = ("bus error", "unable to write to file </torch_", "unable to mmap", "shared memory")
"""Parts of the messages about too little shared memory, through which workers pass batches."""
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)


class Step(NamedTuple):
    """What is known of a step until it is looked at."""

    epoch: int
    batch: int
    indices: Any
    """The indices of the samples of the batch."""
    clean: Tensor
    """Whether all values of the images are finite."""
    losses: list[Tensor]
    norms: list[Tensor]
    """The norms of the gradients."""


class FiniteWatch(L.Callback):
    """Ends a run whose loss, gradients or weights are NaN or infinite, before any of it is saved.

    On a CPU each step is looked at before it changes the weights; elsewhere every `DELAY` steps and before each save.
    It must come before the callback that saves.

    Args:
        config: the configuration of the run, for the advice.
        folder: the folder of the run.
        samples: the names of the training samples by index; empty if they have none.
    """

    def __init__(self, config: TrainConfig[Any], folder: RunFolder, samples: Sequence[str]) -> None:
        self.config, self.folder, self.samples = config, folder, samples
        # Mixed precision with 16-bit floats scales losses until gradients are finite, and skips the steps before.
        self._scaled = config.precision == "fp16"
        self._steps: list[Step] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note the samples of the batch."""
        images, targets = batch
        clean = images.isfinite().all()
        self._steps.append(Step(trainer.current_epoch + 1, batch_idx + 1, targets.get("index", ()), clean, [], []))

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        """Note the loss."""
        self._steps[-1].losses.append(loss.detach())
        if loss.device.type == "cpu":
            self.look()

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        """Note the norm of the gradients."""
        if self._scaled:
            return
        gradients = [one.grad for group in optimizer.param_groups for one in group["params"] if one.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        self._steps[-1].norms.append(norm.detach())
        if norm.device.type == "cpu":
            self.look()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the last steps if it is time to."""
        if len(self._steps) >= DELAY or pl_module.device.type == "cpu":
            self.look()
            del self._steps[:-1]  # the last one is named if the weights turn out to be broken

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Look at the last steps and at the weights, so that nothing else is ever saved."""
        self.look()
        tensors = [one.detach() for one in (*pl_module.parameters(), *pl_module.buffers()) if one.is_floating_point()]
        if tensors and not torch.stack([one.isfinite().all() for one in tensors]).all():
            raise self._error("Weights became NaN or infinite", self._steps[-1] if self._steps else None)

    def look(self) -> None:
        """Raise `InputError` if a value of the noted steps is NaN or infinite; of a scaled loss, if all are."""
        values = [(step, "loss", one) for step in self._steps for one in step.losses]
        values += [(step, "gradient", one) for step in self._steps for one in step.norms]
        if not values:
            return
        finite = torch.stack([one.float() for _, _, one in values]).isfinite().tolist()
        if all(finite) or (self._scaled and (any(finite) or len(self._steps) < DELAY)):
            return
        step, what, value = values[finite.index(False)]
        raise self._error(f"The {what} became {'NaN' if value.isnan() else 'infinite'}", step)

    def _error(self, what: str, step: Step | None) -> InputError:
        where, inputs = "", ""
        if step is not None:
            indices = [int(one) for one in step.indices]
            names = [self.samples[one] if self.samples else f"sample {one}" for one in indices[:SHOWN]]
            more = f" and {len(indices) - SHOWN} more" if len(indices) > SHOWN else ""
            where = f" in epoch {step.epoch}, batch {step.batch} ({', '.join(names)}{more})"
            if not step.clean:
                inputs = "look at these images, which hold such values themselves, or "
        optim = self.config.optim
        advice = [f"lower --lr (now {optim.lr:g})", f"{'lower' if optim.clip else 'add'} --clip"]
        advice += [] if self.config.precision == "fp32" else ["use --precision fp32"]
        kept = next((one for one in (self.folder.best, self.folder.last) if one.exists()), None)
        good = f"; {kept} has the last good weights" if kept else ""
        return InputError(f"{what}{where}: {inputs}{', or '.join(advice)} and start again{good}.")


@contextmanager
def one_sentence(config: TrainConfig[Any], folder: RunFolder) -> Iterator[None]:
    """Turn too little memory and full or read-only disks within the block into an `InputError` with advice."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if isinstance(error, InputError):
            raise
        text = str(error).lower()
        if any(part in text for part in NO_SHARED_MEMORY):
            raise InputError(
                "The workers have too little shared memory to pass their batches (/dev/shm): enlarge it (docker run "
                "--shm-size 8g), or give --workers 0 or a smaller --batch-size."
            ) from error
        if isinstance(error, MemoryError) or any(part in text for part in NO_MEMORY):
            raise _out_of_memory(config) from error
        if "killed by signal: killed" in text:
            raise InputError(
                "The system killed a process that loads images, usually for want of memory: give fewer --workers or a "
                f"smaller --batch-size (now {config.data.batch_size})."
            ) from error
        if isinstance(error, OSError) and error.errno in DISK:
            raise write_problem(folder.path, error, "move the run folder to another disk and resume it") from error
        raise


def _out_of_memory(config: TrainConfig[Any]) -> InputError:
    size = "" if config.data.size is None else f" (now {config.data.size})"
    less = "" if config.precision != "fp32" else ", or --precision bf16"
    return InputError(
        f"Out of memory: lower --batch-size (now {config.data.batch_size}; --accumulate keeps the images of an update) "
        f"or --size{size}{less}."
    )


def start_notes(class_names: Sequence[str], chance: float) -> list[str]:
    """What to say before a run that cannot learn anything from its data."""
    if chance < 100:
        return []
    return [
        f"All samples to validate have the same answer ({listed(class_names)}), so that any network scores 100 %: the "
        "scores of this run mean nothing."
    ]


def end_notes(
    rows: Sequence[Mapping[str, float]], score: str, chance: float, config: TrainConfig[Any], trained_on: str
) -> list[str]:
    """What to say after a run that learned nothing from its data.

    Args:
        rows: the metrics of each epoch.
        score: name of the score that decides which epoch is the best.
        chance: the score in percent that needs no learning.
        config: the configuration of the run.
        trained_on: what the run was trained on, such as "80 images of 2 classes".
    """
    found = []
    losses = [row["train_loss"] for row in rows]
    if len(losses) > 1 and min(losses[1:]) >= losses[0]:
        found.append(f"its training loss never fell below that of the first epoch ({losses[0]:.4g})")
    scores = [row[f"val_{score}"] for row in rows if f"val_{score}" in row]
    best = max((one for one in scores if one == one), default=None)
    if best is not None and best <= chance < 100:
        level = (
            "is 0" if best == chance == 0 else f"{best:.2f} % is no better than {chance:.2f} %, which needs no learning"
        )
        found.append(f"its best {score} {level}")
    if not found:
        return []
    return [
        f"The run seems to have learned nothing: {' and '.join(found)}. It saw {trained_on} for {len(rows)} epochs at "
        f"--lr {config.optim.lr:g}: check the labels with `res2net data check`, change --lr, or train for longer."
    ]
