"""From a scene to pixels and to the labels of every task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from res2net.images.shapes.scene import WALL, Scene, Thing
from res2net.images.shapes.textures import texture

__all__ = ["Rendering", "render"]

OVERSAMPLING = 4
"""Samples of a pixel along x and along y, whose mean it becomes."""
FINEST = 3.0
"""No pattern repeats after fewer pixels than this."""
NOISE = 0.01
"""Standard deviation of the sensor's noise, of a range of 0 ... 1."""


@dataclass(frozen=True)
class Rendering:
    """An image of `size` x `size` pixels and what is in it, the farthest thing first."""

    image: NDArray[np.uint8]
    """`(size, size, 3)`, RGB."""
    masks: NDArray[np.bool_]
    """`(n, size, size)`: the pixels that show mostly this thing."""
    depth: NDArray[np.float32]
    """`(size, size)`, in metres."""


def render(scene: Scene, size: int) -> Rendering:
    """Draw a scene, anti-aliased, at `size` x `size` pixels."""
    samples = size * OVERSAMPLING
    position = ((np.arange(samples) + 0.5) / samples).astype(np.float32)
    owner = np.zeros((samples, samples), dtype=np.uint8)
    windows = [(slice(None), slice(None))]
    for index, thing in enumerate(scene.things, start=1):
        windows.append(_cover(thing, index, owner))
    patterns = (scene.background, *(thing.pattern for thing in scene.things))
    image = np.zeros((size, size, 3), dtype=np.float32)
    coverage = np.zeros((len(patterns), size, size), dtype=np.float32)
    for index, (pattern, (rows, columns)) in enumerate(zip(patterns, windows, strict=True)):
        mine = owner[rows, columns] == index
        period = max(pattern.period, FINEST / size)
        values = texture(
            pattern.texture,
            position[None, columns] - np.float32(pattern.origin[0]),
            position[rows, None] - np.float32(pattern.origin[1]),
            period=period,
            angle=pattern.angle,
            seed=pattern.seed,
        )
        pixels = (_to_pixels(rows), _to_pixels(columns))
        share, second = _pixel_means(mine), _pixel_means(mine & values)
        coverage[index][pixels] = share
        colours = np.array(pattern.colours, dtype=np.float32)
        image[pixels] += (share - second)[..., None] * colours[0] + second[..., None] * colours[1]
    middle = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    slope_x, slope_y = scene.light
    image += (coverage[0] * (slope_x * middle[None, :] + slope_y * middle[:, None]))[..., None]
    image += np.random.default_rng(scene.noise_seed).normal(0, NOISE, image.shape)
    shown = coverage.argmax(0)
    masks = shown[None] == np.arange(1, len(patterns))[:, None, None]
    distances = np.array([WALL, *(thing.distance for thing in scene.things)], dtype=np.float32)
    return Rendering((image.clip(0, 1) * 255).round().astype(np.uint8), masks, distances[shown])


def _cover(thing: Thing, index: int, owner: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Write `index` into the samples that a thing covers; the window of whole pixels around them."""
    samples = len(owner)
    corners = thing.corners * samples
    low = np.floor(corners.min(0) / OVERSAMPLING).clip(0).astype(int) * OVERSAMPLING
    high = (np.ceil(corners.max(0) / OVERSAMPLING).astype(int) * OVERSAMPLING).clip(None, samples)
    stencil = Image.new("1", (int(high[0] - low[0]), int(high[1] - low[1])))
    # The centre of the first sample is at 0.5, and that of the stencil's first pixel at 0.
    ImageDraw.Draw(stencil).polygon([(x, y) for x, y in corners - low - 0.5], fill=1)
    window = (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])))
    owner[window][np.asarray(stencil)] = index
    return window


def _to_pixels(samples: slice) -> slice:
    return slice(None) if samples.start is None else slice(samples.start // OVERSAMPLING, samples.stop // OVERSAMPLING)


def _pixel_means(samples: NDArray[np.bool_]) -> NDArray[np.float32]:
    """`(h * OVERSAMPLING, w * OVERSAMPLING)` to the means of the blocks that are pixels, `(h, w)`."""
    height, width = samples.shape[0] // OVERSAMPLING, samples.shape[1] // OVERSAMPLING
    rows = samples.view(np.uint8).reshape(height, OVERSAMPLING, -1).sum(1, dtype=np.uint8)
    total = rows.reshape(height, width, OVERSAMPLING).sum(2, dtype=np.uint8)
    return total.astype(np.float32) / OVERSAMPLING**2
