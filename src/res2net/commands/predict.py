"""`res2net predict`: what is in a picture, or in each picture of a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from res2net.commands.arguments import parse, split_task
from res2net.errors import InputError
from res2net.report import Column, Table

__all__ = ["run"]

ABOUT = "Tell what is in a picture, or in each picture of a folder: the five likeliest classes."


@dataclass(frozen=True)
class Arguments:
    """What is predicted with what."""

    source: tyro.conf.Positional[str]
    """A picture, or a folder of pictures (at any depth)."""
    weights: str
    """A checkpoint of `res2net train`; or, with --model, another checkpoint or a tag such as "in1k"."""
    model: str | None = None
    """Name of the architecture, where the weights do not say it."""
    json: bool = False
    """Print JSON instead of a table."""
    draw: str | None = None
    """Also write each picture with its classes drawn on it into this folder."""
    batch_size: int = 32
    """Pictures at a time."""
    bad_images: str = "stop"
    """A picture that cannot be read: "stop" there, or "skip" and say so."""
    precision: str = "fp32"
    """fp32, bf16 or fp16."""
    accelerator: str = "auto"
    """cpu, gpu, mps, or auto."""


def run(arguments: Sequence[str]) -> None:
    """Predict and print."""
    name, words = split_task(arguments)
    chosen = parse(Arguments, "predict", words, ABOUT)

    from res2net.data.folder import list_images
    from res2net.engine.checkpoints import restore_task
    from res2net.engine.predict import predict
    from res2net.engine.progress import progress_bar

    if chosen.batch_size < 1:
        raise InputError(f"Batch size {chosen.batch_size} does not fit: give a positive number.")
    paths = list_images(chosen.source)
    task, _ = restore_task(chosen.weights, chosen.model, name)
    found: list[dict[str, Any]] = []
    with progress_bar(Console(stderr=True)) as bar:
        pictures = bar.add_task("pictures", total=len(paths), note="")
        for path, result, reason in predict(
            task,
            paths,
            batch_size=chosen.batch_size,
            bad_images=chosen.bad_images,
            accelerator=chosen.accelerator,
            precision=chosen.precision,
        ):
            found.append({"file": str(path)} | ({"error": reason} if reason else {"classes": result}))
            if chosen.draw is not None and not reason:
                _draw(task, path, result, Path(chosen.draw), len(found))
            bar.advance(pictures)
    if chosen.json:
        print(json.dumps(found, indent=2))
    else:
        Console().print(predictions_table(found).to_rich())


def predictions_table(found: Sequence[dict[str, Any]]) -> Table:
    """A row for each class of each picture; a picture that could not be read has one that says so."""
    rows: list[tuple[str, str, float | None]] = []
    for entry in found:
        if "error" in entry:
            rows.append((entry["file"], f"not read: {entry['error']}", None))
            continue
        for rank, likely in enumerate(entry["classes"]):
            rows.append((entry["file"] if rank == 0 else "", likely["class"], 100 * likely["probability"]))
    return Table("", (Column("picture"), Column("class"), Column("probability", "%", digits=1)), rows)


def _draw(task: Any, path: Path, result: Any, folder: Path, number: int) -> None:
    from res2net.data.decode import read_image
    from res2net.weights import atomic_write

    picture = task.draw(read_image(path), result)
    atomic_write(folder / f"{number:05d}-{path.stem}.png", lambda file: picture.save(file, "PNG"))
