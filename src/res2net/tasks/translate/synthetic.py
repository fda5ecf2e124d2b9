"""`shapes-masks`: drawn masks of scenes and the images that belong to them, to translate one into the other.

Scenes are those of `shapes` with several things, but here a silhouette decides how a thing looks: its colours, and a
texture that is laid from its centre. So a mask tells what its image is, but for the sensor's noise.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from torchvision import tv_tensors

from res2net.errors import InputError
from res2net.images.shapes import dataset as shapes
from res2net.images.shapes.render import render
from res2net.images.shapes.scene import Colour, Pattern, Scene, Thing
from res2net.images.shapes.silhouettes import SILHOUETTES
from res2net.images.shapes.textures import TEXTURES
from res2net.images.sources import SOURCES, DataSource
from res2net.tasks.translate.data import PAIR_NAMES
from res2net.weights.records import Preprocessing

__all__ = ["ShapeMasks", "shape_masks_source"]

SIZE = 64
"""Pixels of a side."""
PERIOD = 0.125
"""Of all textures, as a share of the image's side."""
WALLS: tuple[Colour, ...] = ((0.55, 0.35, 0.3), (0.35, 0.5, 0.35), (0.35, 0.4, 0.6))
"""The colours of backgrounds."""


def _look(index: int) -> tuple[str, tuple[Colour, Colour]]:
    """The texture of a silhouette, and its two colours: a dark and a light one of a hue."""
    hue = 0.1 + index / len(SILHOUETTES)
    return TEXTURES[index % len(TEXTURES)], (colorsys.hsv_to_rgb(hue, 0.9, 0.35), colorsys.hsv_to_rgb(hue, 0.5, 0.95))


LOOKS = {silhouette: _look(index) for index, silhouette in enumerate(SILHOUETTES)}
MASK_COLOURS: dict[str, tuple[int, int, int]] = {
    silhouette: tuple(round(255 * value) for value in colorsys.hsv_to_rgb(0.6 + index / len(SILHOUETTES), 1.0, 1.0))  # type: ignore[misc]
    for index, silhouette in enumerate(SILHOUETTES)
}
"""What stands for a silhouette in a mask: other colours than those of its image."""
MASK_WALLS = ((0, 0, 0), (90, 90, 90), (180, 180, 180))
"""The same for backgrounds."""


class ShapeMasks(Dataset[tuple[tv_tensors.Image, dict[str, Any]]]):
    """Masks in colours that stand for classes, each with its image; the same for the same seed, split and index.

    An item is `(mask, {"image": image})`, both uint8 `(3, size, size)`.

    Args:
        length: number of pairs.
        size: side of an image in pixels.
        split: "train", "val" or "test", which share no scene.
        seed: another seed gives other scenes.
        keep: keep what was drawn in memory.
    """

    def __init__(
        self, length: int, *, size: int = SIZE, split: str = "train", seed: int = 0, keep: bool = False
    ) -> None:
        self.scenes = shapes.Shapes(
            length, size=size, things=(2, 4), sizes=shapes.SCENE_SIZES, split=split, seed=seed, textured=False
        )
        self._kept: dict[int, tuple[tv_tensors.Image, dict[str, Any]]] | None = {} if keep else None

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, dict[str, Any]]:
        if self._kept is None:
            return self._draw(index)
        if index not in self._kept:
            self._kept[index] = self._draw(index)
        mask, target = self._kept[index]
        return mask, dict(target)

    def _draw(self, index: int) -> tuple[tv_tensors.Image, dict[str, Any]]:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside of 0 ... {len(self) - 1}")
        scene = self.scenes.scene(index)
        wall = index % len(WALLS)
        drawn = render(dressed(scene, WALLS[wall]), self.scenes.size)
        palette = [MASK_WALLS[wall], *(MASK_COLOURS[thing.silhouette] for thing in scene.things)]
        owner = np.where(drawn.masks.any(0), drawn.masks.argmax(0) + 1, 0)
        return _image(np.array(palette, dtype=np.uint8)[owner]), {"image": _image(drawn.image)}


@SOURCES.register("shapes-masks")
@cache
def shape_masks_source(labels: Sequence[str] = PAIR_NAMES) -> DataSource:
    """As many pairs as `shapes` has scenes, drawn once in a process.

    Raises:
        InputError: something else than an image is to be known of a mask.
    """
    if tuple(labels) != PAIR_NAMES:
        raise InputError("shapes-masks has pairs of images alone: train the task translate on it, or take shapes.")
    train, val = (ShapeMasks(shapes.SCENES[split], size=SIZE, split=split, keep=True) for split in ("train", "val"))
    preprocessing = Preprocessing(size=SIZE, crop=1.0, mean=(0.5,) * 3, std=(0.5,) * 3)
    return DataSource("shapes-masks", train, val, PAIR_NAMES, preprocessing)


def dressed(scene: Scene, wall: Colour) -> Scene:
    """The scene before a plain wall, in even light, with things that look as their silhouettes tell."""
    background = replace(scene.background, colours=(wall, wall))
    return replace(scene, background=background, light=(0.0, 0.0), things=tuple(map(_dressed, scene.things)))


def _dressed(thing: Thing) -> Thing:
    texture, colours = LOOKS[thing.silhouette]
    return replace(thing, pattern=Pattern(texture, PERIOD, thing.angle, 0, colours, thing.centre))


def _image(pixels: Any) -> tv_tensors.Image:
    return tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1).contiguous())
