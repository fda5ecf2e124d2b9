"""`roads`: synthetic aerial images of towns, rendered on demand, with the graphs of their streets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from torchvision import tv_tensors

from res2net.errors import InputError
from res2net.images.samples import Generated, Sample
from res2net.images.shapes.scene import Colour, turned
from res2net.images.sources import SOURCES, Counts, DataSource
from res2net.tasks.roads.folder import ROAD_CLASSES
from res2net.tasks.roads.graph import RoadGraph
from res2net.weights import Preprocessing

PIECE = 6.0
"""Length of the straight pieces of a bent street, metres."""
SURFACES: tuple[Colour, ...] = ((0.36, 0.36, 0.38), (0.46, 0.46, 0.46), (0.58, 0.57, 0.55), (0.55, 0.48, 0.40))
"""Asphalt, old asphalt, concrete and gravel."""
SHARES = (0.45, 0.3, 0.15, 0.1)
"""How often each of them is chosen."""

MIN_SIDE = 128.0
"""Minimum side of a town, metres; a smaller square shows a part of it."""
OVERSAMPLING = 2
"""Samples per pixel along x and along y."""
GROUNDS: tuple[Colour, ...] = ((0.36, 0.44, 0.26), (0.46, 0.50, 0.33), (0.55, 0.52, 0.40), (0.42, 0.42, 0.36))
"""Grass, dry grass, bare earth and scrub."""
ROOFS = ((0.58, 0.32, 0.26), (0.45, 0.44, 0.45), (0.72, 0.70, 0.68), (0.38, 0.30, 0.27), SURFACES[0])
"""Tiles, slate, white, brown, and one that has the colour of asphalt."""
TREE: Colour = (0.16, 0.28, 0.14)
NOISE = 0.015
"""Standard deviation of the sensor's noise, of a range of 0 ... 1."""
Array = NDArray[np.float64]
SIDE = 192
"""Side of an image, pixels; a pixel is a metre."""
LENGTHS = (600, 80)
"""Training and validation images of the source `roads`."""


@dataclass(frozen=True)
class Street:
    """A line `(k, 2)` of points from one crossing to the next, its width in metres, and its colour."""

    line: Array
    width: float
    colour: Colour


@dataclass(frozen=True)
class Town:
    """The streets of a square, which reach beyond it, and their graph, which is cut at its border."""

    streets: tuple[Street, ...]
    graph: RoadGraph


def draw_town(rng: np.random.Generator, size: float) -> Town:
    """A bent grid of streets in a square of `size` metres: two wide ones, and others of which some are missing."""
    across, down = _lines(rng, size), _lines(rng, size)
    crossings = np.stack(np.meshgrid(across, down, indexing="ij"), -1)
    crossings += rng.normal(0, 3.0, crossings.shape)
    bend, angle = _random_bend(rng), rng.uniform(0, np.pi)
    wide = {(0, int(rng.integers(len(across)))), (1, int(rng.integers(len(down))))}
    widths = {True: rng.uniform(8.0, 12.0), False: rng.uniform(4.5, 7.0)}
    surfaces = {kind: SURFACES[rng.choice(len(SURFACES), p=SHARES)] for kind in widths}
    kept = rng.uniform(0.65, 0.95)
    streets, edges = [], []
    points: list[Array] = []
    number: dict[tuple[int, int], int] = {}
    for first in np.ndindex(len(across), len(down)):
        for axis in range(2):  # of the streets that keep their index along it, such as `across[3]`
            second = (first[0] + axis, first[1] + 1 - axis)
            is_wide = (axis, first[axis]) in wide
            if second[0] == len(across) or second[1] == len(down) or not (is_wide or rng.random() < kept):
                continue
            start, way = crossings[first], crossings[second] - crossings[first]
            pieces = max(1, round(float(np.linalg.norm(way)) / PIECE))
            straight = start + np.linspace(0, 1, pieces + 1)[:, None] * way
            line = bend(turned(straight - size / 2, angle)) + size / 2
            new = range(len(points), len(points) + len(line))
            names = [number.setdefault(first, new[0]), *new[1:-1], number.setdefault(second, new[-1])]
            points += list(line)
            edges += list(pairwise(names))
            streets.append(Street(line, widths[is_wide] * rng.uniform(0.92, 1.08), surfaces[is_wide]))
    streets.sort(key=lambda street: street.width)
    return Town(tuple(streets), RoadGraph.of(np.array(points), edges).used().clipped(size, size))


