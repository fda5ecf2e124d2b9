"""`res2net info`: costs, stages and receptive fields of models; or what a run, checkpoint or exported network is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import tyro

from res2net.commands.parser import parse
from res2net.console import Console
from res2net.errors import InputError
from res2net.options import check_ranges

ABOUT = """Print the parameters, MACs, memory, stages and receptive fields of models, side by side if there are several;
or what a run, a checkpoint or an exported network is, and how it was trained."""


@dataclass(frozen=True)
class Arguments:
    """Options of `res2net info`."""

    models: Annotated[tyro.conf.Positional[tuple[str, ...]], "MODEL|RUN|FILE ..."]
    """Names of models, which `res2net models` lists; or folders of runs, checkpoints and exported networks."""
    size: int | None = None
    """Side of the image in pixels; by default 32 for networks of stride 4, 64 for volumes, else 224."""
    batch_size: int = 1
    """Batch size for which the memory is estimated."""
    num_classes: int | None = None
    """Classes of the classifier; 0 removes it."""
    in_channels: int | None = None
    """Channels of the image."""
    output_stride: int | None = None
    """Stride of the last stage; dilation replaces the strides beyond it."""
    options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of the architecture: `--options scale 8 base_width 14`."""
    plot: Annotated[str | None, "FILE"] = None
    """File for a plot of the receptive fields, .png or .svg: those of all paths, and the effective ones, which are
    measured by gradients."""
    samples: int = 16
    """Number of images over which the effective fields are averaged."""
    images: Annotated[str | None, "PATH"] = None
    """Image, or folder of images, for the effective fields; by default noise."""
    weights: Annotated[tuple[str, ...], "FILE|TAG ..."] = ()
    """Tag such as "in1k", or checkpoint file, of each model for the effective fields; by default random weights."""


def run(arguments: Sequence[str]) -> None:
    """Print tables of costs, stages and published weights, and plot receptive fields."""
    chosen = parse(Arguments, "info", arguments, ABOUT)
    if not chosen.models:
        raise InputError("`res2net info` needs at least one model: see `res2net info --help`.")
    check_ranges(chosen, batch_size=(1, math.inf), size=(1, math.inf))
    if chosen.plot is None and (chosen.images is not None or chosen.weights):
        raise InputError("--images and --weights are used by the plot only: add --plot FILE.png.")

    from res2net.commands.trained import is_trained, trained_tables

    if files := [name for name in chosen.models if is_trained(name)]:
        if len(files) < len(chosen.models) or chosen != Arguments(chosen.models):
            raise InputError(f"{files[0]} is described as it is: leave out names of models and options of their costs.")
        console = Console()
        for table in (table for name in files for table in trained_tables(name)):
            console.print(table.to_rich())
        return

    import torch

    from res2net.backbones.base import default_image_size
    from res2net.backbones.registry import variant
    from res2net.commands.costs import (
        common_dims,
        cost_table,
        memory_table,
        stage_table,
        weights_table,
    )
    from res2net.measure import count, count_memory, stage_fields
    from res2net.weights import records
    from res2net.zoo import check_model_options, create_model

    names = list(dict.fromkeys(chosen.models))
    asked = {name: getattr(chosen, name) for name in ("num_classes", "in_channels", "output_stride")}
    options: dict[str, Any] = chosen.options | {name: value for name, value in asked.items() if value is not None}
    for name in names:
        check_model_options(name, options)
    with torch.device("meta"):
        models = {name: create_model(name, **options) for name in names}
    dims = common_dims(models)
    if chosen.plot is not None:
        from res2net.commands.fields import check_plot, draw_fields

        check_plot(chosen.plot, models, chosen.samples, chosen.weights)
    size = chosen.size or max(default_image_size(model) for model in models.values())
    inputs = {name: (model.in_channels, *(size,) * dims) for name, model in models.items()}
    console = Console()
    for name in names:
        console.print(f"{name}: {variant(name).about}", highlight=False, markup=False)
    console.print(cost_table({name: count(models[name], inputs[name]) for name in names}, size, dims).to_rich())
    memories = {name: count_memory(models[name], inputs[name], chosen.batch_size) for name in names}
    console.print(memory_table(memories, size, chosen.batch_size, dims).to_rich())
    for name, model in models.items():
        of = f" of {name}" if len(names) > 1 else ""
        console.print(stage_table(model, size, stage_fields(model), f"Stages{of}").to_rich())
        if found := records(name):
            console.print(weights_table(found, f"Published weights{of}").to_rich())
    if chosen.plot is not None:
        draw_fields(
            chosen.plot,
            names,
            options,
            size=size,
            samples=chosen.samples,
            images=chosen.images,
            weights=chosen.weights,
            console=console,
        )
