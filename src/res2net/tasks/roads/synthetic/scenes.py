"""`roads`: synthetic aerial images of towns, rendered on demand, with the graphs of their streets."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torchvision import tv_tensors

from res2net.errors import InputError, check_choice
from res2net.images.samples import Generated, Sample
from res2net.images.shapes.dataset import SPLITS
from res2net.images.sources import SOURCES, Counts, DataSource
from res2net.tasks.roads.data.folder import ROAD_CLASSES
from res2net.tasks.roads.synthetic.aerial import render_town
from res2net.tasks.roads.synthetic.towns import draw_town
from res2net.weights import Preprocessing

__all__ = ["RoadScenes", "road_source"]

SIDE = 192
"""Side of an image, pixels; a pixel is a metre."""
LENGTHS = (600, 80)
"""Training and validation images of the source `roads`."""


class RoadScenes(Generated):
    """Synthetic towns, the same for the same seed, split and index: an image `(3, size, size)`, uint8, and its `graph`.

    Args:
        length: number of images.
        size: side of an image in pixels, each a metre.
        split: "train", "val" or "test", which share no image.
        seed: another seed gives other towns.
        keep: keep rendered images in memory.

    Raises:
        InputError: an option is out of range.
    """

    def __init__(
        self, length: int, *, size: int = SIDE, split: str = "train", seed: int = 0, keep: bool = False
    ) -> None:
        check_choice("Split", split, SPLITS)
        if length < 1 or not 32 <= size <= 4096 or seed < 0:
            raise InputError(
                f"Roads with length {length}, size {size} and seed {seed} cannot be rendered: choose a length of 1 or "
                "more, a size of 32 to 4096 pixels, and a seed of 0 or more."
            )
        super().__init__(length, keep=keep)
        self.size, self.split, self.seed = size, split, seed

    def make(self, index: int) -> Sample:
        """Render the town of an index, with its graph."""
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
        town = draw_town(rng, self.size)
        image = torch.from_numpy(render_town(town, self.size, rng)).permute(2, 0, 1).contiguous()
        return tv_tensors.Image(image), {"graph": town.graph}


@SOURCES.register("roads")
@cache
def road_source(labels: tuple[str, ...] = ("graph",), counts: Counts | None = None) -> DataSource:
    """Towns that are rendered once in a process, `counts` of them to train and to validate on, by default `LENGTHS`.

    Raises:
        InputError: another label than `graph` is needed.
    """
    if set(labels) != {"graph"}:
        raise InputError(f"The source roads has graphs and no {labels[0]}: use it with the task roads.")
    train, val = (
        RoadScenes(length, split=split, keep=True)
        for split, length in zip(("train", "val"), counts or LENGTHS, strict=True)
    )
    return DataSource(
        "roads",
        train,
        val,
        ROAD_CLASSES,
        Preprocessing(size=SIDE, crop=1.0, mean=(0.4, 0.4, 0.35), std=(0.2, 0.2, 0.2)),
    )
