"""Fine textures: patterns of two values in equal shares, so that the mean colour does not reveal the texture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Bits = NDArray[np.bool_]


def _stripes(u: Array, v: Array, _seed: int) -> Bits:
    return np.broadcast_to(np.sin(2 * np.pi * u) > 0, np.broadcast_shapes(u.shape, v.shape))


def _checks(u: Array, v: Array, _seed: int) -> Bits:
    return (np.sin(np.pi * u) > 0) ^ (np.sin(np.pi * v) > 0)


def _dots(u: Array, v: Array, _seed: int) -> Bits:
    radius = float(np.sqrt(0.5 / np.pi))  # half of a cell's area
    return (u - np.round(u)) ** 2 + (v - np.round(v)) ** 2 < radius**2


def _speckle(u: Array, v: Array, seed: int) -> Bits:
    column = np.floor(2 * u).astype(np.int64).astype(np.uint64)
    row = np.floor(2 * v).astype(np.int64).astype(np.uint64)
    cell = column * np.uint64(0x9E3779B97F4A7C15) ^ row * np.uint64(0xC2B2AE3D27D4EB4F) ^ np.uint64(seed)
    cell = (cell ^ (cell >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)  # mixes all bits into the highest
    return (cell >> np.uint64(63)).astype(bool)


_TEXTURES: dict[str, Callable[[Array, Array, int], Bits]] = {
    "striped": _stripes,
    "checked": _checks,
    "dotted": _dots,
    "speckled": _speckle,
}
TEXTURES = tuple(_TEXTURES)


def texture(name: str, x: Array, y: Array, *, period: float, angle: float, seed: int) -> Bits:
    """The pattern, 0 or 1, at positions to the right `x` and downwards `y` (broadcast together).

    It is turned by `angle` radians and repeats after a distance of `period`, in the unit of `x` and `y`; a speckle is
    half as wide. The `seed` decides the speckles and the origin of the pattern.
    """
    start = np.random.default_rng(seed).random(2, dtype=np.float32)
    cos, sin = float(np.cos(angle) / period), float(np.sin(angle) / period)
    return _TEXTURES[name](cos * x + sin * y + start[0], cos * y - sin * x + start[1], seed)
