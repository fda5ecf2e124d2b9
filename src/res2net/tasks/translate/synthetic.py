"""`shapes-masks`: synthetic masks of scenes and the images that belong to them, to translate one into the other.

Scenes are those of `shapes` with several things, but here a silhouette decides how a thing looks: its colours, and a
texture that is laid from its centre. So a mask determines its image, but for the sensor's noise.
"""

from __future__ import annotations

import colorsys
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors

from res2net.errors import InputError
from res2net.images.samples import Generated, Sample
from res2net.images.shapes.dataset import SCENE_SIZES, SCENES, Shapes
from res2net.images.shapes.render import render
from res2net.images.shapes.scene import Colour, Pattern, Scene
from res2net.images.shapes.silhouettes import SILHOUETTES
from res2net.images.shapes.textures import TEXTURES
from res2net.images.sources import SOURCES, Counts, DataSource
from res2net.tasks.translate.data import PAIR_NAMES
from res2net.weights.records import Preprocessing

SIZE = 64
"""Pixels of a side."""
PERIOD = 0.125
"""Period of all textures, as a share of the image's side."""
WALLS: tuple[Colour, ...] = ((0.55, 0.35, 0.3), (0.35, 0.5, 0.35), (0.35, 0.4, 0.6))
"""The colours of backgrounds."""
MASK_COLOURS: dict[str, tuple[int, int, int]] = {
    silhouette: tuple(round(255 * value) for value in colorsys.hsv_to_rgb(0.6 + index / len(SILHOUETTES), 1.0, 1.0))  # type: ignore[misc]
    for index, silhouette in enumerate(SILHOUETTES)
}
"""The colour of a silhouette in a mask, which differs from those of its image."""
MASK_WALLS = ((0, 0, 0), (90, 90, 90), (180, 180, 180))
"""The colours of backgrounds in a mask."""


def _look(index: int) -> tuple[str, tuple[Colour, Colour]]:
    """The texture of a silhouette, and its two colours: a dark and a light one of a hue."""
    hue = 0.1 + index / len(SILHOUETTES)
    return TEXTURES[index % len(TEXTURES)], (colorsys.hsv_to_rgb(hue, 0.9, 0.35), colorsys.hsv_to_rgb(hue, 0.5, 0.95))


LOOKS = {silhouette: _look(index) for index, silhouette in enumerate(SILHOUETTES)}


class ShapeMasks(Generated):
    """Masks in colours that stand for classes, each with its image; the same for the same seed, split and index.

    An item is `(mask, {"image": image})`, both uint8 `(3, size, size)`. The options are those of `Shapes`.
    """

    def __init__(
        self, length: int, *, size: int = SIZE, split: str = "train", seed: int = 0, keep: bool = False
    ) -> None:
        super().__init__(length, split=split, seed=seed, keep=keep)
        self.scenes = Shapes(
            length, size=size, things=(2, 4), sizes=SCENE_SIZES, split=split, seed=seed, textured=False
        )

    def make(self, index: int) -> Sample:
        """Render the mask and the image of an index."""
        scene = self.scenes.scene(index)
        wall = index % len(WALLS)
        rendered = render(dressed(scene, WALLS[wall]), self.scenes.size)
        palette = [MASK_WALLS[wall], *(MASK_COLOURS[thing.silhouette] for thing in scene.things)]
        owner = np.where(rendered.masks.any(0), rendered.masks.argmax(0) + 1, 0)
        return _image(np.array(palette, dtype=np.uint8)[owner]), {"image": _image(rendered.image)}


@SOURCES.register("shapes-masks")
@cache
def shape_masks_source(labels: tuple[str, ...] = PAIR_NAMES, counts: Counts | None = None) -> DataSource:
    """Pairs that are rendered once in a process, `counts` of them to train and to validate on, by default `SCENES`."""
    if tuple(labels) != PAIR_NAMES:
        raise InputError("shapes-masks has pairs of images alone: train the task translate on it, or take shapes.")
    train_count, val_count = counts or SCENES
    train, val = ShapeMasks(train_count, keep=True), ShapeMasks(val_count, split="val", keep=True)
    preprocessing = Preprocessing(size=SIZE, crop=1.0, mean=(0.5,) * 3, std=(0.5,) * 3)
    return DataSource("shapes-masks", train, val, PAIR_NAMES, preprocessing)


def dressed(scene: Scene, wall: Colour) -> Scene:
    """The scene before a plain wall, in even light, with things whose silhouettes decide how they look."""
    background = replace(scene.background, colours=(wall, wall))
    things = []
    for thing in scene.things:
        texture, colours = LOOKS[thing.silhouette]
        things.append(replace(thing, pattern=Pattern(texture, PERIOD, thing.angle, 0, colours, thing.centre)))
    return replace(scene, background=background, light=(0.0, 0.0), things=tuple(things))


def _image(pixels: Any) -> tv_tensors.Image:
    return tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1).contiguous())
