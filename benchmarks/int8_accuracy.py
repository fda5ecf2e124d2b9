"""What int8 costs in accuracy: a trained network exported in fp32 and in int8, evaluated on all validation images.

    uv run --group test python benchmarks/int8_accuracy.py runs/NAME/best.safetensors PATH/TO/CIFAR100

Prints top-1, its difference to the network that torch runs, how often the likeliest class is the same, the size of the
files and the speed of the evaluation. See `--help` for the options.
"""

from __future__ import annotations

import json
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.console import Console
from torch import Tensor
from torch.utils.data import DataLoader, Subset

import res2net
from res2net.engine.evaluate import evaluate
from res2net.engine.restore import check_classes, restore_task
from res2net.export import FORMATS, Artefact, export_network
from res2net.export.exporter import restore_exported
from res2net.export.settings import INT8_FORMATS
from res2net.images.loader import eval_loader
from res2net.images.sources import DataSource, open_source
from res2net.report import Column, Table
from res2net.task.base import Evaluation, Task


@dataclass(frozen=True)
class Arguments:
    """What is exported, and what it is evaluated on."""

    checkpoint: tyro.conf.Positional[str]
    """Of `res2net train`."""
    source: tyro.conf.Positional[str]
    """The data of its training."""
    formats: tuple[str, ...] = INT8_FORMATS
    calibrate: int = 512
    """Training images on which ranges of values are measured."""
    batch_size: int = 64
    """Images at a time."""
    limit: int | None = None
    """Only the first validation images, to try the script."""
    out: str | None = None
    """Write the results to this JSON file."""


def calibration(task: Task, source: DataSource, chosen: Arguments) -> list[Tensor]:
    """Images from all over the training set, in whole batches."""
    prepared, _ = source.transformed(task.transform(False), task.transform(False))
    count = min(chosen.calibrate, len(prepared)) // chosen.batch_size * chosen.batch_size
    places = torch.linspace(0, len(prepared) - 1, count).long().tolist()
    return [images for images, _ in DataLoader(Subset(prepared, places), chosen.batch_size, collate_fn=first_of)]


def first_of(samples: list[Any]) -> tuple[Tensor, None]:
    return torch.stack([image for image, _ in samples]), None


def exported(task: Any, path: Path, to: str, batches: list[Tensor], int8: bool) -> None:
    """Write the network and its description."""
    model = task.model
    export_network(model, batches[0], path, to, calibration=batches if int8 else None)
    Artefact(
        format=to,
        task=task.name,
        model=model.variant_name,
        options=dict(model.variant_options),
        input_shape=tuple(batches[0].shape),
        dynamic_batch=False,
        outputs=("logits",),
        class_names=task.class_names,
        preprocessing=task.preprocessing,
        int8=int8,
    ).write(path)


def mebibytes(folder: Path) -> float:
    """Of the files of a network, without the description."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix != ".json") / 2**20


def result(what: str, evaluation: Evaluation, size: float) -> dict[str, Any]:
    images = len(evaluation.records["loss"])
    metrics = dict(evaluation.metrics)
    return {"what": what, "mib": size, "images": images, "per_second": images / evaluation.seconds} | metrics


def table(results: list[dict[str, Any]], title: str) -> Table:
    columns = (
        Column("what"),
        Column("top-1", "%"),
        Column("difference", "points"),
        Column("loss", digits=4),
        Column("files", "MiB"),
        Column("smaller", "times"),
        Column("images/s", digits=0),
    )
    names = ("what", "top1", "points", "loss", "mib", "smaller", "per_second")
    return Table(title, columns, [tuple(entry[name] for name in names) for entry in results])


def main() -> None:
    chosen = tyro.cli(Arguments, description=__doc__)
    console = Console(width=max(100, Console().width))
    task, checkpoint = restore_task(chosen.checkpoint)
    metadata = checkpoint.metadata
    options = {"val_fraction": metadata.get("val_fraction", 0.2), "seed": metadata.get("seed", 0)}
    source = open_source(chosen.source, **options)
    check_classes(metadata.get("class_names"), task, source)
    _, val_set = source.transformed(task.transform(True), task.transform(False))
    images: Any = val_set if chosen.limit is None else Subset(val_set, range(min(chosen.limit, len(val_set))))

    def evaluated(candidate: Task) -> Evaluation:
        return evaluate(candidate, eval_loader(images, chosen.batch_size), accelerator="cpu")

    results = [result("torch, fp32", evaluated(task), Path(chosen.checkpoint).stat().st_size / 2**20)]
    batches = calibration(task, source, chosen)
    task.model.to(memory_format=torch.contiguous_format)
    for to in chosen.formats:
        for kind in ("fp32", "int8"):
            with tempfile.TemporaryDirectory() as folder, console.status(f"{to} in {kind}"):
                path = Path(folder, f"network{FORMATS[to]}")
                exported(task, path, to, batches, kind == "int8")
                evaluation = evaluated(restore_exported(path, to, trust=True)[0])
                results.append(result(f"{to}, {kind}", evaluation, mebibytes(Path(folder))))
    for entry in results:
        entry |= {"points": entry["top1"] - results[0]["top1"], "smaller": results[0]["mib"] / entry["mib"]}
    model: Any = task.model
    title = (
        f"{model.variant_name}, {results[0]['images']:,} validation images of {source.name}; calibrated on "
        f"{len(batches) * chosen.batch_size} training images"
    )
    console.print(table(results, title).to_rich())
    if chosen.out:
        machine = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
        versions = {"torch": torch.__version__, "res2net": res2net.__version__}
        content = {"what": title, "machine": machine, "versions": versions, "results": results}
        Path(chosen.out).write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
