"""Precision and recall of lines with a tolerance, as is usual for roads (Mnih, 2013)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

__all__ = ["relaxed_counts"]


def relaxed_counts(truth: NDArray[np.bool_], found: NDArray[np.bool_], tolerance: int = 3) -> NDArray[np.int64]:
    """What precision and recall are made of, so that it can be summed over images, `(4,)`.

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
