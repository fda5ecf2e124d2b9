"""Run a trained task over inputs: files, arrays, Pillow images and tensors."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from res2net.engine.inputs import file_stem, input_name, read_input
from res2net.errors import InputError, check_choice
from res2net.images.loader import eval_loader
from res2net.images.samples import Sample, Samples, Transformed
from res2net.report import Column, Table
from res2net.report.tables import Cell
from res2net.task.base import Task
from res2net.task.result import Prediction, Result
from res2net.weights import atomic_write

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class InputSamples:
    """Inputs of a task without annotations, as a data set of pairs `(image, {})`: paths, or images in memory."""

    def __init__(self, task: Task, inputs: Sequence[Any]) -> None:
        self.inputs = list(inputs)
        self._read = task.inputs.read
        self.paths = [input_name(one, index) for index, one in enumerate(self.inputs)]

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Sample:
        return self.read(index), {}

    def read(self, index: int) -> Any:
        """Read the image at an index; files are not cached."""
        return read_input(self._read, self.inputs[index])

    def prediction(self, index: int, result: Result | None, reason: str = "") -> Prediction:
        """Wrap the result of the input at an index, so that the result can read its input again."""
        item = self.inputs[index]
        if result is not None:
            result.attach_input(
                partial(read_input, self._read, item), Path(item) if isinstance(item, str | Path) else None
            )
        return Prediction(self.paths[index], result, reason)


def predict(
    task: Task,
    inputs: Sequence[Any],
    *,
    batch_size: int | None = None,
    bad_images: str = "stop",
    accelerator: str = "auto",
    precision: str = "fp32",
) -> Iterator[Prediction]:
    """Run a task over inputs: read and transform them, predict them in batches, and yield the results one by one.

    Args:
        task: the trained task.
        inputs: paths of files, or images in memory.
        batch_size: number of inputs in a batch; by default what suits the task.
        bad_images: "stop" raises `BadImage` at a broken file, "skip" yields a prediction without a result.
        accelerator: "cpu", "gpu", "mps" or "auto".
        precision: "fp32", "bf16" or "fp16".

    Yields:
        A `Prediction` for each input, in order.

    Raises:
        InputError: a file is broken, the precision is unknown, or the accelerator is not available.
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
    """Yield the result of each sample of a data set, or None and the reason why the sample was skipped.

    The other arguments are those of `predict`. A data set that reads files has an attribute `paths`, which is used to
    find the reasons of skipped samples.
    """
    check_choice("Precision", precision, DTYPES)
    device = accelerator_device(accelerator)
    task = task.eval().to(device)
    dtype = DTYPES[precision]
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
        # The length of `reasons` would be too small, as the same broken file may occur twice.
        stop = start + len(results) + len(targets["skipped"])
        for index in range(start, stop):
            result = results.get(index)
            yield result, "" if result is not None else reasons.get(str(paths[index]), "")
        start = stop


def results_table(found: Iterable[Prediction]) -> Table:
    """Tabulate the results of several inputs; a skipped input has one row.

    The reason, and what results hide, such as objects of low scores, are noted below the table.
    """
    predictions: list[tuple[Prediction, Sequence[Sequence[Cell]], str]] = []
    columns: Sequence[Column] = (Column("result"),)
    for prediction in found:
        # Drop the result itself, since the maps of many photos would not fit into memory.
        if prediction.result is not None:
            columns = prediction.result.columns
        result_rows = prediction.result.rows() if prediction.result is not None else ()
        hidden = prediction.result.hidden if prediction.result is not None else ""
        predictions.append((prediction._replace(result=None), result_rows, hidden))
    empty = (None,) * len(columns)
    rows: list[tuple[Cell, ...]] = []
    for prediction, result_rows, _ in predictions:
        lines = [("not read", *empty[1:])] if prediction.reason else result_rows or [empty]
        rows += [(prediction.name if index == 0 else "", *line) for index, line in enumerate(lines)]
    reasons = [(prediction.name, prediction.reason or hidden) for prediction, _, hidden in predictions]
    notes = [f"{name}: {reason}" for name, reason in reasons if reason]
    return Table("", (Column("image"), *columns), rows, notes)


class ResultWriter:
    """Writes results into a folder: as the files of each result, or in chosen formats.

    "csv" writes the table of all results to `results.csv`, with a row for each input in which nothing was found, and
    the reason for each that was skipped. Other formats are those of `Result.save_as`, one or several files for each
    result, which have the name of the input; where two inputs have one name, the later has its number before it.
    "coco" is written by the options of the task.

    Args:
        folder: the folder, which is created.
        formats: the formats; by default the files of `Result.save`, with the number of the input in their names.
    """

    def __init__(self, folder: str | Path, formats: Sequence[str] = ()) -> None:
        self.folder, self.formats = Path(folder), formats
        self._rows: list[list[Any]] = []
        self._columns: Sequence[Column] = ()
        self._stems: set[str] = set()

    def add(self, number: int, prediction: Prediction) -> None:
        """Write the result of an input, counted from 1; raises `InputError` if it has no files of these formats."""
        result, stem = prediction.result, file_stem(prediction.name)
        if "csv" in self.formats:
            found = list(result.rows()) if result is not None else []
            self._columns = result.columns if result is not None else self._columns
            self._rows += [[prediction.name, "", *row] for row in found or [()]]
            self._rows[-1][1] = prediction.reason
        if result is None:
            return
        if not self.formats:
            if not result.files:
                raise InputError("--save does not apply to this task: use --save-as csv, --draw or --json.")
            result.save(self.folder / f"{number:05d}-{stem}")
        stem = f"{number:05d}-{stem}" if stem in self._stems else stem
        self._stems.add(stem)
        for one in self.formats:
            if one not in ("csv", "coco"):
                result.save_as(one, self.folder / stem)

    def finish(self) -> None:
        """Write what is written at the end."""
        if "csv" in self.formats:
            units = [f"{one.heading} ({one.unit})" if one.unit else one.heading for one in self._columns]
            text = io.StringIO()
            table = csv.writer(text, lineterminator="\n")
            table.writerow(["image", "error", *units])
            table.writerows([*row, *[""] * (2 + len(units) - len(row))] for row in self._rows)
            atomic_write(self.folder / "results.csv", text.getvalue().encode(errors="surrogateescape"))


def accelerator_device(accelerator: str) -> torch.device:
    """The device of "cpu", "gpu", "mps" or "auto"; raises `InputError` if it is not available."""
    available = {"cpu": True, "gpu": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    check_choice("Accelerator", accelerator, ("auto", *available))
    if accelerator == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    if not available[accelerator]:
        raise InputError(f"This machine has no {accelerator} that torch can use: choose --accelerator auto.")
    return torch.device("cuda" if accelerator == "gpu" else accelerator)
