"""The networks that are measured: ours, timm's, and those of checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from res2net.backbones.base import default_image_size
from res2net.errors import InputError, check_choice, nearest
from res2net.measure import Counts, count, settle
from res2net.weights import records
from res2net.zoo import create_model, list_models, load_model, preprocessing_of

__all__ = ["TIMM", "Subject", "open_subject", "published_top1", "random_images"]

TIMM = "timm:"
"""What stands before the name of a model of timm."""
SETTLING = 4
"""Random images from which a fresh network has the statistics of its normalisations."""


@dataclass(frozen=True)
class Subject:
    """A network, in evaluation."""

    name: str
    """As it was asked for."""
    model: nn.Module
    channels: int
    """Of its images."""
    side: int
    """Pixels of a side of its images, where nothing is asked for."""
    ours: bool
    """Whether it is rewritten before it is compiled or exported, and not of timm."""
    fresh: bool
    """Whether its weights are random."""

    def count(self, size: int) -> Counts:
        """What one image of that side costs in the network as it was made, before it is rewritten."""
        try:
            return count(self.model, (self.channels, size, size))
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from error

    def settle(self, size: int) -> None:
        """Give a fresh network numbers as a trained one has them: weights that are zero could take no time."""
        if self.fresh:
            settle(self.model, random_images(SETTLING, self.channels, size))


def open_subject(name: str) -> Subject:
    """A model of ours by its name, of timm by `timm:NAME`, or a checkpoint of `res2net train` by its file.

    Raises:
        InputError: there is none, or it is not for images.
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
        check_choice("Model", name, list_models())
        model = create_model(name)
        side = default_image_size(model)
        fresh = True
    if model.dims != 2:
        raise InputError(f"{name} is not for images: choose a network of two dimensions.")
    return Subject(name, model.eval(), model.in_channels, side, ours=True, fresh=fresh)


def timm_subject(name: str) -> Subject:
    """A model of timm with fresh weights."""
    import timm

    wanted = name.removeprefix(TIMM)
    if not timm.is_model(wanted):
        hint = nearest(wanted, timm.list_models()) or "see timm.list_models()"
        raise InputError(f"timm has no model {wanted!r}: {hint}.".replace("?.", "?"))
    model = timm.create_model(wanted).eval()
    channels, *_, side = model.pretrained_cfg.get("input_size", (3, 224, 224))
    return Subject(name, model, channels, side, ours=False, fresh=True)


def random_images(batch: int, channels: int, size: int) -> Tensor:
    """Random images, always the same: `(batch, channels, size, size)`."""
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(0))


def published_top1(name: str) -> float | None:
    """Top-1 accuracy on ImageNet of the first published weights of a model, percent; None where there are none."""
    for record in records(name.removeprefix(TIMM)):
        for what, value in record.metrics.items():
            if what.startswith("top-1 accuracy"):
                return value
    return None
