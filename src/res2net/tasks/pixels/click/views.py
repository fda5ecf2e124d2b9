"""What training sees of an object that a user clicks on."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from res2net.images.samples import Sample
from res2net.images.transforms import Transform
from res2net.tasks.pixels.click.data import clicks_tensor, random_clicks

__all__ = ["ClickViews"]

TRIES = 5
"""Views that are drawn until something of the object can be seen."""


class ClickViews:
    """Random views, with `clicks` `(1 + positives + negatives, 3)` on what they show of `object`.

    Args:
        transform: from an image and its target to a random view of it.
        positives: clicks on the object at most, beside the first.
        negatives: clicks beside it at most.
    """

    def __init__(self, transform: Transform, positives: int, negatives: int) -> None:
        self.transform = transform
        self.positives, self.negatives = positives, negatives

    def __call__(self, image: Any, target: dict[str, Any]) -> Sample:
        """A view in which a part of the object is, unless there is none after some tries."""
        for _ in range(TRIES):
            seen, noted = self.transform(image, target)
            mask = np.asarray(noted["object"].as_subclass(Tensor).numpy())
            if (mask == 1).any():
                break
        clicks = random_clicks(mask, self.positives, self.negatives)
        return seen, noted | {"clicks": clicks_tensor(clicks, 1 + self.positives + self.negatives)}
