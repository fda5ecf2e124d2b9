"""The common representation of data sets with objects: images read on demand, annotations in a few long arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from res2net.errors import InputError, check_choice
from res2net.images.decode import BadImage, open_image, read_image
from res2net.images.keypoints import Keypoints
from res2net.images.samples import Origin, Sample
from res2net.tasks.objects.formats.masks import MaskFiles, PackedMasks, StuffFiles

LABELS = ("boxes", "labels", "masks", "keypoints", "visibility", "crowd", "area", "difficult", "semantic")
"""All possible target entries; see `ObjectImages`."""


@dataclass(frozen=True)
class Annotations:
    """The annotations of N images and their M objects, ordered by image; subsets of a data set share them.

    Args:
        name: name of the data set.
        class_names: names of the classes of objects.
        paths: paths of the images.
        image_ids: ids of the images `(N,)`, as in the files, or their indices.
        sizes: heights and widths `(N, 2)` in pixels.
        starts: offsets `(N + 1,)`; image i has the objects from `starts[i]` up to `starts[i + 1]`.
        boxes: boxes `(M, 4)` in pixels, XYXY.
        labels: class indices `(M,)`.
        area: areas `(M,)` in square pixels, as in the files, or of the boxes.
        crowd: whether each object is a region of many objects, `(M,)`.
        difficult: whether PASCAL VOC excludes each object from the evaluation, `(M,)`.
        points: x, y (the centre of the first pixel is at 0.5) and visibility of keypoints, `(M, k, 3)`; may be None.
        masks: source of the masks; may be None.
        keypoints: description of the keypoints; may be None.
        stuff: source of the stuff maps; may be None.
        stuff_names: names of the stuff classes.
        category_ids: ids of the classes in the files, if those have ids, as in COCO.
        stuff_category_ids: ids of the stuff classes in the files.
        as_stored: whether they are for images as stored, not as EXIF turns them, where their sizes do not tell.
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
    masks: PackedMasks | MaskFiles | None = None
    keypoints: Keypoints | None = None
    stuff: StuffFiles | None = None
    stuff_names: Sequence[str] = ()
    category_ids: Sequence[int] = ()
    stuff_category_ids: Sequence[int] = ()
    as_stored: bool = False

    def available(self) -> tuple[str, ...]:
        """The labels of `LABELS` that these annotations have."""
        optional = {"masks": self.masks, "keypoints": self.points, "visibility": self.points, "semantic": self.stuff}
        return tuple(label for label in LABELS if optional.get(label, label) is not None)


