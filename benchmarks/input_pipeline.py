"""Time the preparation of JPEG images, ours, torchvision's and timm's, interleaved in one process.

    uv run --group test python benchmarks/input_pipeline.py --data FOLDER

Every case reads the same files, decodes, crops and resizes them (training: random resized crop and flip; evaluation:
resize and centre crop), and normalises float batches. Prints images a second, medians and quartiles, and ours by
theirs. Without `--data` the images are synthetic, with noise of every scale, 500x375 and 1600x1200.
"""

from __future__ import annotations

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import timm
import torch
import torchvision
import tyro
from PIL import Image, features
from rich.console import Console
from timm.data import create_dataset, create_loader
from torch.utils.data import DataLoader
from torchvision import datasets
from torchvision.transforms import v2

import res2net
from res2net.images import ImageFolder, Transformed, eval_transform, train_transform
from res2net.images.loader import TrainBatches, eval_loader, train_loader
from res2net.report import Column, Table
from res2net.weights.records import Preprocessing

DRAWN = ((500, 375), (1600, 1200))
"""Sizes of the synthetic images: those of ImageNet's photos, and of a small camera's."""
LIBRARIES = ("res2net", "res2net, scaled", "torchvision", "timm")

Key = tuple[str, str, int, str]
"""Images, "train" or "eval", worker processes, library."""


@dataclass(frozen=True)
class Arguments:
    """What is timed, and how often."""

    data: str | None = None
    """A folder with a folder of JPEG files per class, instead of synthetic images."""
    images: int = 128
    """Drawn for each size."""
    repetitions: int = 7
    """Timed passes through all images, in turn, after one that is not counted."""
    batch: int = 32
    size: int = 224
    """Side of the prepared images, pixels."""
    workers: tuple[int, ...] = (0, 2)
    """Numbers of worker processes; 0 prepares images in this process, on one thread."""
    out: str | None = None
    """Write the results to this JSON file."""


