"""The class of each pixel of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from res2net.images.run_lengths import run_lengths
from res2net.images.samples import UNLABELLED
from res2net.report import Column, draw_segments
from res2net.report.palette import class_colour
from res2net.report.tables import Cell
from res2net.task.result import Result, write_png


@dataclass(eq=False)
class ClassMap(Result):
    """The class of each pixel of an image."""

    classes: NDArray[np.uint8]
    """The index of each pixel's class, `(H, W)` of the image; 255 for unlabelled pixels of a ground truth."""
    class_names: Sequence[str]

    columns = (Column("class"), Column("share of the image", "%", digits=1))
    files = "label maps"

    @property
    def shares(self) -> list[tuple[int, float]]:
        """The classes that occur and their shares of the pixels, 0 to 1, largest first."""
        counts = np.bincount(self.classes.ravel(), minlength=UNLABELLED + 1)[:UNLABELLED]
        present = sorted(np.flatnonzero(counts).tolist(), key=lambda label: -counts[label])
        return [(label, float(counts[label] / self.classes.size)) for label in present]

    def to_dict(self) -> dict[str, Any]:
        """Under `classes`, for each class that occurs: its `label` (name), `class` (index), `share` and `segmentation`.

        `segmentation` holds the mask of the class, run-length encoded as in COCO.
        """
        return {
            "classes": [
                {
                    "label": self.class_names[label],
                    "class": label,
                    "share": share,
                    "segmentation": run_lengths(self.classes == label),
                }
                for label, share in self.shares
            ]
        }

    def rows(self) -> Sequence[Sequence[Cell]]:
        """One row per class, largest share first."""
        return [(self.class_names[label], 100 * share) for label, share in self.shares]

    def draw(self, image: Any = None) -> Image.Image:
        """Draw the regions of the classes over the image; unlabelled pixels stay uncoloured."""
        segments = [(torch.from_numpy(self.classes == label), label) for label, _ in self.shares]
        return draw_segments(self._canvas(image), segments, self.class_names)

    def save(self, stem: str | Path) -> list[Path]:
        """Write `STEM-classes.png`, a palette image whose pixel values are the classes, as in PASCAL VOC."""
        image = Image.fromarray(self.classes)
        image.putpalette([value for label in range(256) for value in class_colour(label)])
        stem = Path(stem)
        return [write_png(stem.with_name(f"{stem.name}-classes.png"), image)]
