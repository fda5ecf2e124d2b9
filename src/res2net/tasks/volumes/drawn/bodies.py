"""`volumes`: an embedded set of drawn scans of the trunk, with organs and tumours."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch.utils.data import Dataset

from res2net.errors import InputError, check_choice, check_range
from res2net.images.samples import Sample
from res2net.images.sources import SOURCES, DataSource
from res2net.tasks.volumes.data import Volume
from res2net.tasks.volumes.drawn.render import CLASSES, draw_body
from res2net.weights import Preprocessing

__all__ = ["Bodies", "bodies_source"]

SPLITS = ("train", "val")
LENGTHS = {"train": 48, "val": 12}
"""Volumes of each split."""


class Bodies(Dataset[Sample]):
    """Drawn volumes: `(Volume, {"label_map": (D, H, W) uint8})`, the same for the same seed, split and index.

    They have 24 to 34 slices of 50 x 60 to 62 x 75 voxels; see `res2net.tasks.volumes.drawn.render`. Once drawn they
    are kept in memory.

    Args:
        length: number of volumes.
        split: "train" or "val", which share none.
        seed: another seed gives other volumes.

    Raises:
        InputError: an option is out of range.
    """

    class_names = CLASSES

    def __init__(self, length: int, *, split: str = "train", seed: int = 0) -> None:
        check_choice("Split", split, SPLITS)
        check_range("Number of volumes", length, 1)
        check_range("Seed", seed, 0)
        self.length, self.split, self.seed = length, split, seed
        self._kept: dict[int, Sample] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(f"index {index} is outside of 0 ... {self.length - 1}")
        if index not in self._kept:
            body = draw_body(np.random.default_rng([self.seed, SPLITS.index(self.split), index]))
            volume = Volume.upright(torch.from_numpy(body.voxels), body.spacing)
            self._kept[index] = volume, {"label_map": torch.from_numpy(body.label_map)}
        volume, target = self._kept[index]
        return volume, dict(target)


@SOURCES.register("volumes")
@cache
def bodies_source(labels: tuple[str, ...] = ("label_map",)) -> DataSource:
    """`LENGTHS` volumes to train and to validate on; `InputError` for other labels than of voxels."""
    if tuple(labels) != ("label_map",):
        raise InputError("The volumes that are drawn have no labels but of voxels: give them to the task volumes.")
    train, val = (Bodies(LENGTHS[split], split=split) for split in SPLITS)
    return DataSource("volumes", train, val, CLASSES, Preprocessing(size=48, crop=1.0, mean=(0.5,), std=(0.25,)))
