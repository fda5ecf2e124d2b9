"""Random views of an object with random clicks, for training."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from res2net.images.samples import Sample
from res2net.images.transforms import Transform
from res2net.tasks.pixels.click.clicks import clicks_tensor
from res2net.tasks.pixels.click.data import random_clicks

__all__ = ["ClickViews"]

TRIES = 5
"""Maximum number of random views until one shows a part of the object."""


class ClickViews:
    """Random views, with `clicks` `(1 + positives + negatives, 3)` on what they show of `object`.

    Args:
        transform: from an image and its target to a random view of it.
        positives: maximum number of clicks on the object, beside the first.
        negatives: maximum number of clicks beside it.
    """

    def __init__(self, transform: Transform, positives: int, negatives: int) -> None:
        self.transform = transform
        self.positives, self.negatives = positives, negatives

    def __call__(self, image: Any, target: dict[str, Any]) -> Sample:
        """A view that shows a part of the object, unless none does after some tries."""
        for _ in range(TRIES):
            seen, noted = self.transform(image, target)
            mask = np.asarray(noted["object"].as_subclass(Tensor).numpy())
            if (mask == 1).any():
                break
        clicks = random_clicks(mask, self.positives, self.negatives)
        return seen, noted | {"clicks": clicks_tensor(clicks, 1 + self.positives + self.negatives)}
