"""Errors of distances, as the field counts them since Eigen et al. (2014): of each image, and then their mean."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from res2net.errors import InputError

DELTA = 1.25
"""Ratio of two distances, the larger one over the other, below which they agree; also its square and its cube."""
ERRORS = ("delta1", "delta2", "delta3", "AbsRel", "RMSE", "RMSE_log", "SILog")


class DepthErrors(Metric):
    """Errors of predicted distances d in comparison with true distances t.

    Of each image, over its known pixels:

    - `delta1`, `delta2`, `delta3`: share of the pixels with max(d / t, t / d) < 1.25, 1.25^2, 1.25^3
    - `AbsRel`: mean of |d - t| / t
    - `RMSE`: square root of the mean of (d - t)^2, metres
    - `RMSE_log`: square root of the mean of (ln d - ln t)^2
    - `SILog`: standard deviation of ln d - ln t, which forgives a common factor (KITTI)

    Each is the mean over images that have a known pixel.

    Args:
        min_depth: metres; nearer pixels of the truth do not count, and predictions are raised to it.
        max_depth: metres; farther pixels of the truth do not count, and predictions are lowered to it. Images of rooms
            are usually compared up to 10 m, those of streets up to 80 m.

    Raises:
        InputError: the bounds are not in order, or not above 0.
    """

    full_state_update = False

    totals: Tensor
    images: Tensor

    def __init__(self, min_depth: float = 1e-3, max_depth: float = 80.0) -> None:
        super().__init__()
        if not 0 < min_depth < max_depth:
            raise InputError(
                f"Distances from {min_depth} to {max_depth} m do not fit: give two above 0, the smaller one first."
            )
        self.min_depth, self.max_depth = min_depth, max_depth
        self.add_state("totals", torch.zeros(len(ERRORS), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, found: Tensor, true: Tensor) -> None:
        """Add an image; arguments and errors as of `errors`."""
        errors = self.errors(found, true)
        if not errors[0].isnan():
            self.totals += errors.to(self.totals)
            self.images += 1

    def errors(self, found: Tensor, true: Tensor) -> Tensor:
        """The errors of an image in the order of `ERRORS`, `(7,)` float64; NaN if no pixel is known.

        Args:
            found: metres, `(H, W)`.
            true: metres, `(H, W)`, 0 where they are unknown.

        Raises:
            InputError: the sizes differ, or the prediction of a known pixel is NaN.
        """
        found, true = found.as_subclass(Tensor).double(), true.as_subclass(Tensor).to(found.device).double()
        if found.shape != true.shape or found.ndim != 2:
            raise InputError(
                f"Maps of {tuple(found.shape)} and {tuple(true.shape)} do not fit: give two of (height, width)."
            )
        # NaN counts as unknown, too.
        known = (true >= self.min_depth) & (true <= self.max_depth)
        if not known.any():
            return found.new_full((len(ERRORS),), math.nan)
        d, t = found[known], true[known]
        if d.isnan().any():
            raise InputError("A predicted distance is NaN: give metres.")
        d = d.clamp(self.min_depth, self.max_depth)
        logarithms = d.log() - t.log()
        ratio = torch.maximum(d / t, t / d)
        return torch.stack(
            [
                *((ratio < DELTA**power).double().mean() for power in (1, 2, 3)),
                ((d - t).abs() / t).mean(),
                (d - t).square().mean().sqrt(),
                logarithms.square().mean().sqrt(),
                logarithms.std(correction=0),
            ]
        )

    def compute(self) -> dict[str, Any]:
        """The errors; NaN where no image had a known pixel."""
        means = self.totals / self.images if self.images else self.totals.new_full((len(ERRORS),), math.nan)
        return {name: float(value) for name, value in zip(ERRORS, means, strict=True)}
