"""The class of each voxel of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from res2net.report import Column
from res2net.report.tables import Cell
from res2net.task.result import Result
from res2net.tasks.volumes.data.nifti import ENDINGS, Volume, write_label_map
from res2net.tasks.volumes.drawing import crossing, draw_volume

__all__ = ["LabelVolume"]


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
        """A class a row, with its volume and its number of voxels."""
        return [(one["class"], one["millilitres"], one["voxels"]) for one in self.classes]

    def draw(self, image: Any = None) -> Image.Image:
        """Three slices at right angles through the last class that is there, and below them the same with classes."""
        return self._slices(self.image if image is None else image)

    def panel(self, image: Any, truth: Result | None = None) -> Image.Image:
        """The slices through the last class of the ground truth; those in the middle where it is not known."""
        return self._slices(image, crossing(truth.label_map if isinstance(truth, LabelVolume) else None, image.shape))

    def _slices(self, volume: Volume, indices: Sequence[int] | None = None) -> Image.Image:
        return draw_volume(volume.voxels, volume.spacing, self.label_map, self.class_names, self.window, indices)

    def save(self, stem: str | Path) -> list[Path]:
        """Write the label map as NIfTI, with the affine of the scan."""
        stem = Path(stem)
        path = stem.with_name(stem.name + ENDINGS[0])
        write_label_map(path, self.label_map, self.volume)
        return [path]