class ObjectImages(Dataset[Sample]):
    """Images with objects: `(PIL.Image, target)`; an image that cannot be read raises `BadImage`.

    Images are upright, unless their annotations are for images as they are stored, without their EXIF orientation.

    A target has `image_id` and those of these entries that `labels` asks for, where n is the number of objects:

    - `boxes` `(n, 4)` in pixels, XYXY; `labels` `(n,)` int64, an index in `class_names`
    - `masks` `(n, H, W)` bool
    - `keypoints` `(n, k, 2)` x and y in pixels, where the centre of the first pixel is at 0.5;
      `visibility` `(n, k)` uint8: 0 not labelled (the point is then meaningless), 1 labelled but hidden, 2 visible
    - `crowd` `(n,)` bool: a region of many objects (COCO); `difficult` `(n,)` bool: excluded from evaluation (VOC)
    - `area` `(n,)` in square pixels, as in the data set, or that of the box
    - `semantic` `(H, W)` int64: an index in `stuff_names`, or 255 for things and unlabelled pixels

    Args:
        annotations: the annotations of the data set.
        labels: the target entries, of `LABELS`.
        chosen: indices in `annotations` of the images to use; by default all.

    Raises:
        InputError: the data set lacks one of the labels.
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
        self.class_names, self.stuff_names = annotations.class_names, annotations.stuff_names
        """The names of the classes of objects, and of those of `semantic`, which are none where there is no stuff."""
        self.keypoints = annotations.keypoints
        """The keypoints of the objects; None if they have none."""
        everything = range(len(annotations.paths))
        self.chosen = np.fromiter(everything if chosen is None else chosen, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Sample:
        return self._sample(index, read_image)

    def undecoded(self, index: int) -> Sample:
        """The sample, with JPEG files as an undecoded `Jpeg`, for the transforms of images with objects."""
        return self._sample(index, open_image)

    def _sample(self, index: int, read: Callable[..., Any]) -> Sample:
        size = self.size(index)
        path = self.annotations.paths[self.chosen[index]]
        upright = not self.annotations.as_stored
        image = read(path, upright=upright)
        if image.size != size[::-1] and image.size == size:
            image = read(path, upright=not upright)
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

    def origin(self, index: int) -> Origin:
        """The files of a sample and the bytes of its annotations, for its fingerprint."""
        found = self.annotations
        image, rows = self.chosen[index], self.rows(index)
        arrays = [found.labels, found.boxes, found.area, *(() if found.points is None else (found.points,))]
        files = (found.paths[image], found.masks.paths[image] if isinstance(found.masks, MaskFiles) else None)
        return files, b"".join(array[rows.start : rows.stop].tobytes() for array in arrays)

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of an image, without reading it."""
        height, width = self.annotations.sizes[self.chosen[index]].tolist()
        return height, width

    def rows(self, index: int) -> range:
        """The indices of an image's objects in the arrays of `annotations`."""
        image = self.chosen[index]
        return range(int(self.annotations.starts[image]), int(self.annotations.starts[image + 1]))

    def target(self, index: int) -> dict[str, Any]:
        """The target of an image, without reading the image.

        Raises:
            BadImage: a file of masks cannot be read.
        """
        found = self.annotations
        image, rows, size = int(self.chosen[index]), self.rows(index), self.size(index)
        part = slice(rows.start, rows.stop)
        target: dict[str, Any] = {"image_id": int(found.image_ids[image])}
        points = torch.empty(0) if found.points is None else torch.from_numpy(found.points[part].copy())
        masks: Any = found.masks  # `available` was checked, so that what is asked for is there
        stuff: Any = found.stuff
        makers: dict[str, Callable[[], Tensor]] = {
            "boxes": lambda: tv_tensors.BoundingBoxes(
                torch.from_numpy(found.boxes[part].copy()), format="XYXY", canvas_size=size
            ),
            "labels": lambda: torch.from_numpy(found.labels[part].astype(np.int64)),
            "masks": lambda: tv_tensors.Mask(torch.from_numpy(masks.masks(image, rows, size))),
            "keypoints": lambda: tv_tensors.KeyPoints(points[..., :2].contiguous(), canvas_size=size),
            "visibility": lambda: points[..., 2].to(torch.uint8),
            "crowd": partial(torch.tensor, found.crowd[part]),
            "area": partial(torch.tensor, found.area[part]),
            "difficult": partial(torch.tensor, found.difficult[part]),
            "semantic": lambda: tv_tensors.Mask(torch.from_numpy(stuff.semantic(image, size))),
        }
        return target | {label: makers[label]() for label in self.labels}

    def with_classes(self, class_names: Sequence[str]) -> ObjectImages:
        """The same samples with other classes, of which each of their own is one by its name, in any order.

        Classes that the data set does not have get ids after all of its own.
        """
        found, names = self.annotations, list(class_names)
        labels = np.array([names.index(name) for name in found.class_names], dtype=np.int32)
        own = dict(zip(found.class_names, found.category_ids, strict=False))
        free = count(max(found.category_ids, default=0) + 1)
        ids = [own[name] if name in own else next(free) for name in names] if own else ()
        changed = replace(found, class_names=names, labels=labels[found.labels], category_ids=ids)
        return ObjectImages(changed, self.labels, self.chosen)

    def subset(self, indices: Iterable[int]) -> ObjectImages:
        """The samples with these indices, in that order; the annotations are shared."""
        return ObjectImages(self.annotations, self.labels, self.chosen[np.fromiter(indices, dtype=np.int64)])
