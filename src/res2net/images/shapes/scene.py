"""The layout of a synthetic image, generated from a seed and not yet rendered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from res2net.images.shapes.silhouettes import ANCHORS, OUTLINES, SILHOUETTES
from res2net.images.shapes.textures import TEXTURES

CLASS_NAMES = tuple(f"{texture} {silhouette}" for silhouette in SILHOUETTES for texture in TEXTURES)
SMALLEST, LARGEST = 0.06, 0.9
"""The longer side of a thing's box, as a share of the image's side."""
WALL = 20.0
"""Distance of the background, in metres; a thing of size s (as above) is `LARGEST / s` metres away."""

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Pattern:
    """A texture in two colours (each channel in 0 ... 1); `period` is a share of the image's side."""

    texture: str
    period: float
    angle: float
    seed: int
    colours: tuple[Colour, Colour]
    origin: tuple[float, float] = (0.0, 0.0)
    """Origin of the texture, as a share of the side of the image; the seed shifts it further."""


@dataclass(frozen=True)
class Thing:
    """One object; lengths and positions are shares of the image's side, x to the right and y down."""

    silhouette: str
    pattern: Pattern
    centre: tuple[float, float]
    half_extent: tuple[float, float]
    """Half of the width and the height in the upright frame."""
    angle: float

    @property
    def label(self) -> int:
        """Index of its class in `CLASS_NAMES`."""
        return CLASS_NAMES.index(f"{self.pattern.texture} {self.silhouette}")

    @property
    def size(self) -> float:
        """The longer side of its box."""
        return float(np.ptp(self.corners, axis=0).max())

    @property
    def distance(self) -> float:
        """Distance from the viewer in metres, assuming that all things have the same true size."""
        return LARGEST / self.size

    @property
    def corners(self) -> NDArray[np.float64]:
        """The corners of its outline, `(n, 2)` as x, y."""
        return self._place(OUTLINES[self.silhouette])

    @property
    def keypoints(self) -> NDArray[np.float64]:
        """Its named points, `(5, 2)` as x, y."""
        return self._place(ANCHORS[self.silhouette])

    def _place(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return turned(points * self.half_extent, self.angle) + self.centre


@dataclass(frozen=True)
class Scene:
    """A background and the things in front of it, farthest first."""

    background: Pattern
    light: tuple[float, float]
    """Increase of the brightness along x and y over the whole image."""
    things: tuple[Thing, ...]
    noise_seed: int


def turned(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Rotate points `(n, 2)` about the origin by `angle` radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def draw_scene(rng: np.random.Generator, things: int, sizes: tuple[float, float] = (SMALLEST, LARGEST)) -> Scene:
    """Generate a scene with up to `things` objects; an object that would hide more than half of another is left out.

    Classes are equally likely, the square roots of sizes are uniform between those of the two `sizes`, and the whole
    box of an object is in the image.
    """
    background = _pattern(rng, str(rng.choice(TEXTURES)), period=float(rng.uniform(0.04, 0.25)), contrast=0.12)
    light = (float(rng.uniform(-0.2, 0.2)), float(rng.uniform(-0.2, 0.2)))
    placed: list[Thing] = []
    for _ in range(things):
        thing = _thing(rng, *sizes)
        if not any(_hides(thing, other) or _hides(other, thing) for other in placed):
            placed.append(thing)
    placed.sort(key=lambda thing: thing.size)
    return Scene(background, light, tuple(placed), int(rng.integers(2**31)))


def _thing(rng: np.random.Generator, smallest: float, largest: float) -> Thing:
    silhouette = SILHOUETTES[rng.integers(len(SILHOUETTES))]
    texture = TEXTURES[rng.integers(len(TEXTURES))]
    size = float(rng.uniform(smallest**0.5, largest**0.5)) ** 2
    angle = float(rng.uniform(-np.pi / 7, np.pi / 7))
    aspect = float(np.exp(rng.uniform(-0.2, 0.2)))
    half = np.array([aspect**0.5, aspect**-0.5])
    width, height = np.ptp(turned(OUTLINES[silhouette] * half, angle), axis=0)
    half *= size / max(width, height)
    corners = turned(OUTLINES[silhouette] * half, angle)
    low, high = -corners.min(0), 1 - corners.max(0)
    centre = low + (high - low) * rng.random(2)
    pattern = _pattern(rng, texture, period=size * float(rng.uniform(0.13, 0.2)), contrast=0.8)
    return Thing(silhouette, pattern, (float(centre[0]), float(centre[1])), (float(half[0]), float(half[1])), angle)


def _pattern(rng: np.random.Generator, texture: str, *, period: float, contrast: float) -> Pattern:
    middle = rng.uniform(contrast / 2, 1 - contrast / 2, 3)
    first, second = middle - contrast / 2, middle + contrast / 2
    return Pattern(
        texture,
        period,
        float(rng.uniform(0, np.pi)),
        int(rng.integers(2**31)),
        ((first[0], first[1], first[2]), (second[0], second[1], second[2])),
    )


def _hides(near: Thing, far: Thing) -> bool:
    """Whether the box of `near` covers more than half of the box of `far`."""
    near_low, near_high = near.corners.min(0), near.corners.max(0)
    far_low, far_high = far.corners.min(0), far.corners.max(0)
    common = np.clip(np.minimum(near_high, far_high) - np.maximum(near_low, far_low), 0, None)
    return bool(common.prod() > 0.5 * (far_high - far_low).prod())
