"""Time a training step of Res2Net-50 with one idea at a time for making it faster, interleaved in one process.

    uv run --group test python benchmarks/training_ideas.py

Prints where the time of a plain step goes, then medians and the ratio of the plain step's time to that with each idea
(above 1 the idea is faster), with quartiles over the rounds. See `--help` for the options.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import tyro
from rich.console import Console
from torch import Tensor, nn
from torch.profiler import profile

import res2net
from res2net.bench.timing import interleaved, ratio
from res2net.nn import Res2Bottleneck
from res2net.report import Column, Table
from train_and_infer import random_images, training

OPERATORS = 8
"""Rows of the profile."""


@dataclass(frozen=True)
class Arguments:
    """What is timed, and how often."""

    model: str = "res2net50_26w_4s"
    repetitions: int = 7
    """Timed steps of everything, in turn, after one that is not counted."""
    batch: int = 16
    size: int = 128
    """Side of the images, pixels."""
    precisions: tuple[str, ...] = ("fp32", "bf16")
    ideas: tuple[str, ...] = ("recompute", "dense splits", "no concatenation", "compiled blocks")
    out: str | None = None
    """Write the results to this JSON file."""


def blocks(model: nn.Module) -> list[Res2Bottleneck]:
    return [module for module in model.modules() if isinstance(module, Res2Bottleneck)]


def create(name: str, idea: str) -> nn.Module:
    """The model with one idea carried out."""
    torch.manual_seed(0)
    model = res2net.create_model(name, recompute=idea == "recompute").to(memory_format=torch.channels_last)
    for block in blocks(model):
        if idea == "dense splits":
            block.branch = partial(dense_branch, block)  # type: ignore[method-assign]
        elif idea == "no concatenation":
            block.forward = partial(without_concatenation, block)  # type: ignore[method-assign]
        elif idea == "compiled blocks":
            block.compile(dynamic=False)  # each by itself, as their shapes differ
    return model


def dense_branch(block: Res2Bottleneck, x: Tensor, **layers: nn.Module) -> Tensor:
    """Each split in memory of its own before its convolution, instead of a view of every w-th channel."""
    return Res2Bottleneck.branch(block, x.contiguous(memory_format=torch.channels_last), **layers)


def without_concatenation(block: Res2Bottleneck, x: Tensor) -> Tensor:
    """The last convolution as a sum of one for each split, so that nothing is concatenated."""
    y = block.act1(block.bn1(block.conv1(x)))
    steps = [partial(block.branch, conv=conv, norm=norm, act=act) for conv, norm, act in block.branches()]

    splits = list(y.split(block.width, 1))
    before: Tensor | None = None
    for position, step in zip(block.layout.convolved, steps, strict=True):
        split = splits[position] if before is None else before + splits[position]
        splits[position] = step(split)
        before = splits[position] if block.layout.hierarchical else None
    if block.pool is not None:
        splits[-1] = block.pool(splits[-1])
    weights = block.conv3.weight.split(block.width, 1)
    y = sum(nn.functional.conv2d(split, weight) for split, weight in zip(splits, weights, strict=True))
    return block.act3(block.bn3(y).add_(block.downsample(x)))


def same_function(model: nn.Module, other: nn.Module, images: Tensor) -> float:
    """The relative difference of the outputs, in evaluation."""
    with torch.no_grad():
        one, two = model.eval()(images), other.eval()(images)
    return float((one - two).abs().max() / two.abs().max())


def main() -> None:
    chosen = tyro.cli(Arguments, description=__doc__)
    torch._dynamo.config.recompile_limit = 2**10  # else the ninth block would run without being compiled
    console = Console(width=max(110, Console().width))
    images = random_images(chosen.batch, chosen.size)
    plain = create(chosen.model, "")
    step = training(plain, images, "fp32")
    step()
    with profile() as seen:
        step()
    rows = sorted(seen.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    shares = [(row.key, row.count, 100 * row.self_cpu_time_total / total) for row in rows[:OPERATORS]]
    columns = (Column("operator"), Column("calls", digits=0), Column("share", "%", digits=1))
    console.print(Table("A plain step in fp32", columns, shares).to_rich())

    cases: dict[tuple[str, ...], Callable[[], None]] = {}
    for idea in ("", *chosen.ideas):
        model = create(chosen.model, idea)
        difference = 0.0 if idea == "compiled blocks" else same_function(model, create(chosen.model, ""), images[:2])
        assert difference < 1e-4, f"{idea} is another function: {difference}"
        for precision in chosen.precisions:
            cases[precision, idea] = training(model, images, precision)
    samples, _ = interleaved(cases, chosen.repetitions)
    results = []
    for precision, idea in cases:
        faster = ratio(samples[precision, ""], samples[precision, idea])
        results.append(
            {
                "precision": precision,
                "idea": idea or "none",
                "ms": 1e3 * samples[precision, idea].spread.median,
                "ratio": faster.median,
                "ratio_low": faster.low,
                "ratio_high": faster.high,
            }
        )
    columns = (
        Column("precision"),
        Column("idea"),
        Column("step", "ms", digits=0),
        Column("speed"),
        Column("quartiles"),
    )
    table = [
        (r["precision"], r["idea"], r["ms"], r["ratio"], f"{r['ratio_low']:.2f}-{r['ratio_high']:.2f}") for r in results
    ]
    title = f"{chosen.model}, batch {chosen.batch} of {chosen.size} px, {chosen.repetitions} repetitions"
    console.print(Table(title, columns, table).to_rich())
    if chosen.out:
        content = {"torch": torch.__version__, "threads": torch.get_num_threads(), "results": results}
        Path(chosen.out).write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
