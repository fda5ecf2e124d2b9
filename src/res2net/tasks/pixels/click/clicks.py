"""Clicks on the pixels of an image: of a user, of a simulated user, and at random in training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from res2net.errors import InputError
from res2net.images.joint_geometry import below, image_size
from res2net.images.samples import Sample, Samples, evenly_spaced, true_targets
from res2net.images.transforms import Transform
from res2net.tasks.objects.formats import ObjectImages

GOALS = (85, 90)
"""The IoUs, in percent, up to which clicks are counted."""
WATCHED = (1, 3, 5)
"""Numbers of clicks after which the IoU is reported."""
NEAR = 0.3
"""Largest distance of a negative click near an object from it, as a share of the square root of its area."""
NEAREST = 5.0
"""Smallest value of that distance, pixels."""
TRIES = 5
"""Maximum number of random views until one shows a part of the object."""


class Clicked(NamedTuple):
    """A click on the centre of a pixel."""

    x: float
    """Column, pixels; 0 for the first."""
    y: float
    """Row, pixels; 0 for the first."""
    positive: bool
    """Whether the pixel belongs to the object, or does not."""


def parse_click(text: str) -> Clicked:
    """Parse a click such as "120,80,+" (on the object) or "10,20,-" (beside it); `InputError` for any other form."""
    words = text.split(",")
    try:
        x, y = (float(word) for word in words[:2])
        positive = {"+": True, "-": False}[words[2].strip()]
        if len(words) != 3 or not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError(text)
    except (ValueError, IndexError, KeyError):
        raise InputError(
            f"{text!r} is no click: give the column, the row and + or -, such as 120,80,+ for a pixel of the object."
        ) from None
    return Clicked(x, y, positive)


def check_click(click: Clicked, height: int, width: int) -> None:
    """Raise `InputError` for a click outside of an image."""
    if not (0 <= click.x <= width - 1 and 0 <= click.y <= height - 1):
        raise InputError(
            f"The click {click.x:g},{click.y:g} lies outside of an image of {width} x {height} pixels: give 0 to "
            f"{width - 1} and 0 to {height - 1}."
        )


def clicks_tensor(clicks: Sequence[Clicked], count: int) -> Tensor:
    """Clicks as `(count, 3)` float32: x, y, and 1 for positive, 0 for negative, -1 for no click."""
    rows = torch.full((count, 3), -1.0)
    if clicks:
        rows[: len(clicks)] = torch.tensor([(one.x, one.y, float(one.positive)) for one in clicks])
    return rows


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
    """Random clicks on a true mask as in `next_click`: one well inside the object, up to `positives` others on it.

    Up to `negatives` are beside it, half of them near it. There are no clicks without a pixel of the object.
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
        min_area: minimum area of an object's box, square pixels.
        max_objects: maximum number of objects, taken evenly from the data set; 0 takes all.

    Raises:
        InputError: no object is large enough.
    """

    def __init__(self, dataset: Samples, *, min_area: float = 0, max_objects: int = 0) -> None:
        self.dataset = light = dataset
        if isinstance(dataset, ObjectImages):  # reading masks takes long
            labels = [label for label in dataset.labels if label != "masks"]
            light = ObjectImages(dataset.annotations, labels, dataset.chosen)
        objects: list[tuple[int, int]] = []
        for image, target in enumerate(true_targets(light)):
            boxes = target["boxes"].as_subclass(Tensor)
            large = (boxes[:, 2:] - boxes[:, :2]).prod(1) >= max(min_area, 1e-6)
            if "crowd" in target:
                large &= ~target["crowd"]
            objects += [(image, index) for index in large.nonzero()[:, 0].tolist()]
        if not objects:
            raise InputError(
                f"No object of the data has a box of {min_area:g} pixels or more: choose other data, or a smaller "
                "--min-area."
            )
        self.objects = [objects[index] for index in evenly_spaced(len(objects), max_objects or len(objects))]
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


def _inside(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The distance of each pixel of a region from the outside of the region and of the image."""
    from scipy.ndimage import distance_transform_edt

    depth = np.zeros(region.shape)
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    if len(rows):
        # Only the bounding box is computed.
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        depth[part] = distance_transform_edt(np.pad(region[part], 1))[1:-1, 1:-1]
    return depth


def _random(region: NDArray[np.bool_], count: int, *, positive: bool) -> list[Clicked]:
    pixels = np.flatnonzero(region) if count else ()
    chosen = [int(pixels[below(len(pixels))]) for _ in range(count)] if len(pixels) else []
    return [Clicked(pixel % region.shape[1], pixel // region.shape[1], positive) for pixel in chosen]


class ClickViews:
    """Random views, with `clicks` `(1 + positives + negatives, 3)` on what they show of `object`."""

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
