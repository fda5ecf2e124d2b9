"""The cases of a benchmark (model, runtime, precision, batch size and image size), and the networks that they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from res2net.backbones.base import default_image_size
from res2net.errors import InputError, check_choice, check_range, nearest
from res2net.export.artefact import read_artefact, sidecar
from res2net.export.settings import FORMATS
from res2net.measure import Counts, calibrate_norms, count
from res2net.weights import records
from res2net.zoo import create_model, is_file, load_model, preprocessing_of

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Runtime:
    """What a runtime supports."""

    precisions: tuple[Precision, ...]
    """The precisions that it computes in."""
    format: str | None = None
    """The format of `res2net.export` that it runs; None if it runs the network itself."""
    trains: bool = False
    """Whether it can train."""


RUNTIMES = {
    "eager": Runtime(("fp32", "bf16"), trains=True),
    "optimized": Runtime(("fp32", "bf16")),
    "compiled": Runtime(("fp32", "bf16"), trains=True),
    "onnx": Runtime(("fp32", "int8"), "onnx"),
    "openvino": Runtime(("fp32", "bf16", "int8"), "openvino"),
    "pt2": Runtime(("fp32",), "pt2"),
}
"""The runtimes by name, in the order of tables and plots."""


@dataclass(frozen=True)
class Case:
    """A measurement: one model in one runtime and precision."""

    model: str
    runtime: str
    """A name of `RUNTIMES`."""
    precision: Precision
    batch: int
    """Images per call."""
    size: int
    """Side of the images in pixels."""
    training: bool = False
    """Whether a training step is measured instead of inference."""

    @property
    def group(self) -> tuple[bool, int]:
        """The key of the cases that this one is compared with."""
        return self.training, self.batch

    def __str__(self) -> str:
        what = "training" if self.training else "inference"
        return f"{self.model}, {self.runtime} {self.precision}, {what}, batch {self.batch}"


@dataclass(frozen=True)
class Setting:
    """The settings that all cases share."""

    threads: int
    """CPU threads."""
    channels_last: bool = True
    """Whether networks and images in torch are in channels-last memory format."""
    device: Device = "cpu"


def plan(
    models: Sequence[str],
    runtimes: Sequence[str],
    precisions: Sequence[Precision],
    *,
    batches: Sequence[int],
    size: int,
    train: tuple[int, int] | None = None,
    device: Device = "cpu",
) -> tuple[list[Case], list[str]]:
    """List all cases, group by group, and describe the combinations that are left out.

    Args:
        models: names of the models.
        runtimes: names of `RUNTIMES`.
        precisions: names of `PRECISIONS`; those that a runtime does not support are left out.
        batches: batch sizes for inference.
        size: side of the images in pixels.
        train: batch size and side of the images for training steps; None to measure none.
        device: the device.

    Raises:
        InputError: a name is unknown, or there is nothing to measure.
    """
    for name in runtimes:
        check_choice("runtime", name, RUNTIMES)
    for precision in precisions:
        check_choice("precision", precision, Precision)
    if not runtimes or not precisions:
        raise InputError("There is nothing to measure: give at least one of --runtimes and one of --precisions.")
    for batch in batches:
        check_range("batch size", batch, 1)
    if not batches and train is None:
        raise InputError("There is nothing to measure: give --batch-sizes, or --train.")
    for name in runtimes:
        if device == "cuda" and RUNTIMES[name].format:
            raise InputError(f"Runtime {name} runs on the CPU only: choose eager, optimized or compiled on a GPU.")
        if not set(precisions) & set(RUNTIMES[name].precisions):
            allowed = " or ".join(RUNTIMES[name].precisions)
            raise InputError(f"Runtime {name} has no {' or '.join(precisions)}: choose {allowed}.")
    left = [
        f"{precision} with {', '.join(lacking)}"
        for precision in precisions
        if (lacking := [name for name in runtimes if precision not in RUNTIMES[name].precisions])
    ]
    pairs = [(p, r) for p in precisions for r in runtimes if p in RUNTIMES[r].precisions]
    cases = [Case(m, r, p, batch, size) for batch in batches for p, r in pairs for m in models]
    if train is not None:
        training = [(p, r) for p, r in pairs if RUNTIMES[r].trains]
        if not training:
            raise InputError("None of the runtimes can train: add eager or compiled, or leave out --train.")
        cases += [Case(m, r, p, *train, training=True) for p, r in training for m in models]
        if lacking := [name for name in runtimes if not RUNTIMES[name].trains]:
            left.append(f"training with {', '.join(lacking)}")
    return cases, left


TIMM = "timm:"
"""Prefix of the names of timm's models."""
CALIBRATION = 4
"""Number of random images from which an untrained network gets the statistics of its normalisations."""


@dataclass(frozen=True)
class Subject:
    """A network to measure, in evaluation mode."""

    name: str
    """Name as given by the user."""
    model: nn.Module
    channels: int
    side: int
    """Default side of its images in pixels."""
    ours: bool
    """Whether it is a model of this library, which is optimised before it is compiled or exported."""
    fresh: bool
    """Whether its weights are random."""

    def count(self, size: int) -> Counts:
        """Count parameters and MACs of the original network for one image of that side."""
        try:
            return count(self.model, (self.channels, size, size))
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from error

    def calibrate(self, size: int) -> None:
        """Give an untrained network realistic activations: multiplications by zero could take less time."""
        if self.fresh:
            calibrate_norms(self.model, random_images(CALIBRATION, self.channels, size))


def open_subject(name: str) -> Subject:
    """Open a model of this library by name, a model of timm by `timm:NAME`, or the weights of a model.

    Weights are a checkpoint or the folder of a run; of a detector or another network around a backbone, its backbone is
    measured. An exported file stands for the network that its description states, which is exported anew for each
    runtime and has random weights.

    Raises:
        InputError: there is no such model or file, or it is not for images.
    """
    torch.manual_seed(0)
    if name.startswith(TIMM):
        return timm_subject(name)
    path = Path(name)
    if sidecar(path).is_file() or path.name.endswith(tuple(FORMATS.values())):
        artefact = read_artefact(path)
        model = create_model(artefact.model, **artefact.options)
        side, fresh = artefact.input_shape[-1], True
    elif is_file(name):
        model, checkpoint = load_model(name)
        preprocessing = preprocessing_of(checkpoint)
        side = preprocessing.size if preprocessing else default_image_size(model)
        fresh = False
    else:
        model = create_model(name)
        side = default_image_size(model)
        fresh = True
    if model.dims != 2:
        raise InputError(f"{name} is not for images: choose a network with two dimensions.")
    return Subject(name, model.eval(), model.in_channels, side, ours=True, fresh=fresh)


def timm_subject(name: str) -> Subject:
    """Create a model of timm with random weights."""
    import timm

    wanted = name.removeprefix(TIMM)
    if not timm.is_model(wanted):
        hint = nearest(wanted, timm.list_models()) or "see timm.list_models()."
        raise InputError(f"timm has no model {wanted!r}: {hint}")
    model = timm.create_model(wanted).eval()
    channels, *_, side = model.pretrained_cfg.get("input_size", (3, 224, 224))
    return Subject(name, model, channels, side, ours=False, fresh=True)


def random_images(batch: int, channels: int, size: int) -> Tensor:
    """Random images `(batch, channels, size, size)`, the same in every call."""
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(0))


def published_top1(name: str) -> float | None:
    """Top-1 accuracy on ImageNet in percent of the first published weights of a model; None if there are none."""
    return next((record.top1 for record in records(name.removeprefix(TIMM)) if record.top1 is not None), None)
