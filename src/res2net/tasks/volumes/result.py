"""Volumes as inputs and as results: three slices at right angles, with the classes of their voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from res2net.errors import InputError
from res2net.report import Column
from res2net.report.images import image_table
from res2net.report.objects import DARK, draw_segments
from res2net.report.tables import Cell
from res2net.task.inputs import Inputs
from res2net.task.result import Result
from res2net.tasks.volumes.nifti import ENDINGS, Volume, list_volumes, read_volume, write_label_map

SIDE = 400
"""Pixels of the longer side of a slice."""


@dataclass(eq=False)
class LabelVolume(Result):
    """The class of each voxel of a volume."""

    label_map: Tensor
    """`(D, H, W)`, uint8: indices in `class_names`, in the voxels of the file."""
    volume: Volume
    """Where these voxels lie; it needs no intensities."""
    class_names: Sequence[str]
    """The background first."""
    window: tuple[float, float]
    """The intensities that are drawn black and white."""

    columns = (Column("class"), Column("volume", "ml", digits=1), Column("voxels"))
    files = "label maps"

    @property
    def classes(self) -> list[dict[str, Any]]:
        """How much there is of each class but the background: `{"class", "voxels", "millilitres"}`."""
        counts = self.label_map.flatten().bincount(minlength=len(self.class_names)).tolist()
        millilitres = float(torch.tensor(self.volume.spacing, dtype=torch.float64).prod()) / 1000
        return [
            {"class": name, "voxels": count, "millilitres": count * millilitres}
            for name, count in zip(self.class_names, counts, strict=True)
        ][1:]

    def to_dict(self) -> dict[str, Any]:
        """`classes`: how much there is of each."""
        return {"classes": self.classes}

    def rows(self) -> Sequence[Sequence[Cell]]:
        """One row per class, with its volume and its number of voxels."""
        return [(one["class"], one["millilitres"], one["voxels"]) for one in self.classes]

    def draw(self, image: Any = None) -> Image.Image:
        """Draw three slices at right angles through the last class that is there, and below them their classes."""
        return self._slices(self.image if image is None else image, self)

    def panel(self, image: Any, truth: Result | None = None) -> Image.Image:
        """Draw the slices through the last class of the ground truth; the middle ones if that is unknown."""
        return self._slices(image, truth)

    def _slices(self, volume: Volume, shown: Result | None) -> Image.Image:
        return draw_volume(volume, self.label_map, self.class_names, self.window, crossing(volume, shown))

    def save(self, stem: str | Path) -> list[Path]:
        """Write the label map as NIfTI, with the affine of the scan."""
        path = Path(f"{Path(stem)}{ENDINGS[0]}")
        write_label_map(path, self.label_map, self.volume)
        return [path]


@dataclass(frozen=True)
class VolumeInputs(Inputs):
    """Volumes, from NIfTI files or arrays."""

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
        """Take a `Volume`, or an array or a tensor `(D, H, W)` whose voxels are 1 mm apart; see `Volume.from_array`.

        Raises:
            InputError: it is not a volume.
        """
        if isinstance(value, Volume):
            return value
        if not isinstance(value, np.ndarray | Tensor):
            raise InputError(
                f"An object of the type {type(value).__name__} is not a volume: give the path of a NIfTI file, an "
                "array or a tensor (D, H, W), or a `Volume`, which also states the spacing of its voxels."
            )
        return Volume.from_array(value)

    def show(self, image: Any, truth: Any = None) -> Image.Image:
        """Three slices at right angles, through the last class of the ground truth where that is known."""
        nothing = torch.zeros(image.shape, dtype=torch.uint8)
        low, high = self.window or (float(image.voxels.min()), float(image.voxels.max()))
        window = (low, high) if high > low else (low - 0.5, low + 0.5)
        return draw_volume(image, nothing, (), window, crossing(image, truth))


def draw_volume(
    volume: Volume, label_map: Tensor, names: Sequence[str], window: tuple[float, float], indices: Sequence[int]
) -> Image.Image:
    """Draw a slice along each axis side by side, and below them the same with the classes of the voxels.

    The slices are as radiologists see them: the head and the front are up, the patient's right is on the left. Their
    `indices` are one along each axis. The `window` holds the intensities that are black and white, and class 0 of the
    label map `(D, H, W)` is not drawn.
    """
    size = [count * step for count, step in zip(volume.shape, volume.spacing, strict=True)]
    scale = SIDE / max(size)
    top, below = [], []
    for axis in range(3):
        grey, classes = (plane(values, axis, indices[axis]) for values in (volume.voxels, label_map))
        height, width = (max(1, round(size[other] * scale)) for other in range(3) if other != axis)
        low, high = window
        shades = np.clip((grey - low) / (high - low), 0, 1) * 255
        image = Image.fromarray(shades.astype(np.uint8)).resize((width, height), Image.Resampling.BILINEAR)
        large = np.asarray(Image.fromarray(classes.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST))
        found = [int(label) for label in np.unique(large) if label]
        drawn = draw_segments(image, [(torch.from_numpy(large == label), label) for label in found], names)
        below.append(drawn)
        top.append(image.convert("RGB").resize(drawn.size, Image.Resampling.BILINEAR))
    return image_table([top, below], 4, DARK)


def crossing(volume: Volume, shown: Result | None) -> tuple[int, ...]:
    """The index, along each axis, of the slice that has most of the last class of a label volume.

    In most data sets that class is the rarest. Without a label volume or a class, it is the middle slice.
    """
    if not isinstance(shown, LabelVolume) or not shown.label_map.any():
        return tuple(size // 2 for size in volume.shape)
    chosen = shown.label_map == shown.label_map.max()
    return tuple(int(chosen.sum([one for one in range(3) if one != axis]).argmax()) for axis in range(3))


def plane(values: Tensor, axis: int, index: int) -> NDArray[Any]:
    """A slice across an axis, turned as radiologists see it: all its axes run in the other direction."""
    found: NDArray[Any] = values.select(axis, index).flip(0, 1).contiguous().numpy()
    return found
