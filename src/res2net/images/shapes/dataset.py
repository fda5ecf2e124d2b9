"""`shapes`: an embedded multi-scale data set, rendered on demand, with the labels of every task.

A class is a coarse silhouette filled with a fine texture (`CLASS_NAMES`), so that a network has to recognise both, and
objects span 6 % to 90 % of the side of the image. The background has its own texture, independent of the class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from res2net.errors import InputError, check_choice
from res2net.images.keypoints import Keypoints
from res2net.images.samples import UNLABELLED, Generated, Sample
from res2net.images.shapes.render import Rendering, render
from res2net.images.shapes.scene import CLASS_NAMES, LARGEST, SMALLEST, Scene, Thing, draw_scene
from res2net.images.shapes.silhouettes import KEYPOINTS, SILHOUETTES
from res2net.images.sources import SOURCES, Counts, DataSource
from res2net.images.transforms import TrainAugment
from res2net.weights import Preprocessing

LENGTHS = (12_000, 2_000)
"""Numbers of training and validation images of the source `shapes` with image-level labels."""
SCENES = (4_000, 500)
"""Numbers of training and validation images of the source `shapes` with labels of objects or pixels."""
SCENE_SIZES = (0.15, 0.6)
"""Sizes of the things in these images; the textures of smaller ones could not be resolved at 128 pixels."""
PIXEL_CLASSES = ("background", *SILHOUETTES)
"""The classes of `semantic` in scenes without boxes."""
POINTS = Keypoints(KEYPOINTS, skeleton=((0, 1), (0, 2), (0, 3), (0, 4)), flips=((2, 4),))
STUFF_NAMES = ("red wall", "green wall", "blue wall")
"""The stuff classes, given by the strongest channel of the mean colour of the background."""
LABELS = (
    *("label", "size", "boxes", "labels", "masks", "semantic", "stuff", "saliency", "keypoints", "visibility"),
    "depth",
)
"""All possible target entries; see `Shapes`."""


class Shapes(Generated):
    """Images of silhouettes filled with textures, determined by seed, split and index.

    An item is `(image, target)`: a uint8 image `(3, size, size)`, and those of these entries that `labels` asks for,
    where n is the number of visible things, farthest first:

    - `label`: class of the largest thing, an index in `CLASS_NAMES`
    - `size`: the longer side of that thing, as a share of the side of the image
    - `boxes` `(n, 4)` in pixels, XYXY, around the visible pixels; `labels` `(n,)`
    - `masks` `(n, size, size)`: visible pixels of each thing, bool
    - `semantic` `(size, size)`: 0 for the background, 1 + class elsewhere, uint8
    - `stuff` `(size, size)`: an index in `STUFF_NAMES` for the background, 255 for things, uint8
    - `saliency` `(size, size)`: whether a pixel belongs to any thing, bool
    - `keypoints` `(n, 5, 2)`: x and y in pixels of the points in `KEYPOINTS`
    - `visibility` `(n, 5)`: 2 where such a point is visible, 1 where another thing hides it, uint8
    - `depth` `(size, size)`: metres from the viewer, float32

    Args:
        length: number of images.
        size: side of an image in pixels.
        things: number of things in an image, or its minimum and maximum.
        sizes: minimum and maximum length of the longer side of a thing, as a share of the side of the image.
        split: "train", "val" or "test", which have no image in common.
        seed: another seed gives other images.
        textured: whether a class is a textured silhouette (`CLASS_NAMES`), or just a silhouette.
        labels: which of `LABELS` the targets contain.
        keep: keep rendered images and their targets in memory.

    Raises:
        InputError: an option is out of range.
    """

    def __init__(
        self,
        length: int,
        *,
        size: int = 64,
        things: int | tuple[int, int] = 1,
        sizes: tuple[float, float] = (SMALLEST, LARGEST),
        split: str = "train",
        seed: int = 0,
        textured: bool = True,
        labels: Sequence[str] = ("label", "size"),
        keep: bool = False,
    ) -> None:
        for label in labels:
            check_choice("Label", label, LABELS)
        low, high = (things, things) if isinstance(things, int) else things
        if length < 1 or not 16 <= size <= 4096 or not 1 <= low <= high <= 100 or seed < 0:
            raise InputError(
                f"Shapes with length {length}, size {size}, things {things} and seed {seed} cannot be rendered: "
                "choose a length of 1 or more, a size of 16 to 4096 pixels, 1 to 100 things, and a seed of 0 or more."
            )
        if not SMALLEST <= sizes[0] <= sizes[1] <= LARGEST:
            raise InputError(f"Sizes {sizes} of things do not fit: give shares from {SMALLEST} to {LARGEST}.")
        super().__init__(length, split=split, seed=seed, keep=keep)
        self.size, self.things, self.sizes = size, (low, high), sizes
        self.class_names = CLASS_NAMES if textured else SILHOUETTES
        self.labels = tuple(labels)

    def scene(self, index: int) -> Scene:
        """The layout of the image at an index."""
        rng = self.random(index)
        low, high = self.things
        return draw_scene(rng, low if low == high else int(rng.integers(low, high + 1)), self.sizes)

    def make(self, index: int) -> Sample:
        """Render the scene of an index, with its labels."""
        scene = self.scene(index)
        rendered = render(scene, self.size)
        image = tv_tensors.Image(torch.from_numpy(rendered.image).permute(2, 0, 1).contiguous())
        target: dict[str, Any] = {}
        if "label" in self.labels:
            target["label"] = self._label(scene.things[-1])
        if "size" in self.labels:
            target["size"] = scene.things[-1].size
        if set(self.labels) - {"label", "size"}:
            dense = _dense_labels(scene, rendered, self._label)
            target |= {label: dense[label] for label in self.labels if label in dense}
        return image, target

    def _label(self, thing: Thing) -> int:
        return thing.label if self.class_names is CLASS_NAMES else SILHOUETTES.index(thing.silhouette)


def _dense_labels(scene: Scene, image: Rendering, label: Callable[[Thing], int]) -> dict[str, Tensor]:
    """All labels except the image-level ones."""
    masks = torch.from_numpy(image.masks)
    visible = masks.any(-1).any(-1)
    masks = masks[visible]
    things = [thing for thing, seen in zip(scene.things, visible.tolist(), strict=True) if seen]
    labels = torch.tensor([label(thing) for thing in things], dtype=torch.int64)
    size = masks.shape[-1]
    keypoints = torch.from_numpy(np.stack([thing.keypoints for thing in things]) * size).float()
    semantic = ((labels[:, None, None] + 1) * masks).sum(0).to(torch.uint8)
    wall = int(np.sum(scene.background.colours, axis=0).argmax())
    stuff = torch.full((size, size), wall, dtype=torch.uint8).masked_fill(masks.any(0), UNLABELLED)
    return {
        "boxes": tv_tensors.BoundingBoxes(_boxes(masks), format="XYXY", canvas_size=(size, size)),
        "labels": labels,
        "masks": tv_tensors.Mask(masks),
        "semantic": tv_tensors.Mask(semantic),
        "stuff": tv_tensors.Mask(stuff),
        "saliency": tv_tensors.Mask(masks.any(0)),
        "keypoints": tv_tensors.KeyPoints(keypoints, canvas_size=(size, size)),
        "visibility": _visibility(keypoints, masks),
        "depth": tv_tensors.Mask(torch.from_numpy(image.depth)),
    }


def _boxes(masks: Tensor) -> Tensor:
    """The boxes `(n, 4)` around the pixels of masks `(n, H, W)`, including the last row and column."""
    boxes = []
    for mask in masks:
        rows, columns = torch.where(mask.any(1))[0], torch.where(mask.any(0))[0]
        boxes.append([int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1])
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


def _visibility(keypoints: Tensor, masks: Tensor) -> Tensor:
    """The visibility of points `(n, k, 2)`: 1 if a nearer thing covers the point, else 2."""
    column, row = keypoints.long().clamp(0, masks.shape[-1] - 1).unbind(-1)
    hidden = [masks[index + 1 :, row[index], column[index]].any(0) for index in range(len(masks))]
    return 2 - torch.stack(hidden).to(torch.uint8)


class _WithStuff(Shapes):
    """Shapes whose label `stuff` is called `semantic`, as in data sets with things and stuff."""

    def __getitem__(self, index: int) -> Sample:
        image, target = super().__getitem__(index)
        return image, target | {"semantic": tv_tensors.Mask(target.pop("stuff").long())}


@SOURCES.register("shapes")
@cache
def shapes_source(labels: tuple[str, ...] = ("label",), counts: Counts | None = None) -> DataSource:
    """Images that are rendered once in a process, `counts` of them to train and to validate on.

    With labels of the whole image they are by default `LENGTHS`, of 64 x 64 pixels, with one thing in each. With labels
    of objects or pixels they are by default `SCENES`, of 128 x 128 pixels, with two to four things of `SCENE_SIZES` in
    each, whose class is their silhouette, whatever their texture. Without boxes `semantic` is that of `Shapes`, with
    the classes `PIXEL_CLASSES`. With boxes it is what it is in data sets of objects: the stuff, the background by its
    colour (`STUFF_NAMES`), and 255 for things, so it is the label `stuff` of `Shapes`.
    """
    whole = "label" in labels
    usual, size = (LENGTHS, 64) if whole else (SCENES, 128)
    things, sizes = ((1, 1), (SMALLEST, LARGEST)) if whole else ((2, 4), SCENE_SIZES)
    # No thing is a crowd or difficult, and areas are those of the masks.
    wanted = [name for name in labels if name not in ("crowd", "area", "difficult")]
    wanted += ["size"] if whole and "size" not in wanted else []
    panoptic = "semantic" in wanted and "boxes" in wanted
    if panoptic:
        wanted[wanted.index("semantic")] = "stuff"
    kind = _WithStuff if panoptic else Shapes
    train, val = (
        kind(length, size=size, things=things, sizes=sizes, split=split, textured=whole, labels=wanted, keep=True)
        for split, length in zip(("train", "val"), counts or usual, strict=True)
    )
    return DataSource(
        "shapes",
        train,
        val,
        _class_names(labels),
        Preprocessing(size=size, crop=1.0, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        TrainAugment(pad=0),  # no random crop, as things are at random positions anyway
        keypoints=POINTS if "keypoints" in labels else None,
        stuff_names=STUFF_NAMES if panoptic else (),
    )


def _class_names(labels: Sequence[str]) -> Sequence[str]:
    """The class names that belong to the labels: those of images, objects or pixels."""
    of_pixels = {"semantic": PIXEL_CLASSES, "saliency": ("salient",), "depth": ("depth",)}
    names = {"label": CLASS_NAMES, "boxes": SILHOUETTES, **of_pixels}
    return next((names[label] for label in names if label in labels), SILHOUETTES)
