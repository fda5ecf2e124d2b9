"""One sample for each person of an image: the crop that a top-down network for keypoints sees.

Coordinates are continuous: pixel (0, 0) covers 0 to 1 along each side, in the image and in the crop. A crop is the
image seen through one matrix, which moves pixels and points alike; its inverse leads back to the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms.v2.functional import to_image

from res2net.errors import InputError, check_range
from res2net.images.joint_geometry import image_size
from res2net.images.keypoints import mirrored_order
from res2net.images.samples import Sample, Samples, true_targets
from res2net.options import check_ranges

PADDING = 1.25
"""How much larger than its box a person's crop is, along each side."""


@dataclass(frozen=True)
class CropAugment:
    """The random changes of training crops, as in the published code of SimpleBaseline.

    Raises:
        InputError: a value is out of its range.
    """

    scale: float = 0.3
    """Standard deviation of the factor by which the crop is larger; also the most by which it differs from 1."""
    rotation: float = 40.0
    """Standard deviation of the angle, degrees; no angle is more than twice as large."""
    rotate: float = 0.6
    """Probability of turning at all."""
    flip: float = 0.5
    """Probability of a mirrored crop."""

    def __post_init__(self) -> None:
        check_ranges(self, scale=(0, 0.9), rotation=(0, 90), rotate=(0, 1), flip=(0, 1))

    def draw(self) -> tuple[float, float, bool]:
        """A factor, an angle in degrees and whether to mirror, by torch's generator."""
        factor, angle = (float(number) for number in torch.randn(2, dtype=torch.float64))
        turned, mirrored = (float(number) for number in torch.rand(2, dtype=torch.float64))
        factor = min(max(1 + factor * self.scale, 1 - self.scale), 1 + self.scale)
        angle = min(max(angle * self.rotation, -2 * self.rotation), 2 * self.rotation)
        return factor, angle if turned < self.rotate else 0.0, mirrored < self.flip


class PersonCrops(Dataset[Sample]):
    """The people of a data set, each in a crop of its own: every object with a labelled keypoint that is no crowd.

    The boxes are those of the data set, in training and in evaluation. An item is `(image, target)`: a
    `tv_tensors.Image` `(C, height, width)` of the type of the image (uint8 for a `PIL.Image`), and

    - `keypoints` `(k, 2)` float32: x and y in pixels of the crop, also outside of it
    - `visibility` `(k,)` uint8: 0 not labelled (the point then has no meaning), 1 hidden, 2 visible
    - `matrix` `(2, 3)` float32: from the crop back to the image (`move_points`)
    - `box` `(4,)` float32: the person's box in the image, XYXY
    - `original_size`: height and width of the image; `image_id` of the image; `object`, its index there
    - `label`, where the objects have any; `index`, its index in this data set
    - `truth`, in evaluation: the target of the whole image as it is, for metrics that compare image by image

    A crop has the ratio of sides of `size`, and the box with some padding within it (`crop_matrix`). It is resampled
    bilinearly, and black beyond the image. Random changes depend on torch's generator alone.

    Args:
        dataset: its targets have boxes, keypoints and their visibility. Where it has `target(index)`, that is asked
            for the people instead of the samples, which takes reading every image once.
        size: height and width of the crops.
        train: whether crops change at random.
        flip_pairs: pairs of keypoints, by number, that a mirror swaps: left and right.
        augment: the random changes of training, by default those of `CropAugment()`.
        padding: how much larger than its box a person's crop is.

    Raises:
        InputError: the targets have no keypoints, nobody has a labelled one, or an option is out of range.
    """

    def __init__(
        self,
        dataset: Samples,
        *,
        size: tuple[int, int] = (256, 192),
        train: bool = False,
        flip_pairs: Sequence[tuple[int, int]] = (),
        augment: CropAugment | None = None,
        padding: float = PADDING,
    ) -> None:
        check_range("padding", padding, 0.5, 4)
        for side in size:
            check_range("size of crops", side, 1)
        self.dataset, self.size, self.padding = dataset, size, padding
        self.augment = (augment or CropAugment()) if train else None
        self.people: list[tuple[int, int]] = []
        count = 0
        for index, target in enumerate(true_targets(dataset)):
            found = _people(target)
            count = target["keypoints"].shape[1] if found else count
            self.people += [(index, object_index) for object_index in found]
        if len(dataset) and not self.people:
            raise InputError("No object of the data has a labelled keypoint: choose data with keypoints of people.")
        # Data that are only evaluated have no samples to train on.
        self.order = mirrored_order(count, flip_pairs) if self.people else []

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> Sample:
        image_index, object_index = self.people[index]
        image, target = self.dataset[image_index]
        factor, angle, mirrored = self.augment.draw() if self.augment else (1.0, 0.0, False)
        box = target["boxes"][object_index].as_subclass(Tensor).float()
        padding = self.padding * factor
        matrix = crop_matrix(box, self.size, padding=padding, angle=angle, mirrored=mirrored, dtype=torch.float64)
        points = target["keypoints"][object_index].as_subclass(Tensor)
        points = move_points(inverse_matrix(matrix), points.double()).float()
        visibility = target["visibility"][object_index].as_subclass(Tensor)
        if mirrored:
            points, visibility = points[self.order], visibility[self.order]
        person: dict[str, Any] = {
            "keypoints": points,
            "visibility": visibility,
            "matrix": matrix.float(),
            "box": box,
            "original_size": image_size(image),
            "image_id": int(target.get("image_id", image_index)),
            "object": object_index,
            "index": index,
        }
        if "labels" in target:
            person["label"] = int(target["labels"][object_index])
        if self.augment is None:
            person["truth"] = dict(target)
        return crop_image(image, matrix, self.size), person


