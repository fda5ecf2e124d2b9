"""`volumes`: an embedded set of synthetic scans of the trunk, with organs and tumours."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from res2net.errors import InputError, check_choice, check_range
from res2net.images.samples import Generated, Sample
from res2net.images.sources import SOURCES, Counts, DataSource
from res2net.tasks.volumes.data import Volume
from res2net.tasks.volumes.synthetic.render import CLASSES, draw_body
from res2net.weights import Preprocessing

__all__ = ["Bodies", "bodies_source"]

SPLITS = ("train", "val")
LENGTHS = (48, 12)
"""Training and validation volumes of the source `volumes`."""


class Bodies(Generated):
    """Synthetic volumes: `(Volume, {"label_map": (D, H, W) uint8})`, the same for the same seed, split and index.

    They have 24 to 34 slices of 50 x 60 to 62 x 75 voxels; see `res2net.tasks.volumes.synthetic.render`. They are
    kept in memory once they are made.

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
        super().__init__(length, keep=True)
        self.split, self.seed = split, seed

    def make(self, index: int) -> Sample:
        """Render the volume of an index, with its label map."""
        body = draw_body(np.random.default_rng([self.seed, SPLITS.index(self.split), index]))
        volume = Volume.upright(torch.from_numpy(body.voxels), body.spacing)
        return volume, {"label_map": torch.from_numpy(body.label_map)}


@SOURCES.register("volumes")
@cache
def bodies_source(labels: tuple[str, ...] = ("label_map",), counts: Counts | None = None) -> DataSource:
    """Volumes that are made once in a process, `counts` of them to train and to validate on, by default `LENGTHS`.

    Raises:
        InputError: other labels than of voxels are needed.
    """
    if tuple(labels) != ("label_map",):
        raise InputError("The source volumes has labels of voxels alone: use it with the task volumes.")
    train, val = (Bodies(length, split=split) for split, length in zip(SPLITS, counts or LENGTHS, strict=True))
    return DataSource("volumes", train, val, CLASSES, Preprocessing(size=48, crop=1.0, mean=(0.5,), std=(0.25,)))
