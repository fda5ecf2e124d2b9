"""The networks of a benchmark: models of this library, of timm, and of checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from res2net.backbones.base import default_image_size
from res2net.errors import InputError, check_choice, nearest
from res2net.measure import Counts, calibrate_norms, count
from res2net.weights import records
from res2net.zoo import create_model, list_models, load_model, preprocessing_of

__all__ = ["TIMM", "Subject", "open_subject", "published_top1", "random_images"]

TIMM = "timm:"
"""Prefix of the names of timm's models."""
SETTLING = 4
"""Number of random images from which an untrained network gets the statistics of its normalisations."""


@dataclass(frozen=True)
class Subject:
    """A network to measure, in evaluation mode."""

    name: str
    """Name as given by the user."""
    model: nn.Module
    """The network."""
    channels: int
    """Channels of its images."""
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

    def settle(self, size: int) -> None:
        """Give an untrained network realistic activations: multiplications by zero could take less time."""
        if self.fresh:
            calibrate_norms(self.model, random_images(SETTLING, self.channels, size))


def open_subject(name: str) -> Subject:
    """Open a model of this library by name, a model of timm by `timm:NAME`, or a checkpoint of `res2net train`.

    Raises:
        InputError: there is no such model or file, or it is not for images.
    """
    torch.manual_seed(0)
    if name.startswith(TIMM):
        return timm_subject(name)
    if Path(name).suffix or Path(name).is_file():
        model, checkpoint = load_model(name)
        preprocessing = preprocessing_of(checkpoint)
        side = preprocessing.size if preprocessing else default_image_size(model)
        fresh = False
    else:
        check_choice("model", name, list_models())
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
        hint = nearest(wanted, timm.list_models()) or "see timm.list_models()"
        raise InputError(f"timm has no model {wanted!r}: {hint}.".replace("?.", "?"))
    model = timm.create_model(wanted).eval()
    channels, *_, side = model.pretrained_cfg.get("input_size", (3, 224, 224))
    return Subject(name, model, channels, side, ours=False, fresh=True)


def random_images(batch: int, channels: int, size: int) -> Tensor:
    """Random images `(batch, channels, size, size)`, the same in every call."""
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(0))


def published_top1(name: str) -> float | None:
    """Top-1 accuracy on ImageNet in percent of the first published weights of a model; None if there are none."""
    for record in records(name.removeprefix(TIMM)):
        for what, value in record.metrics.items():
            if what.startswith("top-1 accuracy"):
                return value
    return None
