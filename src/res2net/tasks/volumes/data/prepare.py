"""The transform of a volume to one spacing and one range of intensities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from res2net.images.samples import Sample, Samples
from res2net.tasks.volumes.data.nifti import Volume, bad_volume

__all__ = ["PrepareVolume", "resampled", "usual_intensities", "usual_spacing"]

SURVEYED = 24
"""Training volumes, at most, from which the usual spacing and intensities are taken."""
PERCENTILES = (0.005, 0.995)
"""The percentiles between which nearly all intensities of the foreground lie (Isensee et al., 2021)."""
SAMPLED = 100_000
"""Voxels of a volume, at most, from which these are taken."""
MOST = 1 << 30
"""The most voxels of a prepared volume, 4 GiB; a header that asks for more is wrong."""


class PrepareVolume:
    """A transform: voxels at a distance of `spacing`, intensities within `window` scaled to those of `mean` and `std`.

    The image becomes `(1, D, H, W)`, and where the target has a `label_map`, that is resampled too, by its nearest
    voxel. The target gets `size_now` and `original_size`, both `(D, H, W)`, and `volume`, where the file's voxels lie.

    Args:
        spacing: of slices, rows and columns, mm.
        window: the lowest and the highest intensity that matter.
        mean: of intensities that the window scales to 0 ... 1.
        std: of the same.
        truth: keep the `label_map` as it is in the file, under `truth`, for exact numbers.
    """

    def __init__(
        self,
        spacing: Sequence[float],
        window: tuple[float, float],
        *,
        mean: float = 0.5,
        std: float = 0.25,
        truth: bool = False,
    ) -> None:
        self.spacing = tuple(spacing)
        self.window = window
        self.mean, self.std = mean, std
        self.truth = truth

    @property
    def lowest(self) -> float:
        """The value of intensities below the window, such as air."""
        return -self.mean / self.std

    def __call__(self, volume: Volume, target: Mapping[str, Any]) -> Sample:
        """The volume and its target as the network sees them; `BadImage` where that would not fit into any memory."""
        size = resampled_size(volume, self.spacing)
        if math.prod(size) > MOST:
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


def resampled_size(volume: Volume, spacing: Sequence[float]) -> tuple[int, int, int]:
    """Voxels along each axis where they have that spacing."""
    slices, height, width = (
        max(1, round(count * before / after))
        for count, before, after in zip(volume.shape, volume.spacing, spacing, strict=True)
    )
    return slices, height, width


def resampled(values: Tensor, size: Sequence[int]) -> Tensor:
    """`(C, D, H, W)` in another size: whole numbers by the nearest voxel, others by interpolation.

    Both are at the centres of voxels; where voxels become fewer nothing is smoothed, as scans have no finer detail
    than noise.
    """
    if tuple(values.shape[1:]) == tuple(size):
        return values
    if values.is_floating_point():
        return F.interpolate(values[None], tuple(size), mode="trilinear", align_corners=False)[0]
    return F.interpolate(values[None], tuple(size), mode="nearest-exact")[0]


def usual_spacing(samples: Samples) -> tuple[float, float, float]:
    """The median spacing of some volumes, mm."""
    spacings = torch.tensor([samples[index][0].spacing for index in surveyed(samples)], dtype=torch.float64)
    slices, rows, columns = (round(float(value), 4) for value in spacings.quantile(0.5, 0))
    return slices, rows, columns


def usual_intensities(samples: Samples) -> tuple[float, float]:
    """The range of nearly all intensities of what is not background, or of all voxels where there is no more."""
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
    """Indices of some samples, spread over all."""
    return range(0, len(samples), -(-len(samples) // SURVEYED))


def _millimetres(spacing: Sequence[float]) -> str:
    return " x ".join(f"{step:g}" for step in spacing)