def draw(folder: Path, width: int, height: int, count: int) -> None:
    """Images with noise at every scale; as JPEG they take 0.3 bytes a pixel, as photos of good quality do."""
    random = np.random.default_rng(0)
    cells = [2**power for power in range(10)]
    (folder / "a").mkdir(parents=True)
    for number in range(count):
        pixels = np.zeros((height, width, 3))
        for cell in cells:
            layer = random.integers(0, 256, (max(2, height // cell), max(2, width // cell), 3), dtype=np.uint8)
            resized = Image.fromarray(layer).resize((width, height), Image.Resampling.BICUBIC)
            pixels += np.asarray(resized, dtype=np.float64)
        image = Image.fromarray((pixels / len(cells)).astype(np.uint8))
        image.save(folder / "a" / f"{number}.jpg", quality=90)


def ours(folder: Path, kind: str, workers: int, chosen: Arguments, decode: str) -> Callable[[], Iterator[Any]]:
    preprocessing = Preprocessing(chosen.size)
    transform = train_transform(preprocessing) if kind == "train" else eval_transform(preprocessing)
    dataset = Transformed(ImageFolder(folder), transform, decode=decode)
    if kind == "train":
        loader = train_loader(dataset, TrainBatches(len(dataset), chosen.batch), workers=workers)
    else:
        loader = eval_loader(dataset, chosen.batch, workers=workers)
    return lambda: iter(loader)


def torchvisions(folder: Path, kind: str, workers: int, chosen: Arguments) -> Callable[[], Iterator[Any]]:
    preprocessing = Preprocessing(chosen.size)
    if kind == "train":
        first = [v2.RandomResizedCrop(chosen.size), v2.RandomHorizontalFlip()]
    else:
        first = [v2.Resize(int(chosen.size / preprocessing.crop)), v2.CenterCrop(chosen.size)]
    to_floats = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    transform = v2.Compose([*first, *to_floats, v2.Normalize(preprocessing.mean, preprocessing.std)])
    loader = DataLoader(
        datasets.ImageFolder(str(folder), transform),
        chosen.batch,
        shuffle=kind == "train",
        drop_last=kind == "train",
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return lambda: iter(loader)


def timms(folder: Path, kind: str, workers: int, chosen: Arguments) -> Callable[[], Iterator[Any]]:
    loader = create_loader(
        create_dataset("", root=str(folder), split="train"),
        (3, chosen.size, chosen.size),
        chosen.batch,
        is_training=kind == "train",
        color_jitter=None,
        interpolation="bilinear",
        crop_pct=Preprocessing().crop,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=False,
        device=torch.device("cpu"),
    )
    return lambda: iter(loader)


def cases(folders: dict[str, Path], chosen: Arguments) -> dict[Key, Callable[[], Iterator[Any]]]:
    found: dict[Key, Callable[[], Iterator[Any]]] = {}
    for name, folder in folders.items():
        for kind in ("train", "eval"):
            for workers in chosen.workers:
                found[name, kind, workers, "res2net"] = ours(folder, kind, workers, chosen, "full")
                found[name, kind, workers, "res2net, scaled"] = ours(folder, kind, workers, chosen, "scaled")
                found[name, kind, workers, "torchvision"] = torchvisions(folder, kind, workers, chosen)
                found[name, kind, workers, "timm"] = timms(folder, kind, workers, chosen)
    return found


def images_a_second(batches: Callable[[], Iterator[Any]]) -> float:
    """Of one pass; the start of the worker processes, and what a loader does before it counts, included."""
    start = time.perf_counter()
    count = sum(len(images) for images, _ in batches())
    return count / (time.perf_counter() - start)


def interleaved(found: dict[Key, Callable[[], Iterator[Any]]], repetitions: int) -> dict[Key, list[float]]:
    """Rates of each case: all of them in turn, so that a machine that slows down slows all."""
    rates: dict[Key, list[float]] = {key: [] for key in found}
    for repetition in range(repetitions + 1):
        # Every other round backwards: neighbours in the order may warm or cool each other.
        for key in list(found)[:: 1 if repetition % 2 else -1]:
            rate = images_a_second(found[key])
            if repetition:
                rates[key].append(rate)
    return rates


def results_of(rates: dict[Key, list[float]]) -> list[dict[str, Any]]:
    results = []
    for (name, kind, workers, library), found in rates.items():
        low, _, high = statistics.quantiles(found, n=4)
        result: dict[str, Any] = {"images": name, "what": kind, "workers": workers, "library": library}
        result |= {"rate": statistics.median(found), "rate_low": low, "rate_high": high}
        result["rate_per_process"] = result["rate"] / max(1, workers)
        for other in ("torchvision", "timm"):
            theirs = rates[name, kind, workers, other]
            result[f"by_{other}"] = statistics.median(a / b for a, b in zip(found, theirs, strict=True))
        results.append(result)
    return results


def table(results: list[dict[str, Any]], chosen: Arguments) -> Table:
    columns = (
        Column("images"),
        Column("what"),
        Column("workers", digits=0),
        Column("library"),
        Column("images", "1/s", digits=0),
        Column("quartiles"),
        Column("a process", "1/s", digits=0),
        Column("by torchvision's"),
        Column("by timm's"),
    )
    rows = [
        (
            *(r[name] for name in ("images", "what", "workers", "library", "rate")),
            f"{r['rate_low']:.0f}-{r['rate_high']:.0f}",
            *(r[name] for name in ("rate_per_process", "by_torchvision", "by_timm")),
        )
        for r in results
    ]
    title = f"Batches of {chosen.batch}, {chosen.size} px; {chosen.repetitions} repetitions, medians"
    return Table(title, columns, rows)


def main() -> None:
    chosen = tyro.cli(Arguments, description=__doc__)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folders = {"given": Path(chosen.data)} if chosen.data else {}
        for width, height in () if chosen.data else DRAWN:
            folders[f"{width}x{height}"] = Path(place, f"{width}x{height}")
            draw(folders[f"{width}x{height}"], width, height, chosen.images)
        results = results_of(interleaved(cases(folders, chosen), chosen.repetitions))
    Console(width=max(130, Console().width)).print(table(results, chosen).to_rich())
    if chosen.out:
        machine = {"processor": platform.processor() or platform.machine(), "threads": 1}
        libraries = {module.__name__: module.__version__ for module in (torch, torchvision, timm, PIL, res2net)}
        versions = libraries | {"libjpeg_turbo": features.version_feature("libjpeg_turbo")}
        content = {"machine": machine, "versions": versions, "results": results}
        Path(chosen.out).write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
