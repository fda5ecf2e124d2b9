"""`res2net bench`: how fast models run, in every way to run them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from rich.console import Console

from res2net.commands.arguments import parse
from res2net.errors import InputError, check_choice, check_range

if TYPE_CHECKING:
    from res2net.bench import Benchmark, Case, Setting, Subject
    from res2net.bench.run import Files

__all__ = ["run"]

ABOUT = """Measure how fast models run: latency, throughput, training steps and memory, all cases in turn in one
process, beside what the machine can do at most."""
ACCELERATORS = ("auto", "cpu", "gpu")
NARROWEST = 150
"""Columns of a terminal that the tables take, if it has fewer."""


@dataclass(frozen=True)
class Arguments:
    """What is measured, and how."""

    models: tyro.conf.Positional[tuple[str, ...]]
    """Names of models (`res2net models`), of timm's as `timm:NAME`, or checkpoints of `res2net train`."""
    runtimes: str = "eager,optimized"
    """Of eager, optimized, compiled, onnx, openvino, pt2; with commas between them."""
    precisions: str = "fp32"
    """Of fp32, bf16, int8; each runtime leaves out those that it has not."""
    batch_sizes: str = "1"
    """Images at a time, such as 1,8; an empty text measures no inference."""
    size: int | None = None
    """Side of the images, pixels; by default the largest that one of the models has by itself."""
    train: bool = False
    """Also measure a step of training: forward, loss, backward, SGD."""
    train_batch: int = 16
    """Images of that step."""
    train_size: int | None = None
    """Side of them, pixels; by default that of the others."""
    memory: bool = False
    """Also measure the memory of each case, in processes of their own."""
    layers: bool = False
    """Also tell the time of each layer in OpenVINO; it needs openvino among --runtimes."""
    repetitions: int = 15
    """Rounds in which every case has its turn."""
    seconds: float = 60.0
    """A case that has taken longer, in all rounds, sits out the others."""
    threads: int | None = None
    """Of the processor; by default as many as torch takes."""
    channels_last: bool = True
    """Memory format of networks and images in torch."""
    accelerator: str = "auto"
    """cpu, gpu, or auto."""
    json: str | None = None
    """Write all results, with every sample and the machine, to this file."""
    plot: str | None = None
    """Draw the latency of the first batch size into this file, .png or .svg."""
    accuracy: str | None = None
    """With --plot: a JSON file with the top-1 accuracy of each model in percent; by default of published weights."""


def run(arguments: Sequence[str]) -> int:
    """Measure, print, and write; returns 1 where Ctrl-C ended it early."""
    chosen = parse(Arguments, "bench", arguments, ABOUT)
    if not chosen.models:
        raise InputError("`res2net bench` lacks what it works on: see `res2net bench --help`.")
    check_numbers(chosen)
    check_files(chosen)

    from res2net.bench import export_all, open_subject, plan, run_benchmark

    accuracies = read_accuracy(chosen.accuracy)
    setting = make_setting(chosen)
    names = list(dict.fromkeys(chosen.models))
    subjects = {name: open_subject(name) for name in names}
    size = chosen.size or max(subject.side for subject in subjects.values())
    train_size = chosen.train_size or size
    cases, left_out = plan(
        names,
        words(chosen.runtimes),
        words(chosen.precisions),
        batches=numbers(chosen.batch_sizes),
        size=size,
        train=(chosen.train_batch, train_size) if chosen.train else None,
        device=setting.device,
    )
    if chosen.layers and not any(case.runtime == "openvino" for case in cases):
        raise InputError("--layers is told by OpenVINO: add openvino to --runtimes.")
    for subject in subjects.values():
        for side in {case.size for case in cases}:
            subject.count(side)  # it says where a size does not fit
        subject.settle(size)

    progress, console = Console(stderr=True), Console()
    console = Console(width=max(NARROWEST, console.width))
    if left_out:
        progress.print(f"Left out: {'; '.join(left_out)}.", highlight=False, soft_wrap=True)
    with export_all(cases, subjects, progress) as files:
        found = run_benchmark(
            cases,
            subjects,
            setting,
            files,
            repetitions=chosen.repetitions,
            seconds=chosen.seconds,
            memory=chosen.memory,
            console=progress,
        )
        show(found, console)
        layers = show_layers(found, subjects, files, console) if chosen.layers and found.finished else {}
    if chosen.json:
        write_json(Path(chosen.json), found, layers, arguments)
    if chosen.plot and found.results:
        draw(Path(chosen.plot), found, names, accuracies)
    if not found.finished:
        progress.print("Stopped: these are the rounds until then.", highlight=False)
    return 0 if found.finished else 1


def words(text: str) -> list[str]:
    """What stands between commas, each once."""
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def numbers(text: str) -> list[int]:
    """Whole numbers between commas."""
    try:
        return [int(word) for word in words(text)]
    except ValueError:
        raise InputError(f"--batch-sizes {text!r} does not fit: give whole numbers with commas, such as 1,8.") from None


