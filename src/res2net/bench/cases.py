"""The cases of a benchmark: model, runtime, precision, batch size and image size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from res2net.errors import InputError, check_choice, check_range
from res2net.registry import Registry

__all__ = ["PRECISIONS", "RUNTIMES", "Case", "Device", "Precision", "Setting", "plan"]

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Runtime:
    """What a runtime supports."""

    precisions: tuple[Precision, ...]
    """The precisions that it computes in."""
    format: str | None = None
    """The format of `res2net.export` that it runs; None if it runs the network itself."""
    trains: bool = False
    """Whether it can train."""


RUNTIMES: Registry[Runtime] = Registry("Runtime")
"""The runtimes by name, in the order of tables and plots."""
RUNTIMES.add("eager", Runtime(("fp32", "bf16"), trains=True))
RUNTIMES.add("optimized", Runtime(("fp32", "bf16")))
RUNTIMES.add("compiled", Runtime(("fp32", "bf16"), trains=True))
RUNTIMES.add("onnx", Runtime(("fp32", "int8"), "onnx"))
RUNTIMES.add("openvino", Runtime(("fp32", "bf16", "int8"), "openvino"))
RUNTIMES.add("pt2", Runtime(("fp32",), "pt2"))


@dataclass(frozen=True)
class Case:
    """A measurement: one model in one runtime and precision."""

    model: str
    """Name of the model."""
    runtime: str
    """Name of a runtime of `RUNTIMES`."""
    precision: Precision
    """Precision of the computation."""
    batch: int
    """Images per call."""
    size: int
    """Side of the images in pixels."""
    training: bool = False
    """Whether a training step is measured instead of inference."""

    @property
    def group(self) -> tuple[bool, int]:
        """The key of the cases that this one is compared with."""
        return self.training, self.batch

    def __str__(self) -> str:
        what = "training" if self.training else "inference"
        return f"{self.model}, {self.runtime} {self.precision}, {what}, batch {self.batch}"


@dataclass(frozen=True)
class Setting:
    """The settings that all cases share."""

    threads: int
    """CPU threads."""
    channels_last: bool = True
    """Whether networks and images in torch are in channels-last memory format."""
    device: Device = "cpu"
    """Device of networks and images in torch."""


def plan(
    models: Sequence[str],
    runtimes: Sequence[str],
    precisions: Sequence[Precision],
    *,
    batches: Sequence[int],
    size: int,
    train: tuple[int, int] | None = None,
    device: Device = "cpu",
) -> tuple[list[Case], list[str]]:
    """List all cases, group by group, and describe the combinations that are left out.

    Args:
        models: names of the models.
        runtimes: names of `RUNTIMES`.
        precisions: names of `PRECISIONS`; those that a runtime does not support are left out.
        batches: batch sizes for inference.
        size: side of the images in pixels.
        train: batch size and side of the images for training steps; None to measure none.
        device: the device.

    Raises:
        InputError: a name is unknown, or there is nothing to measure.
    """
    for name in runtimes:
        check_choice("runtime", name, RUNTIMES)
    for precision in precisions:
        check_choice("precision", precision, Precision)
    if not runtimes or not precisions:
        raise InputError("There is nothing to measure: give at least one of --runtimes and one of --precisions.")
    for batch in batches:
        check_range("batch size", batch, 1)
    if not batches and train is None:
        raise InputError("There is nothing to measure: give --batch-sizes, or --train.")
    for name in runtimes:
        if device == "cuda" and RUNTIMES[name].format:
            raise InputError(f"Runtime {name} runs on the CPU only: choose eager, optimized or compiled on a GPU.")
        if not set(precisions) & set(RUNTIMES[name].precisions):
            allowed = " or ".join(RUNTIMES[name].precisions)
            raise InputError(f"Runtime {name} has no {' or '.join(precisions)}: choose {allowed}.")
    left = [
        f"{precision} with {', '.join(lacking)}"
        for precision in precisions
        if (lacking := [name for name in runtimes if precision not in RUNTIMES[name].precisions])
    ]
    pairs = [(p, r) for p in precisions for r in runtimes if p in RUNTIMES[r].precisions]
    cases = [Case(m, r, p, batch, size) for batch in batches for p, r in pairs for m in models]
    if train is not None:
        training = [(p, r) for p, r in pairs if RUNTIMES[r].trains]
        if not training:
            raise InputError("None of the runtimes can train: add eager or compiled, or leave out --train.")
        cases += [Case(m, r, p, *train, training=True) for p, r in training for m in models]
        if lacking := [name for name in runtimes if not RUNTIMES[name].trains]:
            left.append(f"training with {', '.join(lacking)}")
    return cases, left
