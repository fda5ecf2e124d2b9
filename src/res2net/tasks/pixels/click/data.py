"""Clicks on images: of a simulated user, who wants one object, and the samples that are single objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from res2net.errors import InputError
from res2net.images.joint_geometry import image_size
from res2net.images.random_views import below
from res2net.images.samples import Sample, Samples, true_targets
from res2net.tasks.objects.formats import ObjectImages

__all__ = ["Clicked", "SingleObjects", "check_click", "clicks_tensor", "next_click", "parse_click", "random_clicks"]

NEAR = 0.3
"""A wrong click near an object lies at most this share of the square root of its area away from it."""
NEAREST = 5.0
"""Pixels that this distance is at least."""


class Clicked(NamedTuple):
    """A click on the middle of a pixel."""

    x: float
    """Pixels to the right, 0 for the first column."""
    y: float
    """Pixels down."""
    positive: bool
    """Whether it says that the pixel belongs to the object, or that it does not."""


def parse_click(text: str) -> Clicked:
    """A click from words such as "120,80,+" or "10,20,-".

    Raises:
        InputError: they are no click.
    """
    words = text.split(",")
    try:
        x, y = (float(word) for word in words[:2])
        positive = {"+": True, "-": False}[words[2].strip()]
        if len(words) != 3 or not (np.isfinite(x) and np.isfinite(y)):
            raise ValueError(text)
    except (ValueError, IndexError, KeyError):
        raise InputError(
            f"{text!r} is no click: give the column, the row and + or -, such as 120,80,+ for a pixel of the object."
        ) from None
    return Clicked(x, y, positive)


def check_click(click: Clicked, height: int, width: int) -> None:
    """Raise `InputError` for a click beside an image."""
    if not (0 <= click.x <= width - 1 and 0 <= click.y <= height - 1):
        raise InputError(
            f"The click {click.x:g},{click.y:g} lies outside of an image of {width} x {height} pixels: give 0 to "
            f"{width - 1} and 0 to {height - 1}."
        )


def next_click(
    found: NDArray[np.bool_], true: NDArray[np.uint8], clicked: Sequence[Clicked], *, spread: bool = False
) -> Clicked | None:
    """Where a user clicks who sees what was found: the inmost pixel of the errors, as FCANet and RITM simulate it.

    Args:
        found: `(H, W)`.
        true: `(H, W)`, 1 for the object, 0 for what is around it, anything else counts nowhere.
        clicked: the clicks before; no pixel is clicked twice.
        spread: draw a pixel by torch's numbers from those at least half as far inside, for training.

    Returns:
        None where there is no error left to click on.
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
    places = np.flatnonzero(depth > deepest / 2 if spread else depth == deepest)
    place = int(places[below(len(places)) if spread else 0])
    return Clicked(place % depth.shape[1], place // depth.shape[1], positive)


def random_clicks(true: NDArray[np.uint8], positives: int, negatives: int) -> list[Clicked]:
    """Clicks as from a user, drawn by torch's numbers: the first one well inside the object, then others.

    Args:
        true: as in `next_click`; without a pixel of the object there are no clicks.
        positives: more clicks on the object, at most.
        negatives: clicks beside it, at most; half of them are near it.
    """
    first = next_click(np.zeros(true.shape, bool), true, (), spread=True)
    if first is None:
        return []
    clicks = [first]
    clicks += _drawn(true == 1, below(positives + 1), positive=True)
    count = below(negatives + 1)
    if count:
        around = true == 0
        reach = max(NEAREST, NEAR * float(np.sqrt((true == 1).sum())))
        near = around & (distance_transform_edt(true != 1) <= reach)
        for _ in range(count):
            clicks += _drawn(near if below(2) else around, 1, positive=False)
    return clicks


def clicks_tensor(clicks: Sequence[Clicked], count: int) -> Tensor:
    """Clicks as `(count, 3)` float32: x, y, and 1 for positive, 0 for negative, -1 for no click."""
    rows = torch.full((count, 3), -1.0)
    if clicks:
        rows[: len(clicks)] = torch.tensor([(one.x, one.y, float(one.positive)) for one in clicks])
    return rows


class SingleObjects(Dataset[Sample]):
    """Each object of a data set with masks as a sample: its image, and `object`, its mask `(H, W)`, uint8, 0 or 1.

    Args:
        dataset: its targets have boxes and masks. Objects that are crowds do not count.
        least_area: square pixels of the box of the smallest object that counts.
        most: take so many objects, from all over the data set; 0 takes all.

    Raises:
        InputError: no object is large enough.
    """

    def __init__(self, dataset: Samples, *, least_area: float = 0, most: int = 0) -> None:
        self.dataset = dataset
        places: list[tuple[int, int]] = []
        for image, target in enumerate(true_targets(_light(dataset))):
            boxes = target["boxes"].as_subclass(Tensor)
            large = (boxes[:, 2:] - boxes[:, :2]).prod(1) >= max(least_area, 1e-6)
            if "crowd" in target:
                large &= ~target["crowd"]
            places += [(image, place) for place in large.nonzero()[:, 0].tolist()]
        if not places:
            raise InputError(
                f"No object of the data has a box of {least_area:g} pixels or more: choose other data, or a smaller "
                "least area (--least-area)."
            )
        if 0 < most < len(places):
            places = [places[int(index)] for index in np.linspace(0, len(places) - 1, most).round()]
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self.places):
            raise IndexError(f"index {index} is outside of 0 ... {len(self.places) - 1}")
        image_index, place = self.places[index]
        image, target = self.dataset[image_index]
        mask = target["masks"][place].as_subclass(Tensor).to(torch.uint8)
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
    depth = np.zeros(region.shape)
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    if len(rows):
        # Beyond the box around it there is nothing of it.
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        depth[part] = distance_transform_edt(np.pad(region[part], 1))[1:-1, 1:-1]
    return depth


def _drawn(region: NDArray[np.bool_], count: int, *, positive: bool) -> list[Clicked]:
    places = np.flatnonzero(region) if count else ()
    chosen = [int(places[below(len(places))]) for _ in range(count)] if len(places) else []
    return [Clicked(place % region.shape[1], place // region.shape[1], positive) for place in chosen]
