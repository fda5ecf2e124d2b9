"""The common form of data sets with objects: images read on demand, and annotations in a few long arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from res2net.errors import InputError, check_choice
from res2net.images.decode import BadImage, open_image, read_image
from res2net.images.keypoints import Keypoints
from res2net.images.samples import Sample
from res2net.tasks.objects.formats.masks import MaskSource

__all__ = ["LABELS", "Annotations", "ObjectImages", "StuffSource"]

T = TypeVar("T")

LABELS = ("boxes", "labels", "masks", "keypoints", "visibility", "crowd", "area", "difficult", "semantic")
"""Everything that a target can hold; see `ObjectImages`."""


class StuffSource(Protocol):
    """Gives the stuff of an image: what has no instances, such as sky."""

    def semantic(self, image: int, size: tuple[int, int]) -> NDArray[np.int64]:
        """`(H, W)`: the index of the class of each pixel, else `UNLABELLED`."""
        ...


@dataclass(frozen=True)
class Annotations:
    """What is known of N images and of their M objects, which lie image by image; shared by all splits of a set.

    Args:
        name: of the data set.
        class_names: of the objects.
        paths: of the images.
        image_ids: `(N,)`, as the files have them, or the index of the image.
        sizes: `(N, 2)` height and width in pixels.
        starts: `(N + 1,)`: the objects of image i are those from `starts[i]` up to `starts[i + 1]`.
        boxes: `(M, 4)` XYXY in pixels.
        labels: `(M,)` index of the class.
        area: `(M,)` in square pixels, as the files say, else of the box.
        crowd: `(M,)` whether it is a region of many objects.
        difficult: `(M,)` whether PASCAL VOC leaves it out of the evaluation.
        points: `(M, k, 3)` x, y (0.5 in the middle of the first pixel) and visibility of key points, where there are
            any.
        masks: where there are any.
        keypoints: what the points are.
        stuff: where there is any.
        stuff_names: the names of its classes.
        category_ids: the numbers of the classes in the files, where those have numbers, as COCO's do.
        stuff_category_ids: the same of the classes of stuff.
    """

    name: str
    class_names: Sequence[str]
    paths: Sequence[str]
    image_ids: NDArray[np.int64]
    sizes: NDArray[np.int32]
    starts: NDArray[np.int64]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int32]
    area: NDArray[np.float32]
    crowd: NDArray[np.bool_]
    difficult: NDArray[np.bool_]
    points: NDArray[np.float32] | None = None
    masks: MaskSource | None = None
    keypoints: Keypoints | None = None
    stuff: StuffSource | None = None
    stuff_names: Sequence[str] = ()
    category_ids: Sequence[int] = ()
    stuff_category_ids: Sequence[int] = ()

    def available(self) -> tuple[str, ...]:
        """The labels of `LABELS` that there are."""
        missing = set()
        if self.masks is None:
            missing.add("masks")
        if self.points is None:
            missing |= {"keypoints", "visibility"}
        if self.stuff is None:
            missing.add("semantic")
        return tuple(label for label in LABELS if label not in missing)


class ObjectImages(Dataset[Sample]):
    """Images with objects: `(PIL.Image, target)`; an image that cannot be read raises `BadImage`.

    A target holds `image_id`, and of these labels the ones asked for, where n is the number of objects:

    - `boxes` `(n, 4)` in pixels, XYXY; `labels` `(n,)` int64, an index in `class_names`
    - `masks` `(n, H, W)` bool
    - `keypoints` `(n, k, 2)` x and y in pixels, between edges as boxes: the middle of the first pixel is at 0.5;
      `visibility` `(n, k)` uint8: 0 not labelled (the point then means
      nothing), 1 labelled and hidden, 2 visible
    - `crowd` `(n,)` bool: a region of many objects (COCO); `difficult` `(n,)` bool: not to be evaluated (VOC)
    - `area` `(n,)` in square pixels as the data set says, else of the box
    - `semantic` `(H, W)` int64: an index in `stuff_names`, and 255 for things and what has no label

    Args:
        annotations: of the images, and maybe of more.
        labels: which of `LABELS` a target holds.
        chosen: the indices of the images in `annotations`; by default all.

    Raises:
        InputError: the data set has not all the labels.
    """

    reads_files = True
    """Its images come from files, which worker processes can read."""

    def __init__(
        self, annotations: Annotations, labels: Sequence[str] = ("boxes", "labels"), chosen: Iterable[int] | None = None
    ) -> None:
        available = annotations.available()
        for label in labels:
            check_choice("Label", label, LABELS)
            if label not in available:
                raise InputError(f"The data set {annotations.name} has no {label}: it has {', '.join(available)}.")
        self.annotations = annotations
        self.labels = tuple(labels)
        everything = range(len(annotations.paths))
        self.chosen = np.fromiter(everything if chosen is None else chosen, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Sample:
        return self._sample(index, read_image)

    def undecoded(self, index: int) -> Sample:
        """As by index, but a JPEG is not decoded yet: a `Jpeg`, for the transforms of images with objects."""
        return self._sample(index, open_image)

    def _sample(self, index: int, read: Callable[[str], Any]) -> Sample:
        size = self.size(index)
        path = self.annotations.paths[self.chosen[index]]
        image = read(path)
        if image.size != size[::-1]:
            width, height = image.size
            raise BadImage.at(
                path, f"it has {width} x {height} pixels, and its annotations are for {size[1]} x {size[0]}"
            )
        return image, self.target(index)

    @property
    def paths(self) -> list[str]:
        """The files of the images."""
        return [self.annotations.paths[image] for image in self.chosen]

    @property
    def class_names(self) -> Sequence[str]:
        """The names of the classes of objects."""
        return self.annotations.class_names

    @property
    def stuff_names(self) -> Sequence[str]:
        """The names of the classes of `semantic`; empty where there is no stuff."""
        return self.annotations.stuff_names

    @property
    def keypoints(self) -> Keypoints | None:
        """What the key points are, where there are any."""
        return self.annotations.keypoints

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of an image, known without reading it."""
        height, width = self.annotations.sizes[self.chosen[index]].tolist()
        return height, width

    def rows(self, index: int) -> range:
        """The indices of an image's objects in the arrays of `annotations`."""
        image = self.chosen[index]
        return range(int(self.annotations.starts[image]), int(self.annotations.starts[image + 1]))

    def target(self, index: int) -> dict[str, Any]:
        """The target of an image, which is not read for it.

        Raises:
            BadImage: a file of masks cannot be read.
        """
        found = self.annotations
        image, rows, size = int(self.chosen[index]), self.rows(index), self.size(index)
        part = slice(rows.start, rows.stop)
        target: dict[str, Any] = {"image_id": int(found.image_ids[image])}
        points = torch.empty(0) if found.points is None else torch.from_numpy(found.points[part].copy())
        makers: dict[str, Callable[[], Tensor]] = {
            "boxes": lambda: tv_tensors.BoundingBoxes(
                torch.from_numpy(found.boxes[part].copy()), format="XYXY", canvas_size=size
            ),
            "labels": lambda: torch.from_numpy(found.labels[part].astype(np.int64)),
            "masks": lambda: tv_tensors.Mask(torch.from_numpy(_given(found.masks).masks(image, rows, size))),
            "keypoints": lambda: tv_tensors.KeyPoints(points[..., :2].contiguous(), canvas_size=size),
            "visibility": lambda: points[..., 2].to(torch.uint8),
            "crowd": partial(torch.tensor, found.crowd[part]),
            "area": partial(torch.tensor, found.area[part]),
            "difficult": partial(torch.tensor, found.difficult[part]),
            "semantic": lambda: tv_tensors.Mask(torch.from_numpy(_given(found.stuff).semantic(image, size))),
        }
        return target | {label: makers[label]() for label in self.labels}

    def subset(self, indices: Iterable[int]) -> ObjectImages:
        """The samples of these indices, in their order; the annotations are shared."""
        return ObjectImages(self.annotations, self.labels, self.chosen[np.fromiter(indices, dtype=np.int64)])


def _given(value: T | None) -> T:
    """A part that `available` has listed."""
    assert value is not None
    return value
