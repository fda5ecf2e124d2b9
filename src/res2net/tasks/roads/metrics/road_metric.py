"""APLS, junctions and pixels of graphs of roads, as one metric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from res2net.tasks.roads.data.graph import RoadGraph, road_map
from res2net.tasks.roads.metrics.apls import apls
from res2net.tasks.roads.metrics.junctions import junction_scores

__all__ = ["RoadMetric", "relaxed_counts"]


class RoadMetric(Metric):
    """APLS, the mean over images; F1 of junctions and of pixels on the lines, from sums over all images.

    Args:
        snap: pixels of APLS that a control point may be away.
        spacing: most pixels between its control points.
        junction_radius: pixels between a true junction and the one that was found.
        tolerance: pixels that a line may be away.
    """

    full_state_update = False
    similarity: Tensor
    images: Tensor
    junctions: Tensor
    pixels: Tensor

    def __init__(
        self, *, snap: float = 4.0, spacing: float = 50.0, junction_radius: float = 10.0, tolerance: int = 3
    ) -> None:
        super().__init__()
        self.snap, self.spacing = snap, spacing
        self.junction_radius, self.tolerance = junction_radius, tolerance
        for name, size in (("similarity", ()), ("images", ()), ("junctions", (4,)), ("pixels", (4,))):
            self.add_state(name, torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, found: Sequence[RoadGraph], truth: Sequence[RoadGraph], sizes: Sequence[tuple[int, int]]) -> None:
        """Add images by their graphs and their sizes, height and width."""
        for one, true, size in zip(found, truth, sizes, strict=True):
            self.similarity += apls(true, one, snap=self.snap, spacing=self.spacing).value
            self.images += 1
            self.junctions += torch.from_numpy(junction_scores(true, one, self.junction_radius)).to(self.junctions)
            there, here = (road_map(graph, size, 1) for graph in (true, one))
            self.pixels += torch.from_numpy(relaxed_counts(there, here, self.tolerance)).to(self.pixels)

    def compute(self) -> dict[str, Tensor]:
        """Shares in 0 ... 1 by name; where there is nothing to find and nothing was found, F1 is 1."""
        values = {"APLS": self.similarity / self.images.clamp(min=1)}
        for name, (recalled, true, right, found) in (("junction", self.junctions), ("pixel", self.pixels)):
            recall, precision = (
                a / b if b else torch.tensor(1.0 if both else 0.0)
                for a, b, both in ((recalled, true, not found), (right, found, not true))
            )
            values[f"{name}_precision"], values[f"{name}_recall"] = precision, recall
            values[f"{name}_F1"] = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
        return values


def relaxed_counts(truth: NDArray[np.bool_], found: NDArray[np.bool_], tolerance: int = 3) -> NDArray[np.int64]:
    """The counts of precision and recall of lines with a tolerance (Mnih, 2013), to be summed over images, `(4,)`.

    A pixel is right where the other map has one at most `tolerance` rows and columns away.

    Args:
        truth: `(H, W)`.
        found: `(H, W)`.
        tolerance: pixels.

    Returns:
        True pixels that were found and all true pixels; pixels found that are right and all pixels found. Recall is the
        first by the second, precision the third by the fourth.
    """
    near_truth, near_found = (
        F.max_pool2d(torch.from_numpy(one.astype(np.float32))[None], 2 * tolerance + 1, 1, tolerance)[0].numpy() > 0
        for one in (truth, found)
    )
    return np.array([(truth & near_found).sum(), truth.sum(), (found & near_truth).sum(), found.sum()])
