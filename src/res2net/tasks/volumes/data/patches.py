"""Patches of volumes to train on, of which a chosen share is centred on something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from res2net.images.samples import Sample, Skipped, Transformed

__all__ = ["PatchAugment", "Patches", "central_patch", "cut_patch"]

KEPT = 4 << 30
"""Bytes of prepared volumes that are kept in memory; the others are prepared again for each patch."""


@dataclass(frozen=True)
class PatchAugment:
    """Random changes of a patch; none by default."""

    flip: Sequence[float] = (0.0, 0.0, 0.0)
    """Probability of a flip along slices, rows and columns."""
    jitter: float = 0.0
    """Largest change of contrast (relative) and of brightness (in standard deviations)."""
    noise: float = 0.0
    """Largest standard deviation of noise that is added."""

    def __call__(self, image: Tensor, label_map: Tensor) -> tuple[Tensor, Tensor]:
        """`(1, D, H, W)` and `(D, H, W)`, changed; the numbers are drawn from torch's generator."""
        axes = [axis for axis, chance in enumerate(self.flip) if float(torch.rand(())) < chance]
        image, label_map = image.flip([axis + 1 for axis in axes]), label_map.flip(axes)
        if self.jitter:
            contrast, brightness = (torch.rand(2) * 2 - 1) * self.jitter
            image = image * (1 + contrast) + brightness
        if self.noise:
            image = image + torch.randn(image.shape) * (self.noise * torch.rand(()))
        return image, label_map


class Patches(Dataset[Sample | Skipped]):
    """Random patches of prepared volumes: `((1, *shape), {"label_map": (*shape) int64, "index"})`.

    Args:
        volumes: prepared by `PrepareVolume`.
        shape: slices, height and width of a patch; smaller volumes are filled up.
        per_volume: patches of each volume in an epoch.
        foreground: share of the patches that are centred on a voxel of a class but the background; that class is chosen
            first, so that small things are seen as often as large ones.
        lowest: value of voxels that are filled up.
        augment: random changes.
    """

    def __init__(
        self,
        volumes: Transformed,
        shape: Sequence[int],
        *,
        per_volume: int,
        foreground: float,
        lowest: float,
        augment: PatchAugment | None = None,
    ) -> None:
        self.volumes = volumes
        self.shape = tuple(shape)
        self.per_volume = per_volume
        self.foreground = foreground
        self.lowest = lowest
        self.augment = augment or PatchAugment()
        self._kept: dict[int, Sample | Skipped] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.volumes) * self.per_volume

    def __getitem__(self, index: int) -> Sample | Skipped:
        sample = self._prepared(index // self.per_volume)
        if isinstance(sample, Skipped):
            return sample
        image, target = sample
        label_map = target["label_map"]
        start = self._start(label_map)
        patch = cut_patch(image, start, self.shape, self.lowest)
        classes = cut_patch(label_map[None], start, self.shape, 0)[0]
        patch, classes = self.augment(patch, classes)
        return patch.contiguous(), {"label_map": classes.long(), "index": index}

    def _prepared(self, index: int) -> Sample | Skipped:
        if index in self._kept:
            return self._kept[index]
        sample = self.volumes[index]
        size = 0 if isinstance(sample, Skipped) else sum(one.nbytes for one in (sample[0], sample[1]["label_map"]))
        if self._bytes + size <= KEPT:
            self._kept[index] = sample
            self._bytes += size
        return sample

    def _start(self, label_map: Tensor) -> list[int]:
        """The first index of a patch along each axis; negative where the volume is smaller than the patch."""
        room = [size - side for size, side in zip(label_map.shape, self.shape, strict=True)]
        classes = label_map.unique()
        classes = classes[classes > 0]
        if float(torch.rand(())) < self.foreground and len(classes):
            chosen = classes[int(torch.randint(len(classes), ()))]
            voxels = (label_map == chosen).flatten().nonzero()[:, 0]
            voxel = int(voxels[int(torch.randint(len(voxels), ()))])
            centre = torch.unravel_index(torch.tensor(voxel), label_map.shape)
            wanted = [int(at) - side // 2 for at, side in zip(centre, self.shape, strict=True)]
        else:
            wanted = [int(torch.randint(max(0, free) + 1, ())) for free in room]
        return [min(max(at, 0), free) if free >= 0 else free // 2 for at, free in zip(wanted, room, strict=True)]


def central_patch(image: Tensor, shape: Sequence[int], fill: float) -> Tensor:
    """Cut `(C, *shape)` out of the middle of `(C, D, H, W)`; voxels outside of it get the value `fill`."""
    start = [(size - side) // 2 for size, side in zip(image.shape[1:], shape, strict=True)]
    return cut_patch(image, start, shape, fill)


def cut_patch(image: Tensor, start: Sequence[int], shape: Sequence[int], fill: float) -> Tensor:
    """Cut `(C, *shape)` out of `(C, D, H, W)` from `start` on; voxels outside of the volume get the value `fill`."""
    edges: list[int] = []
    inside: list[Any] = [slice(None)]
    for at, side, size in zip(start, shape, image.shape[1:], strict=True):
        first, last = max(at, 0), min(at + side, size)
        inside.append(slice(first, last))
        edges = [first - at, at + side - last, *edges]
    part = image[tuple(inside)]
    return F.pad(part, edges, value=fill) if any(edges) else part
