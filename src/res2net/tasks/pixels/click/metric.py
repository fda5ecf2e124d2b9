"""How many clicks an object takes, as papers on interactive segmentation count them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from res2net.errors import InputError
from res2net.tasks.pixels.click.clicks import GOALS, WATCHED


class ClicksToIoU(Metric):
    """Number of clicks to an IoU, and IoU by the number of clicks; each is the mean over objects.

    - `NoC@85`, `NoC@90`: clicks until the IoU is that high for the first time, at most `max_clicks`
    - `reached@85`, `reached@90`: share of the objects that get there
    - `IoU@1`, `IoU@3`, `IoU@5`: IoU after so many clicks

    Args:
        max_clicks: maximum number of clicks on an object; one that never reaches a goal counts as so many, 20 in Xu et
            al. (CVPR 2016).

    Raises:
        InputError: `max_clicks` is not positive.
    """

    full_state_update = False

    clicks: Tensor
    reached: Tensor
    ious: Tensor
    objects: Tensor

    def __init__(self, max_clicks: int = 20) -> None:
        super().__init__()
        if max_clicks < 1:
            raise InputError(f"{max_clicks} clicks do not fit: give 1 or more.")
        self.max_clicks = max_clicks
        for name, count in (("clicks", len(GOALS)), ("reached", len(GOALS)), ("ious", len(WATCHED))):
            self.add_state(name, torch.zeros(count, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("objects", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, ious: Sequence[float]) -> None:
        """Add an object.

        Args:
            ious: after the first click, the second, and so on; what is left out is as after the last one.

        Raises:
            InputError: there are none, or too many.
        """
        if not 1 <= len(ious) <= self.max_clicks:
            raise InputError(f"An object has {len(ious)} clicks: give the IoU after each of 1 to {self.max_clicks}.")
        counts = [next((count for count, iou in enumerate(ious, 1) if iou >= goal / 100), None) for goal in GOALS]
        self.clicks += self.clicks.new_tensor([float(count or self.max_clicks) for count in counts])
        self.reached += self.reached.new_tensor([float(count is not None) for count in counts])
        self.ious += self.ious.new_tensor([float(ious[min(after, len(ious)) - 1]) for after in WATCHED])
        self.objects += 1

    def compute(self) -> dict[str, Any]:
        """The numbers: clicks, and the others from 0 to 1; NaN without an object."""
        count = float(self.objects) or math.nan
        values = {f"NoC@{goal}": float(value) / count for goal, value in zip(GOALS, self.clicks, strict=True)}
        values |= {f"reached@{goal}": float(value) / count for goal, value in zip(GOALS, self.reached, strict=True)}
        return values | {f"IoU@{after}": float(value) / count for after, value in zip(WATCHED, self.ious, strict=True)}
