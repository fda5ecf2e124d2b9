"""`volumes`: an embedded set of synthetic CT scans of the trunk, with organs and tumours, in Hounsfield units."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from res2net.errors import InputError, check_range
from res2net.images.samples import SPLITS, Generated, Sample
from res2net.images.sources import SOURCES, Counts, DataSource
from res2net.tasks.volumes.nifti import Volume
from res2net.weights import Preprocessing

Array = NDArray[np.float32]

CLASSES = ("background", "liver", "spleen", "kidney", "tumour")
AIR, FAT = -1000.0, -100.0
TISSUES = (50.0, 110.0, 110.0, 165.0, 65.0)
"""Hounsfield units of `CLASSES`, with muscle in the background."""
FIELD = (120.0, 150.0, 180.0)
"""Height, depth and width of what the scanner sees, mm."""
SLICES, PIXELS = (3.5, 5.0), (2.4, 3.0)
"""Distances of slices, and of the voxels of a slice, that volumes have, mm."""
WAVES = 6
"""Waves that a surface or a texture is made of."""
DENTED = 0.16
"""How far waves push a surface in and out, as a share of its radius."""
LENGTHS = (48, 12)
"""Training and validation volumes of the source `volumes`."""


def draw_body(rng: np.random.Generator) -> Sample:
    """The volume and label map of a trunk with liver, spleen and two kidneys, and one to three tumours in the liver.

    Liver and spleen have the same intensities, and differ in position, size and texture; tumours are darker than
    the liver by little more than the noise.
    """
    pixel = float(rng.uniform(*PIXELS))
    spacing = (float(rng.uniform(*SLICES)), pixel, pixel)
    z, y, x = np.meshgrid(
        *(
            ((np.arange(round(size / step)) + 0.5) * step - size / 2).astype(np.float32)
            for size, step in zip(FIELD, spacing, strict=True)
        ),
        indexing="ij",
        sparse=True,
    )
    size = float(rng.uniform(0.9, 1.05))

    def blob(centre: Sequence[float], radii: Sequence[float]) -> NDArray[np.bool_]:
        """A dented ellipsoid at about that position, mm, of the body's size."""
        shift = rng.normal(0, 3, 3)
        position = [size * at + move for at, move in zip(centre, shift, strict=True)]
        axes = [size * radius * float(rng.uniform(0.88, 1.12)) for radius in radii]
        inside: NDArray[np.bool_] = distance((z, y, x), position, axes) < 1 + waves(rng, (z, y, x), 40.0, DENTED)
        return inside

    trunk = distance((z, y, x), (0, 0, 0), (400, 66 * size, 82 * size)) < 1
    inner = distance((z, y, x), (0, 0, 0), (400, 58 * size, 74 * size)) < 1
    label_map = np.zeros(trunk.shape, dtype=np.uint8)
    liver = blob((8, 6, 30), (40, 34, 36)) & inner
    label_map[blob((10, -18, -48), (22, 20, 13)) & inner] = 2
    for side in (-1, 1):
        label_map[blob((-22, -30, side * 34), (22, 12, 11)) & inner] = 3
    label_map[liver] = 1
    deep = np.argwhere(liver & (distance((z, y, x), (8 * size, 6 * size, 30 * size), (30, 24, 26)) < 1))
    for _ in range(int(rng.integers(1, 4))):
        at = deep[int(rng.integers(len(deep)))]
        position = (float(z[at[0], 0, 0]), float(y[0, at[1], 0]), float(x[0, 0, at[2]]))
        radius = float(rng.uniform(8, 15))
        lump = distance((z, y, x), position, [radius * float(rng.uniform(0.85, 1.15)) for _ in range(3)])
        label_map[(lump < 1 + waves(rng, (z, y, x), 15.0, DENTED)) & liver] = 4

    tissues = np.array(TISSUES, dtype=np.float32)
    tissues[1:] += rng.normal(0, 5, len(TISSUES) - 1)
    voxels = tissues[label_map]
    voxels[trunk & ~inner] = FAT
    gut = (label_map == 0) & inner & (waves(rng, (z, y, x), 22.0, 1.0) > 0.7)
    voxels[gut] = FAT
    for index, period in enumerate((60.0, 16.0, 9.0, 25.0, 12.0)):
        there = (label_map == index) & inner
        voxels[there] += waves(rng, (z, y, x), period, 8.0)[there]
    voxels[~trunk] = AIR
    voxels += rng.normal(0, 18, voxels.shape).astype(np.float32)
    volume = Volume.from_array(np.clip(np.rint(voxels), -1024, 3071), spacing)
    return volume, {"label_map": torch.from_numpy(label_map)}


def distance(axes: Sequence[Array], centre: Sequence[float], radii: Sequence[float]) -> Array:
    """From a centre, in radii of an ellipsoid: 1 on its surface."""
    squares = (((axis - at) / radius) ** 2 for axis, at, radius in zip(axes, centre, radii, strict=True))
    return np.sqrt(sum(squares)).astype(np.float32)


def waves(rng: np.random.Generator, axes: Sequence[Array], length: float, strength: float) -> Array:
    """A smooth random field: waves of about that length (mm) in random directions, `strength` the root mean square."""
    z, y, x = axes
    found = np.zeros(np.broadcast_shapes(z.shape, y.shape, x.shape), dtype=np.float32)
    for _ in range(WAVES):
        direction = rng.normal(size=3)
        direction *= 2 * np.pi / (length * rng.uniform(0.8, 1.25) * np.linalg.norm(direction))
        a, b, c = (float(value) for value in direction)
        found += np.sin(a * z + b * y + c * x + float(rng.uniform(0, 2 * np.pi)))
    return found * np.float32(strength * np.sqrt(2 / WAVES))


class Bodies(Generated):
    """Synthetic volumes: `(Volume, {"label_map": (D, H, W) uint8})`, the same for the same seed, split and index.

    They have 24 to 34 slices of 50 x 60 to 62 x 75 voxels, and are kept in memory once they are made.
    """

    def __init__(self, length: int, *, split: str = "train", seed: int = 0) -> None:
        check_range("Number of volumes", length, 1)
        check_range("Seed", seed, 0)
        super().__init__(length, keep=True)
        self.split, self.seed = split, seed

    def make(self, index: int) -> Sample:
        """Render the volume of an index, with its label map."""
        return draw_body(self.random(index))


@SOURCES.register("volumes")
@cache
def bodies_source(labels: tuple[str, ...] = ("label_map",), counts: Counts | None = None) -> DataSource:
    """Volumes that are made once in a process, `counts` of them to train and to validate on, by default `LENGTHS`."""
    if tuple(labels) != ("label_map",):
        raise InputError("The source volumes has labels of voxels alone: use it with the task volumes.")
    train, val = (Bodies(length, split=split) for length, split in zip(counts or LENGTHS, SPLITS, strict=False))
    return DataSource("volumes", train, val, CLASSES, Preprocessing(size=48, crop=1.0, mean=(0.5,), std=(0.25,)))
