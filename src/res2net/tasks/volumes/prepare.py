"""Volumes as a network sees them: resampled to one spacing and one range of intensities, and cut into patches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from res2net.images.samples import Sample, Samples, Skipped, Transformed
from res2net.tasks.volumes.nifti import Volume, bad_volume

SURVEYED = 24
"""Training volumes, at most, from which the usual spacing and intensities are taken."""
PERCENTILES = (0.005, 0.995)
"""The percentiles between which nearly all intensities of the foreground lie (Isensee et al., 2021)."""
SAMPLED = 100_000
"""Voxels of a volume, at most, from which these are taken."""
MAX_VOXELS = 1 << 30
"""The most voxels of a prepared volume, 4 GiB; a header that asks for more is wrong."""
KEPT = 4 << 30
"""Bytes of prepared volumes that are kept in memory; the others are prepared again for each patch."""


@dataclass(frozen=True)
class PrepareVolume:
    """A transform that resamples a volume to one spacing, clips its intensities to a window and normalises them.

    The image becomes `(1, D, H, W)`, and a `label_map` of the target is resampled to the nearest voxel. The target gets
    `size_now` and `original_size`, both `(D, H, W)`, and `volume`, the position of the file's voxels.
    """

    spacing: Sequence[float]
    """Distance of slices, rows and columns, mm."""
    window: tuple[float, float]
    """The lowest and the highest intensity that matter, which become 0 and 1."""
    mean: float = 0.5
    """What is subtracted from these values."""
    std: float = 0.25
    """What they are then divided by."""
    truth: bool = False
    """Keep the `label_map` as it is in the file, under `truth`, for exact scores."""

    @property
    def lowest(self) -> float:
        """The value of intensities below the window, such as air."""
        return -self.mean / self.std

    def __call__(self, volume: Volume, target: Mapping[str, Any]) -> Sample:
        """The volume and its target as the network sees them; `BadImage` beyond `MAX_VOXELS` voxels."""
        size = tuple(
            max(1, round(count * before / after))
            for count, before, after in zip(volume.shape, volume.spacing, self.spacing, strict=True)
        )
        if math.prod(size) > MAX_VOXELS:
            raise bad_volume(
                volume.path,
                f"by its header its voxels lie {_millimetres(volume.spacing)} mm apart, so that it has "
                f"{' x '.join(map(str, size))} of those that the network sees ({_millimetres(self.spacing)} mm), too "
                "many for the memory",
            )
        low, high = self.window
        scaled = (volume.voxels.clamp(low, high) - low) / (high - low)
        image = (resampled(scaled[None], size) - self.mean) / self.std
        noted = {name: value for name, value in target.items() if name != "label_map"}
        noted |= {"size_now": size, "original_size": volume.shape, "volume": volume.without_voxels()}
        if "label_map" in target:
            label_map = target["label_map"]
            noted |= {"truth": label_map} if self.truth else {"label_map": resampled(label_map[None], size)[0]}
        return image, noted


def resampled(values: Tensor, size: Sequence[int]) -> Tensor:
    """Resize `(C, D, H, W)`: integers to the nearest voxel, other numbers by interpolation without smoothing."""
    if tuple(values.shape[1:]) == tuple(size):
        return values
    mode = "trilinear" if values.is_floating_point() else "nearest-exact"
    return F.interpolate(values[None], tuple(size), mode=mode)[0]


def usual_spacing(samples: Samples) -> tuple[float, float, float]:
    """The median spacing of up to `SURVEYED` volumes, mm."""
    spacings = torch.tensor([samples[index][0].spacing for index in surveyed(samples)], dtype=torch.float64)
    slices, rows, columns = (round(float(value), 4) for value in spacings.quantile(0.5, 0))
    return slices, rows, columns


def usual_intensities(samples: Samples) -> tuple[float, float]:
    """The range between `PERCENTILES` of the foreground's intensities; of all voxels in volumes without foreground."""
    found = []
    for index in surveyed(samples):
        volume, target = samples[index]
        inside = volume.voxels[target["label_map"] > 0]
        values = inside if len(inside) else volume.voxels.flatten()
        found.append(values[:: max(1, len(values) // SAMPLED)])
    every = torch.cat(found).double().sort().values
    low, high = (float(every[round(share * (len(every) - 1))]) for share in PERCENTILES)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def surveyed(samples: Samples) -> range:
    """Up to `SURVEYED` evenly spaced indices."""
    return range(0, len(samples), -(-len(samples) // SURVEYED))


def _millimetres(spacing: Sequence[float]) -> str:
    return " x ".join(f"{step:g}" for step in spacing)


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
        """Change an image `(1, D, H, W)` and its `(D, H, W)` labels, with random numbers of torch's generator."""
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

    There are `per_volume` of each volume in an epoch. The share `foreground` of them is centred on a foreground voxel,
    whose class is chosen first, so that small structures are seen as often as large ones. Smaller volumes are padded
    with the value `lowest`.
    """

    def __init__(
        self,
        volumes: Transformed,
        shape: Sequence[int],
        per_volume: int,
        foreground: float,
        lowest: float,
        augment: PatchAugment,
    ) -> None:
        self.volumes, self.shape, self.per_volume = volumes, tuple(shape), per_volume
        self.foreground, self.lowest, self.augment = foreground, lowest, augment
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
        classes = label_map[label_map > 0].unique()
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
