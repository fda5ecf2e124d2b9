"""Predict what is in images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from res2net.engine.config import ACCELERATORS, PRECISIONS
from res2net.errors import InputError, check_choice
from res2net.images.folder import ReadFiles
from res2net.images.loader import eval_loader
from res2net.images.samples import Samples, Transformed
from res2net.report import Column, Table
from res2net.report.tables import Cell
from res2net.task.base import Task
from res2net.tasks.objects.data.boxes import BoxedImages, ObjectBox

__all__ = ["device_of", "predict", "results_table"]


def predict(
    task: Task,
    paths: Sequence[Path],
    *,
    batch_size: int | None = None,
    bad_images: str = "stop",
    accelerator: str = "auto",
    precision: str = "fp32",
    boxes: Sequence[Sequence[ObjectBox]] | None = None,
) -> Iterator[tuple[Path, Any, str]]:
    """Run a task over files.

    Args:
        task: with trained weights.
        paths: of the images.
        batch_size: images at a time; by default as the task has it.
        bad_images: "stop" raises `BadImage` at a broken image, "skip" goes on.
        accelerator: "cpu", "gpu", "mps" or "auto".
        precision: "fp32", "bf16" or "fp16".
        boxes: of each image, for a task that looks into boxes: its result is then what `united` makes of
            all of them.

    Yields:
        In the order of `paths`: the path, its result (None where it was skipped), and why it was skipped.

    Raises:
        InputError: a broken image, an unknown precision, or an accelerator that is not there.
    """
    check_choice("Precision", precision, PRECISIONS)
    batch_size = batch_size or task.predicted_together
    device = device_of(accelerator)
    task = task.eval().to(device)
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    if boxes is None:
        yield from _each(task, ReadFiles(paths, task.read_file), paths, batch_size, bad_images, device, kind)
        return
    pairs = [(path, box) for path, found in zip(paths, boxes, strict=True) for box in found]
    each = _each(task, BoxedImages(pairs), [path for path, _ in pairs], batch_size, bad_images, device, kind)
    for path, found in zip(paths, boxes, strict=True):
        results = list(islice(each, len(found)))
        reason = results[0][2] if results else ""
        yield path, None if reason else task.united([one for _, objects, _ in results for one in objects]), reason


def _each(
    task: Task,
    samples: Samples,
    paths: Sequence[Path],
    batch_size: int,
    bad_images: str,
    device: torch.device,
    kind: torch.dtype,
) -> Iterator[tuple[Path, Any, str]]:
    """As `predict`, for each sample; `paths` says of which image it is."""
    waiting = 0
    for images, targets in eval_loader(Transformed(samples, task.transform(False), bad_images), batch_size):
        results: dict[int, Any] = {}
        if len(images):
            with torch.inference_mode(), torch.autocast(device.type, kind, enabled=kind != torch.float32):
                found = task.predict(images.to(device), targets)
            results = dict(zip(targets["index"].tolist(), found, strict=True))
        reasons = {Path(skipped.path): skipped.reason for skipped in targets["skipped"]}
        # Not the number of reasons: a broken image may be given twice.
        done = waiting + len(results) + len(targets["skipped"])
        for index in range(waiting, done):
            yield paths[index], results.get(index), reasons.get(paths[index], "")
        waiting = done


def results_table(task: Task, found: Iterable[tuple[Path, Any, str]]) -> Table:
    """What `predict` yields as the task tabulates it; an image that was skipped has one row that says why."""
    empty = (None,) * len(task.columns)
    rows: list[tuple[Cell, ...]] = []
    for path, result, reason in found:
        told = [(f"not read: {reason}", *empty[1:])] if reason else task.tabulate(result) or [empty]
        rows += [(str(path) if place == 0 else "", *row) for place, row in enumerate(told)]
    return Table("", (Column("image"), *task.columns), rows)


def device_of(accelerator: str) -> torch.device:
    """The device of "cpu", "gpu", "mps" or "auto"; `InputError` where it is not there."""
    check_choice("Accelerator", accelerator, ACCELERATORS)
    if accelerator == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    there = {"cpu": True, "gpu": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[accelerator]:
        raise InputError(f"This machine has no {accelerator} that torch can use: choose --accelerator auto.")
    return torch.device("cuda" if accelerator == "gpu" else accelerator)
