"""The feature pyramid as a module to export, and batches of images to compare and calibrate with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.images.decode import read_image
from res2net.images.folder import ReadFiles
from res2net.images.samples import Skipped, Transformed

__all__ = ["Pyramid", "file_batches", "whole_batches"]

Prepare = Callable[[Any], Tensor]
"""A function that turns an image into the input of a network, `(C, H, W)`."""


class Pyramid(nn.Module):
    """A backbone whose outputs are its features: `(N, C, H, W)` to one map per stage, finest first."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute the pyramid."""
        return self.backbone.features(images)


def file_batches(
    prepare: Prepare,
    paths: Sequence[Path],
    batch: int,
    bad_images: str = "stop",
    *,
    read: Callable[[str | Path], Any] = read_image,
) -> Iterator[Tensor]:
    """Batches of images from files, which `read` opens."""
    files = Transformed(ReadFiles(paths, read), None, bad_images)
    samples = (files[index] for index in range(len(files)))
    return whole_batches((sample[0] for sample in samples if not isinstance(sample, Skipped)), prepare, batch)


def whole_batches(images: Iterable[object], prepare: Prepare, batch: int) -> Iterator[Tensor]:
    """Batches of exactly `batch` images; the last is filled up by repeating its own images."""
    waiting: list[Tensor] = []
    empty = True
    for image in images:
        waiting.append(prepare(image))
        if len(waiting) == batch:
            yield torch.stack(waiting)
            waiting, empty = [], False
    if waiting:
        yield torch.stack([waiting[index % len(waiting)] for index in range(batch)])
    elif empty:
        raise InputError("None of the images can be read: give other images.")
