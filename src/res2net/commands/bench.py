"""`res2net bench`: latency, throughput and memory of models in all runtimes."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import tyro

from res2net.commands.arguments import FIGURES, check_output
from res2net.commands.parser import parse
from res2net.console import Console
from res2net.errors import InputError
from res2net.files import read_json
from res2net.options import check_ranges

if TYPE_CHECKING:
    from res2net.bench import Benchmark, Case, Precision, Setting, Subject
    from res2net.bench.run import Files

ABOUT = """Measure how fast models run: latency, throughput, training steps and memory, all cases interleaved in one
process, relative to the peak performance of the machine."""
MIN_COLUMNS = 150
"""Least width of the tables in characters, also in narrower terminals."""


@dataclass(frozen=True)
class Arguments:
    """Options of `res2net bench`."""

    models: Annotated[tyro.conf.Positional[tuple[str, ...]], "MODEL ..."]
    """Names of models (`res2net models`), models of timm as `timm:NAME`, checkpoints, folders of runs, or exported
    files."""
    runtimes: str = "eager,optimized"
    """Runtimes, separated by commas: eager, optimized, compiled, onnx, openvino, pt2."""
    precisions: str = "fp32"
    """Precisions, separated by commas: fp32, bf16, int8. Each runtime skips those that it does not support."""
    batch_sizes: str = "1"
    """Batch sizes, separated by commas, such as 1,8. An empty text skips inference."""
    size: int | None = None
    """Side of the images in pixels; by default the largest default of the models."""
    train: bool = False
    """Also measure a training step: forward, loss, backward, SGD."""
    train_batch: int = 16
    """Batch size of the training step."""
    train_size: int | None = None
    """Side of the images of the training step in pixels; by default that for inference."""
    memory: bool = False
    """Also measure the peak memory of each case, each in a process of its own."""
    layers: bool = False
    """Also print the time of each layer in OpenVINO, which must be among --runtimes."""
    repetitions: int = 15
    """Number of rounds; each measures every case once."""
    seconds: float = 60.0
    """Time limit of a case in seconds: one that has taken longer skips the remaining rounds."""
    threads: int | None = None
    """Number of CPU threads; by default that of torch."""
    channels_last: bool = True
    """Use the channels-last memory format in torch."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where torch computes; auto takes a GPU if there is one."""
    json: Annotated[str | None, "FILE"] = None
    """JSON file to write all results to, with every sample and a description of the machine."""
    plot: Annotated[str | None, "FILE"] = None
    """File for a plot of the latency at the first batch size, .png or .svg."""
    accuracy: Annotated[str | None, "FILE"] = None
    """JSON file with the top-1 accuracy of each model in percent, for --plot; by default that of published weights."""


def run(arguments: Sequence[str]) -> int:
    """Run the benchmark, print and write its results; returns 1 if Ctrl-C ended it early."""
    chosen = parse(Arguments, "bench", arguments, ABOUT)
    if not chosen.models:
        raise InputError("`res2net bench` needs at least one model: see `res2net bench --help`.")
    positive = (1, math.inf)
    check_ranges(chosen, repetitions=positive, size=positive, train_size=positive, threads=positive)
    check_ranges(chosen, train_batch=(2 if chosen.train else 1, math.inf), seconds=(0, math.inf))
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
        cast("list[Precision]", words(chosen.precisions)),  # `plan` checks them
        batches=numbers(chosen.batch_sizes),
        size=size,
        train=(chosen.train_batch, train_size) if chosen.train else None,
        device=setting.device,
    )
    if chosen.layers and not any(case.runtime == "openvino" for case in cases):
        raise InputError("--layers needs OpenVINO: add openvino to --runtimes.")
    for subject in subjects.values():
        for side in {case.size for case in cases}:
            subject.count(side)  # raises for a size that does not fit
        subject.calibrate(size)

    progress, console = Console(stderr=True), Console()
    console = Console(width=max(MIN_COLUMNS, console.width))
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
        progress.print("Stopped early: the results are those of the finished rounds.", highlight=False)
    return 0 if found.finished else 1


def words(text: str) -> list[str]:
    """Split a text at commas, without repetitions."""
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def numbers(text: str) -> list[int]:
    """Parse integers separated by commas."""
    try:
        return [int(word) for word in words(text)]
    except ValueError:
        raise InputError(f"--batch-sizes {text!r} are not whole numbers: separate them by commas, as in 1,8.") from None


def check_files(chosen: Arguments) -> None:
    """Raise `InputError` if an output file cannot be written, before the measurement starts."""
    if chosen.accuracy and not chosen.plot:
        raise InputError("--accuracy is used by the plot only: add --plot FILE.png.")
    for file, endings in ((chosen.json, ()), (chosen.plot, FIGURES)):
        if file:
            check_output(Path(file), endings)


def read_accuracy(file: str | None) -> dict[str, float]:
    """Read the file of top-1 accuracies by model."""
    if file is None:
        return {}
    try:
        accuracies = read_json(file)
        return {str(name): float(value) for name, value in accuracies.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f'{file} is not a JSON file of accuracies ({error}): write it like {{"resnet50": 76.1}}.'
        ) from error


def make_setting(chosen: Arguments) -> Setting:
    """Choose the device, the number of threads and the memory format."""
    import torch

    from res2net.bench import Setting

    available = torch.cuda.is_available()
    if chosen.accelerator == "gpu" and not available:
        raise InputError("This machine has no GPU that torch can use: choose --accelerator cpu.")
    gpu = available and chosen.accelerator != "cpu"
    return Setting(chosen.threads or torch.get_num_threads(), chosen.channels_last, "cuda" if gpu else "cpu")


def show(found: Benchmark, console: Console) -> None:
    """Print the machine, the tables and the warnings."""
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
    """Measure and print the layers of each model and precision in OpenVINO, at the first batch size."""
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
        console.print(kind_table(layers[case], f"Types of layers {of}", result.peak).to_rich())
    return layers


def write_json(path: Path, found: Benchmark, layers: Mapping[Case, Sequence[Any]], arguments: Sequence[str]) -> None:
    """Write all results to a JSON file."""
    from res2net.weights import atomic_write

    content = {
        "command": shlex.join(["res2net", "bench", *arguments]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **found.to_dict(),
        "layers": [asdict(case) | {"layers": [asdict(layer) for layer in all_]} for case, all_ in layers.items()],
    }
    atomic_write(path, json.dumps(content, indent=2).encode())


def draw(path: Path, found: Benchmark, names: Sequence[str], accuracies: Mapping[str, float]) -> None:
    """Plot the first group of results."""
    from res2net.bench.cases import published_top1
    from res2net.bench.plot import latency_figure
    from res2net.report import save_figure

    known = {name: value for name in names if (value := accuracies.get(name, published_top1(name))) is not None}
    save_figure(latency_figure(next(found.groups()), known), path)
