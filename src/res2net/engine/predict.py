"""Run a trained task over inputs: files, arrays, Pillow images and tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from res2net.engine.choices import ACCELERATORS, PRECISIONS
from res2net.errors import InputError, check_choice
from res2net.images.loader import eval_loader
from res2net.images.samples import Sample, Samples, Transformed
from res2net.report import Column, Table
from res2net.report.tables import Cell
from res2net.task.base import Task
from res2net.task.result import Prediction, Result

__all__ = ["InputSamples", "accelerator_device", "predict", "predict_samples", "results_table"]


class InputSamples:
    """Inputs of which nothing is known, as a data set: `(image, {})`.

    Args:
        task: reads files.
        inputs: paths of files, or images in memory as `Task.transform` takes them.
    """

    def __init__(self, task: Task, inputs: Sequence[Any]) -> None:
        self.inputs = list(inputs)
        self._read = task.inputs.read
        self.paths = [str(one) if isinstance(one, str | Path) else f"input {i}" for i, one in enumerate(self.inputs)]

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Sample:
        return self.read(index), {}

    def read(self, index: int) -> Any:
        """The image at an index; a file is read again each time."""
        return read_input(self._read, self.inputs[index])

    def prediction(self, index: int, result: Result | None, reason: str = "") -> Prediction:
        """The prediction for the input at an index, whose result remembers the input."""
        one = self.inputs[index]
        if result is not None:
            result.bind(partial(read_input, self._read, one), Path(one) if isinstance(one, str | Path) else None)
        return Prediction(self.paths[index], result, reason)


def read_input(read: Callable[[str | Path], Any], one: Any) -> Any:
    """One input as an image: what `read` makes of its file, or itself where it is in memory."""
    return read(one) if isinstance(one, str | Path) else one


def predict(
    task: Task,
    inputs: Sequence[Any],
    *,
    batch_size: int | None = None,
    bad_images: str = "stop",
    accelerator: str = "auto",
    precision: str = "fp32",
) -> Iterator[Prediction]:
    """Run a task over inputs.

    Args:
        task: with trained weights.
        inputs: paths of files, or images in memory.
        batch_size: inputs at a time; by default what suits the task.
        bad_images: "stop" raises `BadImage` at a broken file, "skip" goes on.
        accelerator: "cpu", "gpu", "mps" or "auto".
        precision: "fp32", "bf16" or "fp16".

    Yields:
        A `Prediction` for each input, in their order.

    Raises:
        InputError: a broken file, an unknown precision, or an accelerator that is not there.
    """
    samples = InputSamples(task, inputs)
    found = predict_samples(
        task, samples, batch_size=batch_size, bad_images=bad_images, accelerator=accelerator, precision=precision
    )
    for index, (result, reason) in enumerate(found):
        yield samples.prediction(index, result, reason)


def predict_samples(
    task: Task,
    samples: Samples,
    *,
    batch_size: int | None = None,
    bad_images: str = "stop",
    accelerator: str = "auto",
    precision: str = "fp32",
) -> Iterator[tuple[Result | None, str]]:
    """The result of each sample of a data set, or None and the reason why it was skipped; as `predict`.

    A data set of files has `paths`, by which skipped samples are told apart.
    """
    check_choice("Precision", precision, PRECISIONS)
    device = accelerator_device(accelerator)
    task = task.eval().to(device)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    paths = getattr(samples, "paths", ())
    loader = eval_loader(Transformed(samples, task.transform(False), bad_images), batch_size or task.inputs.batch_size)
    start = 0
    for images, targets in loader:
        results: dict[int, Result] = {}
        if len(images):
            with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                found = task.predict(images.to(device), targets)
            results = dict(zip(targets["index"].tolist(), found, strict=True))
        reasons = {skipped.path: skipped.reason for skipped in targets["skipped"]}
        # Not the number of reasons: a broken file may be given twice.
        stop = start + len(results) + len(targets["skipped"])
        for index in range(start, stop):
            result = results.get(index)
            yield result, "" if result is not None else reasons.get(str(paths[index]), "")
        start = stop


def results_table(found: Iterable[Prediction], name: str = "image") -> Table:
    """The rows of all results; an input that was skipped has one row that states why.

    Args:
        found: what `predict` yields.
        name: heading of the first column.
    """
    every: list[tuple[Prediction, Sequence[Sequence[Cell]]]] = []
    columns: Sequence[Column] = (Column("result"),)
    for one in found:
        # The result itself is not kept: maps of many photos do not fit into memory.
        if one.result is not None:
            columns = one.result.columns
        every.append((one._replace(result=None), one.result.rows() if one.result is not None else ()))
    empty = (None,) * len(columns)
    rows: list[tuple[Cell, ...]] = []
    for one, given in every:
        lines = [(f"not read: {one.reason}", *empty[1:])] if one.reason else given or [empty]
        rows += [(one.name if index == 0 else "", *line) for index, line in enumerate(lines)]
    return Table("", (Column(name), *columns), rows)


def accelerator_device(accelerator: str) -> torch.device:
    """The device of "cpu", "gpu", "mps" or "auto"; `InputError` where it is not there."""
    check_choice("Accelerator", accelerator, ACCELERATORS)
    if accelerator == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    there = {"cpu": True, "gpu": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[accelerator]:
        raise InputError(f"This machine has no {accelerator} that torch can use: choose --accelerator auto.")
    return torch.device("cuda" if accelerator == "gpu" else accelerator)