def _lines(rng: np.random.Generator, size: float) -> Array:
    """The positions of parallel streets, beyond the square on both sides, so that it is filled when it is turned."""
    gap = rng.uniform(34, 60)
    reach = max(size, MIN_SIDE)
    positions = np.cumsum(gap * rng.uniform(0.75, 1.35, int(4 * reach / gap))) - rng.uniform(0, gap)
    return np.asarray(positions[positions < 1.6 * reach] - 0.3 * reach)


def _random_bend(rng: np.random.Generator) -> Callable[[Array], Array]:
    """A smooth displacement of points `(n, 2)`, so that streets are not straight."""
    angles = rng.uniform(0, 2 * np.pi, 3)
    waves = np.stack([np.cos(angles), np.sin(angles)]) * 2 * np.pi / rng.uniform(100, 260, 3)
    starts = rng.uniform(0, 2 * np.pi, 3)
    ways = rng.normal(0, 1, (3, 2)) * rng.uniform(0, 5, (3, 1))
    return lambda points: points + np.sin(points @ waves + starts) @ ways


def render_town(town: Town, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An image `(size, size, 3)` of a town's square, RGB; a metre is a pixel."""
    canvas = _Canvas(size, _ground(rng, size))
    sun = np.array([np.cos(angle := rng.uniform(0, 2 * np.pi)), np.sin(angle)]) * rng.uniform(1.5, 5.0)
    streets = _street_mask(town, size)
    _draw_yards(canvas, streets, rng)
    _draw_streets(canvas, town, rng)
    _draw_houses(canvas, streets, sun, rng)
    _draw_trees(canvas, town, sun, rng)
    image = canvas.finished(rng)
    slope = rng.uniform(-0.1, 0.1, 2)
    middle = np.linspace(-0.5, 0.5, size)
    light = rng.uniform(0.85, 1.15) + slope[0] * middle[None, :, None] + slope[1] * middle[:, None, None]
    image = image * light + rng.normal(0, NOISE, image.shape)
    return np.asarray((image.clip(0, 1) * 255).round().astype(np.uint8))


class _Canvas:
    """An image to draw on in metres."""

    def __init__(self, size: int, ground: Array) -> None:
        self.size = size
        side = size * OVERSAMPLING
        image = Image.fromarray((ground.clip(0, 1) * 255).astype(np.uint8))
        self.image = image.resize((side, side), Image.Resampling.BICUBIC)
        self.draw = ImageDraw.Draw(self.image, "RGBA")

    def line(self, points: Array, width: float, colour: Colour, alpha: float = 1.0) -> None:
        """A line with round ends."""
        scaled = points * OVERSAMPLING
        radius = width * OVERSAMPLING / 2
        self.draw.line(scaled.ravel().tolist(), _rgba(colour, alpha), round(2 * radius), joint="curve")
        if alpha == 1:
            for end in scaled[[0, -1]].tolist():
                self.draw.circle(end, radius, _rgba(colour, 1.0))

    def polygon(self, points: Array, colour: Colour, alpha: float = 1.0) -> None:
        """A filled polygon."""
        self.draw.polygon((points * OVERSAMPLING).ravel().tolist(), _rgba(colour, alpha))

    def disc(self, middle: Array, radius: float, colour: Colour, alpha: float = 1.0) -> None:
        """A filled circle."""
        self.draw.circle((middle * OVERSAMPLING).tolist(), radius * OVERSAMPLING, _rgba(colour, alpha))

    def finished(self, rng: np.random.Generator) -> Array:
        """The pixels, slightly blurred, in 0 ... 1."""
        blurred = self.image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.2)))
        small = blurred.resize((self.size, self.size), Image.Resampling.BOX)
        return np.asarray(small, dtype=np.float64) / 255


