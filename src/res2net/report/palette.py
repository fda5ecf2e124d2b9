"""Colours of classes, distinguishable with normal and with deficient colour vision."""

from __future__ import annotations

import itertools
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Colour: TypeAlias = tuple[int, int, int]
"""Red, green and blue, 0..255."""

COUNT = 160
"""Number of colours before they repeat."""
# Okabe and Ito (2008), in an order in which neighbours also differ in lightness.
FIRST: tuple[Colour, ...] = (
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
    (0, 114, 178),
    (230, 159, 0),
    (204, 121, 167),
    (0, 158, 115),
)
LEVELS = (*range(0, 256, 32), 255)
LIGHTNESS = (0.5, 0.93)
"""Limits of the lightness in OKLab: other colours are invisible on dark or bright parts of an image."""
GREYEST = 0.05
"""Minimum chroma: greys are too common in images."""

# Björn Ottosson (2020), "A perceptual color space for image processing": linear sRGB to cones to OKLab.
CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
OKLAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
# Machado, Oliveira and Fernandes (2009), severity 1: linear sRGB as seen without one type of cone.
WITHOUT_CONES = (
    ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
)


def class_colour(index: int) -> Colour:
    """The colour of a class, which does not depend on the number of classes; colours repeat after `COUNT`."""
    return _palette()[index % COUNT]


def shade(colour: Colour, step: int) -> Colour:
    """A darker or lighter shade of a colour, for several objects of one class; step 0 is the colour itself."""
    share = (0.0, -0.25, 0.35, -0.4, 0.55)[step % 5]
    towards = 255 if share > 0 else 0
    red, green, blue = (round(value + abs(share) * (towards - value)) for value in colour)
    return red, green, blue


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever has more contrast on that colour (WCAG 2.1, relative luminance)."""
    luminance = float(_linear(np.array(colour)) @ (0.2126, 0.7152, 0.0722))
    return (0, 0, 0) if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else (255, 255, 255)


@cache
def _palette() -> tuple[Colour, ...]:
    """`FIRST`, followed greedily by the colour farthest from all before it."""
    grid = np.array(list(itertools.product(LEVELS, repeat=3)))
    lab = _seen(grid)[0]
    bright = (lab[:, 0] >= LIGHTNESS[0]) & (lab[:, 0] <= LIGHTNESS[1])
    grid = grid[bright & (np.hypot(lab[:, 1], lab[:, 2]) >= GREYEST)]
    every = np.concatenate([np.array(FIRST), grid])
    views = _seen(every)
    chosen = list(range(len(FIRST)))
    nearest = np.min([_distance(views, one) for one in chosen], axis=0)
    while len(chosen) < COUNT:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _distance(views, chosen[-1]))
    return tuple((int(red), int(green), int(blue)) for red, green, blue in every[chosen])


def _distance(views: NDArray[np.float64], one: int) -> NDArray[np.float64]:
    """Distances of all colours to one: with normal vision, plus the least distance with deficient vision."""
    apart = np.linalg.norm(views - views[:, one : one + 1], axis=2)
    return apart[0] + apart[1:].min(0)


def _seen(colours: NDArray[np.int64]) -> NDArray[np.float64]:
    """Convert sRGB `(n, 3)` to OKLab `(4, n, 3)`, with normal vision and without each type of cone."""
    linear = _linear(colours)
    views = [linear, *(linear @ np.array(matrix).T for matrix in WITHOUT_CONES)]
    return np.stack([np.cbrt(np.clip(view, 0, 1) @ np.array(CONES).T) @ np.array(OKLAB).T for view in views])


def _linear(colours: NDArray[np.int64]) -> NDArray[np.float64]:
    """Convert sRGB 0..255 to linear light 0..1 (IEC 61966-2-1)."""
    share = colours / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
