"""The clicks of a simulated user who wants one object, and samples that are single objects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from res2net.errors import InputError
from res2net.images.joint_geometry import below, image_size
from res2net.images.samples import Sample, Samples, true_targets
from res2net.tasks.objects.formats import ObjectImages
from res2net.tasks.pixels.click.clicks import Clicked

__all__ = ["SingleObjects", "next_click", "random_clicks"]

NEAR = 0.3
"""Largest distance of a negative click near an object from it, as a share of the square root of its area."""
NEAREST = 5.0
"""Smallest value of that distance, pixels."""


def next_click(
    found: NDArray[np.bool_], true: NDArray[np.uint8], clicked: Sequence[Clicked], *, spread: bool = False
) -> Clicked | None:
    """The next click of a simulated user: the innermost pixel of the errors, as in FCANet and RITM.

    Args:
        found: the predicted mask `(H, W)`.
        true: the true mask `(H, W)`, 1 for the object, 0 for what is around it; anything else is ignored.
        clicked: the clicks so far; no pixel is clicked twice.
        spread: choose a random pixel among those at least half as far inside, for training.

    Returns:
        The click, or None where there is no error left to click on.
    """
    missed = _inside((true == 1) & ~found)
    excess = _inside((true == 0) & found)
    for one in clicked:
        missed[int(one.y), int(one.x)] = excess[int(one.y), int(one.x)] = 0
    positive = bool(missed.max() > excess.max())
    depth = missed if positive else excess
    deepest = depth.max()
    if deepest <= 0:
        return None
    pixels = np.flatnonzero(depth > deepest / 2 if spread else depth == deepest)
    pixel = int(pixels[below(len(pixels)) if spread else 0])
    return Clicked(pixel % depth.shape[1], pixel // depth.shape[1], positive)


def random_clicks(true: NDArray[np.uint8], positives: int, negatives: int) -> list[Clicked]:
    """Random clicks as of a user, from torch's random numbers: the first well inside the object, then others.

    Args:
        true: as in `next_click`; without a pixel of the object there are no clicks.
        positives: maximum number of further clicks on the object.
        negatives: maximum number of clicks beside it; half of them are near it.
    """
    from scipy.ndimage import distance_transform_edt

    first = next_click(np.zeros(true.shape, bool), true, (), spread=True)
    if first is None:
        return []
    clicks = [first]
    clicks += _random(true == 1, below(positives + 1), positive=True)
    count = below(negatives + 1)
    if count:
        around = true == 0
        reach = max(NEAREST, NEAR * float(np.sqrt((true == 1).sum())))
        near = around & (distance_transform_edt(true != 1) <= reach)
        for _ in range(count):
            clicks += _random(near if below(2) else around, 1, positive=False)
    return clicks


class SingleObjects(Dataset[Sample]):
    """Each object of a data set with masks as a sample: its image, and `object`, its mask `(H, W)`, uint8, 0 or 1.

    Args:
        dataset: its targets have boxes and masks. Objects that are crowds do not count.
        least_area: area of the box of the smallest object that counts, square pixels.
        most: maximum number of objects, taken evenly from the data set; 0 takes all.

    Raises:
        InputError: no object is large enough.
    """

    def __init__(self, dataset: Samples, *, least_area: float = 0, most: int = 0) -> None:
        self.dataset = dataset
        objects: list[tuple[int, int]] = []
        for image, target in enumerate(true_targets(_light(dataset))):
            boxes = target["boxes"].as_subclass(Tensor)
            large = (boxes[:, 2:] - boxes[:, :2]).prod(1) >= max(least_area, 1e-6)
            if "crowd" in target:
                large &= ~target["crowd"]
            objects += [(image, index) for index in large.nonzero()[:, 0].tolist()]
        if not objects:
            raise InputError(
                f"No object of the data has a box of {least_area:g} pixels or more: choose other data, or a smaller "
                "least area (--least-area)."
            )
        if 0 < most < len(objects):
            objects = [objects[int(index)] for index in np.linspace(0, len(objects) - 1, most).round()]
        self.objects = objects
        """The index of each object's image, and the object's index in that image."""

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self.objects):
            raise IndexError(f"index {index} is outside of 0 ... {len(self.objects) - 1}")
        image_index, object_index = self.objects[index]
        image, target = self.dataset[image_index]
        mask = target["masks"][object_index].as_subclass(Tensor).to(torch.uint8)
        assert tuple(mask.shape) == image_size(image)
        return image, {"object": tv_tensors.Mask(mask)}


def _light(dataset: Samples) -> Samples:
    """The same data set; of files without their masks, which take long to read."""
    if not isinstance(dataset, ObjectImages):
        return dataset
    labels = [label for label in dataset.labels if label != "masks"]
    return ObjectImages(dataset.annotations, labels, dataset.chosen)


def _inside(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How far each pixel of a region lies from what is outside of it, or of the image."""
    from scipy.ndimage import distance_transform_edt

    depth = np.zeros(region.shape)
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    if len(rows):
        # Beyond the box around it there is nothing of it.
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        depth[part] = distance_transform_edt(np.pad(region[part], 1))[1:-1, 1:-1]
    return depth


def _random(region: NDArray[np.bool_], count: int, *, positive: bool) -> list[Clicked]:
    pixels = np.flatnonzero(region) if count else ()
    chosen = [int(pixels[below(len(pixels))]) for _ in range(count)] if len(pixels) else []
    return [Clicked(pixel % region.shape[1], pixel // region.shape[1], positive) for pixel in chosen]