def check_numbers(chosen: Arguments) -> None:
    """Raise `InputError` where a number is out of range."""
    for name in ("train_batch", "repetitions"):
        check_range(name.replace("_", " "), getattr(chosen, name), 1)
    check_range("train batch", chosen.train_batch, 2 if chosen.train else 1)
    check_range("seconds", chosen.seconds, 0)
    for name in ("size", "train_size", "threads"):
        if getattr(chosen, name) is not None:
            check_range(name.replace("_", " "), getattr(chosen, name), 1)
    check_choice("Accelerator", chosen.accelerator, ACCELERATORS)


def check_files(chosen: Arguments) -> None:
    """Raise `InputError` where a file cannot be written in the end, before minutes are spent."""
    if chosen.plot and Path(chosen.plot).suffix not in (".png", ".svg"):
        raise InputError(f"{chosen.plot} is no name of a plot: let it end in .png or .svg.")
    if chosen.accuracy and not chosen.plot:
        raise InputError("--accuracy is for the plot: add --plot FILE.png.")
    for file in (chosen.json, chosen.plot):
        if file and not Path(file).parent.is_dir():
            raise InputError(f"There is no folder {Path(file).parent} to write {file} to: make it first.")
        if file and Path(file).is_dir():
            raise InputError(f"{file} is a folder: name a file in it to write.")


def read_accuracy(file: str | None) -> dict[str, float]:
    """Top-1 accuracy by model."""
    if file is None:
        return {}
    try:
        said = json.loads(Path(file).read_text(encoding="utf-8"))
        return {str(name): float(value) for name, value in said.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f'{file} does not tell accuracies ({error}): give a JSON file such as {{"resnet50": 76.1}}.'
        ) from error


def make_setting(chosen: Arguments) -> Setting:
    """Device, threads and memory format."""
    import torch

    from res2net.bench import Setting

    there = torch.cuda.is_available()
    if chosen.accelerator == "gpu" and not there:
        raise InputError("This machine has no gpu that torch can use: choose --accelerator cpu.")
    gpu = there and chosen.accelerator != "cpu"
    return Setting(chosen.threads or torch.get_num_threads(), chosen.channels_last, "cuda" if gpu else "cpu")


def show(found: Benchmark, console: Console) -> None:
    """Print the tables, the machine and what is to be doubted."""
    machine = found.machine
    if not found.results:
        return
    console.print(
        f"{machine['gpu'] or machine['processor']}, {machine['threads']} threads on {machine['cores']} cores; "
        f"medians of {max(len(result.samples.seconds) for result in found.results)} rounds",
        highlight=False,
    )
    for table in found.tables():
        console.print(table.to_rich())
    console.print(found.peak_line(), highlight=False)
    for warning in found.warnings:
        console.print(f"Warning: {warning}", style="yellow", highlight=False)


def show_layers(
    found: Benchmark, subjects: Mapping[str, Subject], files: Files, console: Console
) -> dict[Case, list[Any]]:
    """Print the layers of each model in OpenVINO in each precision, with the first batch size."""
    from res2net.bench.layers import kind_table, layer_table, profile_layers

    seen = set()
    layers = {}
    for result in found.results:
        case = result.case
        file = files[case]
        if case.runtime != "openvino" or file is None or (case.model, case.precision) in seen:
            continue
        seen.add((case.model, case.precision))
        layers[case] = profile_layers(case, subjects[case.model], found.setting, file)
        of = f"of {case.model} in {case.precision}, batch {case.batch}"
        console.print(layer_table(layers[case], f"Slowest layers {of}", result.peak).to_rich())
        console.print(kind_table(layers[case], f"Kinds of layers {of}", result.peak).to_rich())
    return layers


def write_json(path: Path, found: Benchmark, layers: Mapping[Case, Sequence[Any]], arguments: Sequence[str]) -> None:
    """Write everything that was found."""
    from dataclasses import asdict

    from res2net.weights import atomic_write

    content = {
        "command": shlex.join(["res2net", "bench", *arguments]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **found.to_dict(),
        "layers": [asdict(case) | {"layers": [asdict(layer) for layer in all_]} for case, all_ in layers.items()],
    }
    atomic_write(path, lambda file: file.write(json.dumps(content, indent=2).encode()))


def draw(path: Path, found: Benchmark, names: Sequence[str], accuracies: Mapping[str, float]) -> None:
    """Draw the first group of results."""
    from res2net.bench.plot import latency_figure
    from res2net.bench.subjects import published_top1
    from res2net.report import render
    from res2net.weights import atomic_write

    known = {name: value for name in names if (value := accuracies.get(name, published_top1(name))) is not None}
    figure = latency_figure(next(found.groups()), known)
    content = render(figure, path.suffix.removeprefix("."))
    atomic_write(path, lambda file: file.write(content))
