"""`res2net info`: what a model costs and how far it sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import tyro
from rich.console import Console

from res2net.backbones.base import Backbone
from res2net.backbones.registry import variant
from res2net.commands.arguments import parse
from res2net.measure import Counts, count, human, stage_fields
from res2net.report import Column, Table
from res2net.weights import WeightRecord, records
from res2net.zoo import create_model

__all__ = ["run"]


@dataclass(frozen=True)
class Arguments:
    """Which model, and how it is built."""

    model: tyro.conf.Positional[str]
    """Name of the architecture; `res2net models` lists them."""
    size: int | None = None
    """Side of the picture in pixels; by default 32 for a network of stride 4, else 224."""
    num_classes: int | None = None
    in_channels: int | None = None
    output_stride: int | None = None
    options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of the architecture, as pairs: `--options scale 8 base_width 14`."""


def run(arguments: Sequence[str]) -> None:
    """Print tables of a model's cost, of its stages, and of its published weights."""
    chosen = parse(Arguments, "info", arguments, "Tell a model's parameters, MACs, stages and receptive fields.")
    asked = {name: getattr(chosen, name) for name in ("num_classes", "in_channels", "output_stride")}
    options: dict[str, Any] = chosen.options | {name: value for name, value in asked.items() if value is not None}
    with torch.device("meta"):
        model = create_model(chosen.model, **options)
    size = chosen.size or (32 if model.stages[-1].stride < 8 else 224)
    console = Console()
    console.print(f"{chosen.model}: {variant(chosen.model).about}", highlight=False, markup=False)
    counts = count(model, (model.in_channels, size, size))
    console.print(cost_table(counts, size).to_rich())
    console.print(stage_table(model, size).to_rich())
    found = records(chosen.model)
    if found:
        console.print(weights_table(found).to_rich())


def cost_table(counts: Counts, size: int) -> Table:
    """Parameters, MACs and activations of one picture."""
    rows = [
        ("parameters", human(counts.parameters), f"{counts.parameters:,}"),
        ("multiply-accumulates (convolutions, linear)", human(counts.macs), f"{counts.macs:,}"),
        ("activations (their outputs)", human(counts.activations), f"{counts.activations:,}"),
    ]
    return Table(f"Cost of one picture of {size} x {size}", (Column(""), Column("about"), Column("exactly")), rows)


def stage_table(model: Backbone, size: int) -> Table:
    """Channels, stride, size and receptive field of each stage."""
    names = ["stem", *(f"layer{index}" for index in range(1, len(model.stages)))]
    rows = [
        (name, stage.channels, stage.stride, -(-size // stage.stride), seen.smallest, seen.largest)
        for name, stage, seen in zip(names, model.stages, stage_fields(model), strict=True)
    ]
    columns = (
        Column("stage"),
        Column("channels"),
        Column("stride", "px"),
        Column("size", "px"),
        Column("smallest receptive field", "px"),
        Column("largest", "px"),
    )
    return Table("Stages", columns, rows)


def weights_table(found: Sequence[WeightRecord]) -> Table:
    """Published weights and what their publishers claim."""
    rows = [
        (
            record.tag,
            record.source,
            ", ".join(f"{what} {value}" for what, value in record.metrics.items()),
            record.licence,
        )
        for record in found
    ]
    return Table("Published weights", (Column("tag"), Column("from"), Column("claims", "%"), Column("licence")), rows)