def crop_matrix(
    box: Tensor,
    size: tuple[int, int],
    *,
    padding: float = PADDING,
    angle: float = 0.0,
    mirrored: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """The matrix `(2, 3)` from a crop back to the image.

    The centre of the crop is that of the box. The box grows along one side to the ratio of the crop's sides, and then
    along both by `padding`.

    Args:
        box: `(4,)` XYXY in the image.
        size: height and width of the crop.
        padding: how much larger than the box the crop is.
        angle: degrees by which the crop's axes are turned in the image, from x towards y.
        mirrored: whether the crop's x runs to the left.
        dtype: of the matrix.

    Raises:
        InputError: the box has no area.
    """
    left, top, right, bottom = (float(edge) for edge in box)
    if not (right > left and bottom > top):
        raise InputError(f"The box {[left, top, right, bottom]} has no area: give left, top, right and bottom edges.")
    height, width = size
    step = padding * max((right - left) / width, (bottom - top) / height)
    across, down = step * math.cos(math.radians(angle)), step * math.sin(math.radians(angle))
    way = -1 if mirrored else 1
    turn = torch.tensor([[across * way, -down], [down * way, across]], dtype=torch.float64)
    centre = torch.tensor([(left + right) / 2, (top + bottom) / 2], dtype=torch.float64)
    shift = centre - turn @ torch.tensor([width / 2, height / 2], dtype=torch.float64)
    return torch.cat([turn, shift[:, None]], 1).to(dtype)


def inverse_matrix(matrix: Tensor) -> Tensor:
    """The matrices `(..., 2, 3)` of the way back."""
    turn = torch.linalg.inv(matrix[..., :2])
    return torch.cat([turn, -turn @ matrix[..., 2:]], -1)


def move_points(matrix: Tensor, points: Tensor) -> Tensor:
    """Points `(..., k, 2)`, x and y, through matrices `(..., 2, 3)`."""
    return points @ matrix[..., :2].mT + matrix[..., None, :, 2]


def crop_image(image: Any, matrix: Tensor, size: tuple[int, int]) -> tv_tensors.Image:
    """What a crop `(C, *size)` shows of an image: bilinear between its pixels, and black beyond it.

    The image is a `PIL.Image`, of which the crop is uint8, or a tensor `(C, H, W)` of any number of channels; `matrix`
    `(2, 3)` leads from the crop to the image, as of `crop_matrix`.
    """
    numbers = tuple(float(number) for number in matrix.flatten())

    def seen(plane: Image.Image) -> Image.Image:
        return plane.transform(size[::-1], Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR)

    if isinstance(image, Image.Image):
        return to_image(seen(image))
    pixels = image.as_subclass(Tensor)
    # Pillow has images of one channel of bytes or of floats, and no others with as many channels as one likes.
    planes = pixels if pixels.dtype == torch.uint8 else pixels.to(torch.float32)
    crops = [np.asarray(seen(Image.fromarray(plane.numpy()))) for plane in planes.cpu()]
    return tv_tensors.Image(torch.from_numpy(np.stack(crops)).to(pixels.dtype))


def _people(target: dict[str, Any]) -> list[int]:
    """The indices of objects with a labelled point and a box with area that are no crowds."""
    missing = [name for name in ("boxes", "keypoints", "visibility") if name not in target]
    if missing:
        raise InputError(f"The targets have no {' and no '.join(missing)}: open data that has people with keypoints.")
    boxes = target["boxes"].as_subclass(Tensor)
    chosen = (target["visibility"] > 0).any(-1) & (boxes[:, 2:] > boxes[:, :2]).all(-1)
    if "crowd" in target:
        chosen &= ~target["crowd"]
    indices: list[int] = chosen.nonzero()[:, 0].tolist()
    return indices
