"""Volumes as the inputs of a task: NIfTI files, shown as three slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from res2net.errors import InputError
from res2net.task.inputs import Inputs
from res2net.tasks.volumes.data.nifti import Volume, list_volumes, read_volume
from res2net.tasks.volumes.drawing import crossing, draw_volume
from res2net.tasks.volumes.result import LabelVolume

__all__ = ["VolumeInputs"]


@dataclass(frozen=True)
class VolumeInputs(Inputs):
    """Volumes, from NIfTI files."""

    name: str = "volumes"
    dims: Sequence[int] = (2, 3)
    example_file: str = "PATH/TO/VOLUME.nii.gz"
    window: tuple[float, float] | None = None
    """The intensities that are shown black and white; by default the lowest and the highest of a volume."""

    def list_files(self, path: str | Path) -> list[Path]:
        """A NIfTI file, or all below a folder; `InputError` where nothing is there."""
        return list_volumes(path)

    def read(self, path: str | Path) -> Volume:
        """Read the scan in a NIfTI file; `BadImage` where that fails."""
        return read_volume(path)

    def from_memory(self, value: Any) -> Volume:
        """Take a `Volume` that is in memory; `InputError` for anything else, which states no spacing of voxels."""
        if not isinstance(value, Volume):
            raise InputError(
                f"An object of the type {type(value).__name__} is not a volume: give the path of a NIfTI file, or what "
                "`read_volume` returned."
            )
        return value

    def show(self, image: Any, truth: Any = None) -> Image.Image:
        """Three slices at right angles, through the last class of the ground truth where that is known."""
        nothing = torch.zeros(image.shape, dtype=torch.uint8)
        low, high = self.window or (float(image.voxels.min()), float(image.voxels.max()))
        window = (low, high) if high > low else (low - 0.5, low + 0.5)
        indices = crossing(truth.label_map if isinstance(truth, LabelVolume) else None, image.shape)
        return draw_volume(image.voxels, image.spacing, nothing, (), window, indices)
