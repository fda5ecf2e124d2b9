"""Time training steps and inference of ResNet-50 and Res2Net-50, ours and timm's, interleaved in one process.

    uv run --group test python benchmarks/train_and_infer.py

Prints medians, their spread and the ratios (timm's time over ours: above 1 ours is faster), and the peak memory of a
training step. See `--help` for the options.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
import tyro
from rich.console import Console
from torch import Tensor, nn

import res2net
from res2net.bench.memory import resident
from res2net.bench.timing import interleaved, ratio
from res2net.report import Column, Table

MODELS = ("resnet50", "res2net50_26w_4s")
"""In both libraries."""
RECOMPUTED = "res2net, recompute"
"""Ours, computing cheap layers again in the backward pass to save memory."""


@dataclass(frozen=True)
class Arguments:
    """What is timed, and how often."""

    repetitions: int = 9
    """Timed runs of everything, in turn, after one that is not counted."""
    train_batch: int = 16
    train_size: int = 128
    """Side of the training images, pixels."""
    infer_batch: int = 1
    infer_size: int = 224
    models: tuple[str, ...] = MODELS
    precisions: tuple[str, ...] = ("fp32", "bf16")
    memory: bool = True
    """Also measure the peak memory of a training step, in processes of their own."""
    out: str | None = None
    """Write the results to this JSON file."""
    only_memory_of: str | None = None
    """Used by the measurement of memory itself: LIBRARY:MODEL:PRECISION."""


def create(library: str, model: str) -> nn.Module:
    """The model of one of the two libraries, channels last."""
    torch.manual_seed(0)
    if library == "timm":
        built = timm.create_model(model)
    else:
        built = res2net.create_model(model, recompute=library == RECOMPUTED)
    return built.to(memory_format=torch.channels_last)


def random_images(batch: int, size: int) -> Tensor:
    return torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last)


def training(model: nn.Module, images: Tensor, precision: str) -> Callable[[], None]:
    """One step: forward, loss, backward, SGD with momentum."""
    labels = torch.randint(0, 1000, (len(images),))
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    model.train()
    return step


def inference(model: nn.Module, images: Tensor, precision: str) -> Callable[[], None]:
    def run() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            model(images)

    model.eval()
    return run


def peak_memory(library: str, model: str, precision: str, chosen: Arguments) -> float:
    """MiB that a process with three training steps takes at most, less what it takes before them."""
    command = [sys.executable, __file__, "--only-memory-of", f"{library}:{model}:{precision}"]
    command += ["--train-batch", str(chosen.train_batch), "--train-size", str(chosen.train_size)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def report_memory(chosen: Arguments) -> None:
    library, model, precision = (chosen.only_memory_of or "").split(":")
    step = training(create(library, model), random_images(chosen.train_batch, chosen.train_size), precision)
    before = resident("VmHWM")
    for _ in range(3):
        step()
    print(resident("VmHWM") - before)


def main() -> None:
    chosen = tyro.cli(Arguments, description=__doc__)
    if chosen.only_memory_of:
        report_memory(chosen)
        return
    console = Console(width=max(130, Console().width))
    cases: dict[tuple[str, ...], Callable[[], None]] = {}
    train_images = random_images(chosen.train_batch, chosen.train_size)
    infer_images = random_images(chosen.infer_batch, chosen.infer_size)
    for model in chosen.models:
        for library in ("res2net", "timm"):
            trained, evaluated = create(library, model), create(library, model)
            for precision in chosen.precisions:
                cases["train", precision, model, library] = training(trained, train_images, precision)
                cases["infer", precision, model, library] = inference(evaluated, infer_images, precision)
        saving = create(RECOMPUTED, model)
        for precision in chosen.precisions:
            cases["train", precision, model, RECOMPUTED] = training(saving, train_images, precision)
    samples, _ = interleaved(cases, chosen.repetitions)
    results = []
    for kind, precision, model, library in [key for key in cases if key[3] != "timm"]:
        ours, theirs = samples[kind, precision, model, library], samples[kind, precision, model, "timm"]
        faster = ratio(theirs, ours)
        result = {
            "what": kind,
            "precision": precision,
            "model": model,
            "library": library,
            "ours_ms": 1e3 * ours.spread.median,
            "timm_ms": 1e3 * theirs.spread.median,
            "ratio": faster.median,
            "ratio_low": faster.low,
            "ratio_high": faster.high,
        }
        if chosen.memory and kind == "train":
            ours_mib, theirs_mib = (peak_memory(name, model, precision, chosen) for name in (library, "timm"))
            result |= {"ours_mib": ours_mib, "timm_mib": theirs_mib, "memory_ratio": ours_mib / theirs_mib}
        results.append(result)
    console.print(table(results, chosen).to_rich())
    if chosen.out:
        machine = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
        versions = {"torch": torch.__version__, "timm": timm.__version__, "res2net": res2net.__version__}
        content = {"machine": machine, "versions": versions, "results": results}
        Path(chosen.out).write_text(json.dumps(content, indent=2) + "\n")


def table(results: list[dict], chosen: Arguments) -> Table:
    columns = (
        Column("what"),
        Column("precision"),
        Column("model"),
        Column("ours with"),
        Column("ours", "ms", digits=1),
        Column("timm", "ms", digits=1),
        Column("timm / ours"),
        Column("quartiles"),
        Column("peak, ours", "MiB", digits=0),
        Column("timm", "MiB", digits=0),
        Column("ours / timm"),
    )
    rows = [
        (
            *(r[name] for name in ("what", "precision", "model")),
            "recompute" if r["library"] == RECOMPUTED else "",
            *(r[name] for name in ("ours_ms", "timm_ms", "ratio")),
            f"{r['ratio_low']:.2f}-{r['ratio_high']:.2f}",
            *(r.get(name) for name in ("ours_mib", "timm_mib", "memory_ratio")),
        )
        for r in results
    ]
    title = (
        f"Channels last; training: batch {chosen.train_batch} of {chosen.train_size} px; inference: batch "
        f"{chosen.infer_batch} of {chosen.infer_size} px; {chosen.repetitions} repetitions, medians"
    )
    return Table(title, columns, rows)


if __name__ == "__main__":
    main()
