"""The tables of `res2net info`: cost, memory, stages and published weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.measure import Counts, Memory, ReceptiveField, format_count, mean_field
from res2net.report import Column, Table
from res2net.weights import WeightRecord

SIGNALS = {1: "signal", 2: "image", 3: "volume"}
"""Names of the inputs of networks, by number of dimensions."""


def common_dims(models: Mapping[str, Backbone]) -> int:
    """The number of dimensions of all models; raises `InputError` if they differ."""
    first, *others = models
    for name in others:
        if models[name].dims != models[first].dims:
            kinds = ["an image" if models[one].dims == 2 else f"a {SIGNALS[models[one].dims]}" for one in (first, name)]
            raise InputError(
                f"{first} takes {kinds[0]} and {name} {kinds[1]}, which "
                "cannot be compared: choose models for the same kind of input."
            )
    return models[first].dims


def cost_table(counts: Mapping[str, Counts], size: int, dims: int = 2) -> Table:
    """A table of parameters, MACs and activations for one image, of each model by name."""
    rows = {
        "parameters": [count.parameters for count in counts.values()],
        "multiply-accumulates (convolutions, linear)": [count.macs for count in counts.values()],
        "activations (their outputs)": [count.activations for count in counts.values()],
    }
    title = f"Cost of one {SIGNALS[dims]} of {' x '.join([str(size)] * dims)}"
    if len(counts) > 1:
        columns = (Column(""), *(Column(name) for name in counts))
        return Table(title, columns, [(what, *map(format_count, numbers)) for what, numbers in rows.items()])
    columns = (Column(""), Column("about"), Column("exactly"))
    return Table(title, columns, [(what, format_count(number), f"{number:,}") for what, (number,) in rows.items()])


def memory_table(memories: Mapping[str, Memory], size: int, batch_size: int, dims: int = 2) -> Table:
    """A table of the memory for weights, inference and training with one batch, of each model by name."""
    rows: dict[str, list[int | None]] = {
        "weights (parameters, buffers)": [memory.weights for memory in memories.values()],
        "inference, additionally: peak of activations": [memory.inference for memory in memories.values()],
        "training, additionally: kept for the backward pass": [memory.training for memory in memories.values()],
    }
    what = SIGNALS[dims] if batch_size == 1 else f"{SIGNALS[dims]}s"
    title = f"Memory with {batch_size} {what} of {' x '.join([str(size)] * dims)}"
    names = list(memories) if len(memories) > 1 else [""]
    columns = (Column(""), *(Column(name, "MiB", digits=1) for name in names))
    return Table(
        title,
        columns,
        [(what, *(None if size is None else size / 2**20 for size in sizes)) for what, sizes in rows.items()],
    )


def stage_table(model: Backbone, size: int, seen: Sequence[ReceptiveField], title: str = "Stages") -> Table:
    """A table of channels, stride, size and receptive field of each stage."""
    unit = "px" if model.dims == 2 else ""
    columns = (
        *(Column("stage"), Column("channels"), Column("stride", unit), Column("size", unit)),
        *(Column("smallest receptive field", unit), Column("mean of all paths", unit, digits=0)),
        Column("largest", unit),
    )
    rows = [
        (name, stage.channels, stage.stride, side, field.smallest, mean_field(field.paths), field.largest)
        for name, stage, side, field in zip(model.stage_names, model.stages, sides(model, size), seen, strict=True)
    ]
    return Table(title, columns, rows)


def sides(model: Backbone, size: int) -> list[int]:
    """The size of each stage's features along the last axis; `model` is on the meta device."""
    if model.exact_sizes:
        return [-(-size // stage.stride) for stage in model.stages]
    x = torch.empty(1, model.in_channels, *(size,) * model.dims, device="meta")
    with torch.no_grad():
        return [feature.shape[-1] for feature in copy.deepcopy(model).eval().features(x)]


def weights_table(found: Sequence[WeightRecord], title: str = "Published weights") -> Table:
    """A table of published weights with the metrics that their publishers claim."""
    rows = [
        (
            record.tag,
            record.source,
            ", ".join(f"{what} {value}" for what, value in record.metrics.items()),
            record.licence,
        )
        for record in found
    ]
    return Table(title, (Column("tag"), Column("from"), Column("claims", "%"), Column("licence")), rows)
