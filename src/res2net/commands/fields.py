"""The plot of `res2net info --plot`: receptive fields of all paths, and effective receptive fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from res2net.backbones.base import Backbone
from res2net.commands.arguments import FIGURES, check_output
from res2net.console import Console
from res2net.errors import InputError, check_range
from res2net.measure import calibrate_norms, effective_field, stage_fields
from res2net.report import Fields, fields_figure, save_figure
from res2net.report.progress import track
from res2net.weights import Preprocessing
from res2net.zoo import create_model, find_checkpoint, preprocessing_of

CALIBRATION = 8
"""Number of images from which untrained networks get the statistics of their normalisations."""


def check_plot(path: str, models: Mapping[str, Backbone], samples: int, weights: Sequence[str]) -> None:
    """Raise `InputError` if a plot cannot be drawn, before anything is computed."""
    check_output(Path(path), FIGURES)
    check_range("samples", samples, 1, 10_000)
    if weights and len(weights) != len(models):
        raise InputError(f"There are {len(weights)} --weights for {len(models)} models: give one per model.")
    for name, model in models.items():
        if model.dims != 2:
            raise InputError(f"{name} does not take images: --plot needs models for images.")
        stage_fields(model)  # raises for unknown layers


def draw_fields(
    path: str,
    names: Sequence[str],
    options: Mapping[str, Any],
    *,
    size: int,
    samples: int,
    images: str | None,
    weights: Sequence[str],
    console: Console,
) -> None:
    """Measure the fields of models on images with the side of `image_side`, and write the figure."""
    fields: dict[str, Fields] = {}
    with torch.random.fork_rng(devices=[]):
        for name in track("effective fields", names, Console(stderr=True)):
            torch.manual_seed(0)
            checkpoint = find_checkpoint(name, weights[names.index(name)]) if weights else None
            model = create_model(name, checkpoint, **options)
            side = image_side(model, size)
            preprocessing = (preprocessing_of(checkpoint) if checkpoint else None) or default_preprocessing(
                model.in_channels
            )
            if images is None:
                inputs = torch.randn(samples, model.in_channels, side, side)
            else:
                inputs = real_images(images, samples, replace(preprocessing, size=side))
            if checkpoint is None:
                calibrate_norms(model, inputs[:CALIBRATION] if len(inputs) > 1 else inputs.expand(2, -1, -1, -1))
            fields[name] = Fields(stage_fields(model)[-1].paths, effective_field(model, inputs))
    save_figure(fields_figure(fields), path)
    count, kind = len(inputs), "noise images" if images is None else f"images of {images}"
    state = "the given weights" if weights else "random weights"
    message = f"{path}: effective fields with {state}, mean of {count} {kind}."
    console.out(message, highlight=False)


def image_side(model: Backbone, size: int) -> int:
    """The least odd side, `size` or more, at which one position of the last stage is exactly in the centre.

    For a network that takes only multiples of a size, it is the next multiple, and the position is near the centre.
    """
    if model.size_multiple > 1:
        return -(-size // model.size_multiple) * model.size_multiple
    step = 2 * model.stages[-1].stride
    return -(-(size - 1) // step) * step + 1


def default_preprocessing(channels: int) -> Preprocessing:
    """The preprocessing for networks without weights."""
    return Preprocessing() if channels == 3 else Preprocessing(mean=(0.5,) * channels, std=(0.25,) * channels)


def real_images(path: str, samples: int, preprocessing: Preprocessing) -> Tensor:
    """Load the first images of a folder, or one image, as `(N, C, side, side)`."""
    from res2net.images.decode import read_image
    from res2net.images.folder import list_images
    from res2net.images.transforms import eval_transform

    transform = eval_transform(preprocessing)
    paths = list_images(path)[:samples]
    return torch.stack([transform(read_image(one), {})[0] for one in paths])