def _rgba(colour: Colour, alpha: float) -> tuple[int, int, int, int]:
    red, green, blue = (round(255 * min(max(value, 0.0), 1.0)) for value in colour)
    return red, green, blue, round(255 * alpha)


def _shade(colour: Colour, rng: np.random.Generator, spread: float = 0.04) -> Colour:
    red, green, blue = np.array(colour) + rng.normal(0, spread) + rng.normal(0, spread / 3, 3)
    return float(red), float(green), float(blue)


def _ground(rng: np.random.Generator, size: int) -> Array:
    """Two grounds in patches, with a fine texture, `(size, size, 3)`."""
    first, second = (np.array(GROUNDS[one]) for one in rng.choice(len(GROUNDS), 2, replace=False))
    patches = _noise(rng, size, max(2, size // 40))
    fine = _noise(rng, size, max(2, size // 3))[..., None] - 0.5
    return np.asarray(first + (second - first) * patches[..., None] + 0.16 * fine)


def _noise(rng: np.random.Generator, size: int, cells: int) -> Array:
    coarse = Image.fromarray(rng.random((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float64).clip(0, 1)


def _street_mask(town: Town, size: int) -> NDArray[np.bool_]:
    """Where streets are, with a margin, `(size, size)`."""
    mask = Image.new("L", (size, size))
    draw = ImageDraw.Draw(mask)
    for street in town.streets:
        draw.line(street.line.ravel().tolist(), fill=1, width=round(street.width) + 4)
    return np.asarray(mask) > 0


def _draw_yards(canvas: _Canvas, streets: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Car parks and squares with the surfaces of streets, so that its colour alone does not give a street away."""
    for _ in range(rng.integers(0, 2 + canvas.size // 64)):
        middle = rng.uniform(0, canvas.size, 2)
        colour = _shade(SURFACES[rng.integers(len(SURFACES))], rng)
        if not _covers(streets, middle):
            canvas.polygon(_box(middle, rng.uniform(6, 14, 2), rng.uniform(0, np.pi)), colour)


def _draw_streets(canvas: _Canvas, town: Town, rng: np.random.Generator) -> None:
    pavement, marked = rng.random() < 0.4, rng.random() < 0.6
    if pavement:
        for street in town.streets:
            canvas.line(street.line, street.width + 2.5, (0.62, 0.61, 0.58))
    shades = [_shade(street.colour, rng, 0.015) for street in town.streets]
    for street, shade in zip(town.streets, shades, strict=True):
        canvas.line(street.line, street.width, shade)
    for street in town.streets:
        if street.width > 7.5 and marked:
            canvas.line(street.line, 0.6, (0.85, 0.85, 0.8), alpha=0.7)
        _draw_cars(canvas, street, rng)


def _draw_cars(canvas: _Canvas, street: Street, rng: np.random.Generator) -> None:
    for number in rng.integers(0, len(street.line) - 1, rng.poisson(len(street.line) / 12)):
        way = street.line[number + 1] - street.line[number]
        side = np.array([-way[1], way[0]]) / (np.linalg.norm(way) + 1e-9) * street.width / 4 * rng.choice((-1, 1))
        middle = street.line[number] + way * rng.random() + side
        colour = tuple(rng.choice((0.1, 0.35, 0.8, 0.95)) * np.ones(3))
        canvas.polygon(_box(middle, np.array([2.2, 0.9]), float(np.arctan2(way[1], way[0]))), colour)


def _draw_houses(canvas: _Canvas, streets: NDArray[np.bool_], sun: Array, rng: np.random.Generator) -> None:
    """Where no street is; a shadow may fall on one."""
    roof = ROOFS[rng.integers(len(ROOFS))]
    for _ in range(int(rng.uniform(0.3, 1.0) * canvas.size**2 / 250)):
        middle, half, angle = rng.uniform(0, canvas.size, 2), rng.uniform(2.5, 8.0, 2), rng.uniform(0, np.pi)
        box = _box(middle, half, angle)
        if any(_covers(streets, point) for point in (middle, *box, *(0.5 * (box + np.roll(box, 1, 0))))):
            continue
        colour = _shade(roof if rng.random() < 0.6 else ROOFS[rng.integers(len(ROOFS))], rng)
        canvas.polygon(box + sun, (0.05, 0.05, 0.08), alpha=0.45)
        canvas.polygon(box, colour)
        red, green, blue = (0.85 * value for value in colour)
        canvas.polygon((box + box[[0, 1, 1, 0]]) / 2, (red, green, blue))  # the half that looks away from the sun


def _draw_trees(canvas: _Canvas, town: Town, sun: Array, rng: np.random.Generator) -> None:
    """Anywhere and along streets, some of which they hide."""
    beside = rng.uniform(0, 0.5)
    for _ in range(int(rng.uniform(0.1, 1.0) * canvas.size**2 / 300)):
        middle, radius = rng.uniform(0, canvas.size, 2), rng.uniform(1.5, 5.0)
        if rng.random() < beside and town.streets:
            street = town.streets[rng.integers(len(town.streets))]
            middle = street.line[rng.integers(len(street.line))] + rng.normal(0, street.width / 2, 2)
        colour = _shade(TREE, rng)
        canvas.disc(middle + 0.7 * sun, radius, (0.03, 0.05, 0.05), alpha=0.45)
        for _ in range(4):
            canvas.disc(
                middle + rng.normal(0, radius / 3, 2), radius * rng.uniform(0.5, 0.8), _shade(colour, rng, 0.03)
            )


def _box(middle: Array, half: Array, angle: float) -> Array:
    """The corners `(4, 2)` of a turned rectangle."""
    return turned(np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half, angle) + middle


def _covers(mask: NDArray[np.bool_], point: Array) -> bool:
    """Whether a point is in the mask, or outside of the image."""
    column, row = np.floor(point).astype(int).tolist()
    return not (0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]) or bool(mask[row, column])


class RoadScenes(Generated):
    """Synthetic towns, the same for the same seed, split and index: an image `(3, size, size)`, uint8, and its `graph`.

    A pixel is a metre; the splits "train", "val" and "test" share no image. An option out of range raises `InputError`.
    """

    def __init__(
        self, length: int, *, size: int = SIDE, split: str = "train", seed: int = 0, keep: bool = False
    ) -> None:
        if length < 1 or not 32 <= size <= 4096 or seed < 0:
            raise InputError(
                f"Roads with length {length}, size {size} and seed {seed} cannot be rendered: choose a length of 1 or "
                "more, a size of 32 to 4096 pixels, and a seed of 0 or more."
            )
        super().__init__(length, split=split, seed=seed, keep=keep)
        self.size = size

    def make(self, index: int) -> Sample:
        """Render the town of an index, with its graph."""
        rng = self.random(index)
        town = draw_town(rng, self.size)
        image = torch.from_numpy(render_town(town, self.size, rng)).permute(2, 0, 1).contiguous()
        return tv_tensors.Image(image), {"graph": town.graph}


@SOURCES.register("roads")
@cache
def road_source(labels: tuple[str, ...] = ("graph",), counts: Counts | None = None) -> DataSource:
    """Towns that are rendered once in a process, `counts` of them to train and to validate on, by default `LENGTHS`."""
    if set(labels) != {"graph"}:
        raise InputError(f"The source roads has graphs and no {labels[0]}: use it with the task roads.")
    train_count, val_count = counts or LENGTHS
    train, val = RoadScenes(train_count, keep=True), RoadScenes(val_count, split="val", keep=True)
    preprocessing = Preprocessing(size=SIDE, crop=1.0, mean=(0.4, 0.4, 0.35), std=(0.2, 0.2, 0.2))
    return DataSource("roads", train, val, ROAD_CLASSES, preprocessing)
