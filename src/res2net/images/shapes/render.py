"""Render a scene to an image, masks and depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from res2net.images.shapes.scene import WALL, Scene, Thing
from res2net.images.shapes.textures import texture

OVERSAMPLING = 4
"""Number of samples per pixel along x and along y, which are averaged."""
FINEST = 3.0
"""Minimum period of a pattern in pixels."""
NOISE = 0.01
"""Standard deviation of the simulated sensor noise, for values from 0 to 1."""


@dataclass(frozen=True)
class Rendering:
    """A rendered image of `size` x `size` pixels with its masks and depth; the farthest thing comes first."""

    image: NDArray[np.uint8]
    """`(size, size, 3)`, RGB."""
    masks: NDArray[np.bool_]
    """`(n, size, size)`: the pixels that are mostly covered by each thing."""
    depth: NDArray[np.float32]
    """`(size, size)`, in metres."""


def render(scene: Scene, size: int) -> Rendering:
    """Render a scene at `size` x `size` pixels, with anti-aliasing."""
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
        covered = owner[rows, columns] == index
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
        share, second = _pixel_means(covered), _pixel_means(covered & values)
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
    """Write `index` into the samples that a thing covers; return the window of whole pixels around them."""
    samples = len(owner)
    corners = thing.corners * samples
    low = np.floor(corners.min(0) / OVERSAMPLING).clip(0).astype(int) * OVERSAMPLING
    high = (np.ceil(corners.max(0) / OVERSAMPLING).astype(int) * OVERSAMPLING).clip(None, samples)
    stencil = Image.new("1", (int(high[0] - low[0]), int(high[1] - low[1])))
    # The centre of the first sample is at 0.5, but that of the first pixel of the stencil is at 0.
    ImageDraw.Draw(stencil).polygon([(x, y) for x, y in corners - low - 0.5], fill=1)
    window = (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])))
    owner[window][np.asarray(stencil)] = index
    return window


def _to_pixels(samples: slice) -> slice:
    return slice(None) if samples.start is None else slice(samples.start // OVERSAMPLING, samples.stop // OVERSAMPLING)


def _pixel_means(samples: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Average the samples `(h * OVERSAMPLING, w * OVERSAMPLING)` of each pixel, giving `(h, w)`."""
    height, width = samples.shape[0] // OVERSAMPLING, samples.shape[1] // OVERSAMPLING
    rows = samples.view(np.uint8).reshape(height, OVERSAMPLING, -1).sum(1, dtype=np.uint8)
    total = rows.reshape(height, width, OVERSAMPLING).sum(2, dtype=np.uint8)
    return total.astype(np.float32) / OVERSAMPLING**2
