"""What is measured: which model, by which program, in which precision, on how many images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from res2net.errors import InputError, check_choice, check_range

__all__ = ["PRECISIONS", "RUNTIMES", "Case", "Setting", "plan"]

PRECISIONS = ("fp32", "bf16", "int8")


@dataclass(frozen=True)
class Runtime:
    """What a way to run a network can do."""

    precisions: tuple[str, ...]
    format: str | None = None
    """Of `res2net.export`, where it runs a file."""
    trains: bool = False


RUNTIMES = {
    "eager": Runtime(("fp32", "bf16"), trains=True),
    "optimized": Runtime(("fp32", "bf16")),
    "compiled": Runtime(("fp32", "bf16"), trains=True),
    "onnx": Runtime(("fp32", "int8"), "onnx"),
    "openvino": Runtime(("fp32", "bf16", "int8"), "openvino"),
    "pt2": Runtime(("fp32",), "pt2"),
}


@dataclass(frozen=True)
class Case:
    """One thing that is measured."""

    model: str
    runtime: str
    """One of `RUNTIMES`."""
    precision: str
    """One of `PRECISIONS`."""
    batch: int
    size: int
    """Side of the images, pixels."""
    training: bool = False
    """A step of training, and not an inference."""

    @property
    def group(self) -> tuple[bool, int]:
        """Cases with the same are compared."""
        return self.training, self.batch

    def __str__(self) -> str:
        what = "training" if self.training else "inference"
        return f"{self.model}, {self.runtime} {self.precision}, {what}, batch {self.batch}"


@dataclass(frozen=True)
class Setting:
    """What all cases have in common."""

    threads: int
    """Of the processor."""
    channels_last: bool = True
    """Memory format of networks and images in torch."""
    device: str = "cpu"
    """cpu or cuda."""


def plan(
    models: Sequence[str],
    runtimes: Sequence[str],
    precisions: Sequence[str],
    *,
    batches: Sequence[int],
    size: int,
    train: tuple[int, int] | None = None,
    device: str = "cpu",
) -> tuple[list[Case], list[str]]:
    """All cases, those that are compared with each other together; and what was left out, in words.

    Args:
        models: names.
        runtimes: of `RUNTIMES`.
        precisions: of `PRECISIONS`; those that a runtime lacks are left out.
        batches: images at a time.
        size: side of the images, pixels.
        train: batch and side of the images for a step of training, if there is one.
        device: cpu or cuda.

    Raises:
        InputError: something is not known, or there is nothing to measure.
    """
    for name in runtimes:
        check_choice("Runtime", name, RUNTIMES)
    for precision in precisions:
        check_choice("Precision", precision, PRECISIONS)
    if not runtimes or not precisions:
        raise InputError("There is nothing to measure: give at least one of --runtimes and one of --precisions.")
    for batch in batches:
        check_range("batch size", batch, 1)
    if not batches and train is None:
        raise InputError("There is nothing to measure: give --batch-sizes, or --train.")
    for name in runtimes:
        if device == "cuda" and RUNTIMES[name].format:
            raise InputError(f"Runtime {name} is for the processor: choose eager, optimized or compiled on a GPU.")
        if not set(precisions) & set(RUNTIMES[name].precisions):
            allowed = " and ".join(RUNTIMES[name].precisions)
            raise InputError(f"Runtime {name} has no {' or '.join(precisions)}: it computes in {allowed}.")
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
            raise InputError("No runtime of these trains: add eager or compiled to --runtimes, or leave out --train.")
        cases += [Case(m, r, p, *train, training=True) for p, r in training for m in models]
        if lacking := [name for name in runtimes if not RUNTIMES[name].trains]:
            left.append(f"training with {', '.join(lacking)}")
    return cases, left
