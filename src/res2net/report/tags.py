"""Labels on an image: each is a filled tag near its object, inside the image, away from other tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from res2net.report.palette import Colour, ink_on
from res2net.report.text import pillow_font, shorten

SMALLEST = 11
"""Minimum text height in pixels; smaller text is not legible."""
CROWD = 0.12
"""Share of the image that tags may cover before their text shrinks."""
CROWDED = 0.75
"""The smallest factor by which the text shrinks."""
NEAR = 2.5
"""Maximum distance of a tag from its box, in heights of a tag, if there are few tags."""


@dataclass(frozen=True)
class Tag:
    """A label for a box of an image."""

    text: str
    colour: Colour
    """The background colour."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom, in pixels."""
    centred: bool = False
    """Whether the tag is centred on the box, as far as there is room, instead of at its edge."""


def text_height(size: tuple[int, int]) -> int:
    """Text height in pixels for an image of that width and height, which is viewed at the size of a screen or page."""
    return max(SMALLEST, round(min(max(size) / 44, min(size) / 8)))


def line_width(size: tuple[int, int]) -> int:
    """Line width in pixels for an image of that width and height."""
    return max(2, round(max(size) / 300))


def draw_tags(image: Image.Image, tags: Sequence[Tag]) -> list[tuple[int, int, int, int]]:
    """Draw tags on an image, in place; the first ones get the best positions.

    Returns:
        The box of each tag in pixels: left, top, right, bottom, of which the last two are exclusive.
    """
    height = text_height(image.size)
    if tags:
        letters = sum(pillow_font(tag.text, height).getlength(tag.text) + height for tag in tags) * 1.4 * height
        room = CROWD * image.width * image.height
        height = max(SMALLEST, round(height * min(1, max(CROWDED, (room / letters) ** 0.5))))
    pad = max(2, height // 4)
    texts = [shorten(tag.text, (image.width - 2 * pad) / height) for tag in tags]
    fonts = [pillow_font(text, height) for text in texts]
    ascent, descent = pillow_font("x", height).getmetrics()
    size = [
        (min(image.width, round(font.getlength(text)) + 2 * pad), min(image.height, ascent + descent + 2))
        for font, text in zip(fonts, texts, strict=True)
    ]
    boxes = _boxes(tags, size, image.size)
    draw = ImageDraw.Draw(image)
    # The first tags are drawn last, on top of the others.
    for tag, text, font, box in reversed(list(zip(tags, texts, fonts, boxes, strict=True))):
        left, top, right, bottom = box
        ink = ink_on(tag.colour)
        outline = tuple((2 * one + other) // 3 for one, other in zip(tag.colour, ink, strict=True))
        draw.rectangle((left, top, right - 1, bottom - 1), fill=tag.colour, outline=outline)
        draw.text((left + pad, top + 1 + ascent), text, fill=ink, font=font, anchor="ls")
    return boxes


def _boxes(
    tags: Sequence[Tag], sizes: Sequence[tuple[int, int]], image: tuple[int, int]
) -> list[tuple[int, int, int, int]]:
    """Choose for each tag in turn the box that hides the least of the tags before it, and the closest of these."""
    taken = np.zeros((0, 4), dtype=np.int64)
    small = np.array([tag.box for tag, (width, height) in zip(tags, sizes, strict=True) if _small(tag, width, height)])
    small = small.reshape(-1, 4) + np.array([0, 0, 1, 1])  # right and bottom edges become exclusive
    for tag, (width, height) in zip(tags, sizes, strict=True):
        corners, far = _candidates(tag, width, height, len(taken))
        corners = np.clip(corners, 0, np.array(image) - (width, height))
        boxes = np.concatenate([corners, corners + np.array([width, height])], axis=1)
        hidden = _shared(boxes, taken) + 0.5 * _shared(boxes, small)
        # Two tags in the same position would look like one.
        same = (boxes[:, None] == taken[None]).all(2).any(1)
        best = int(np.lexsort((far, hidden, same))[0])
        taken = np.concatenate([taken, boxes[best : best + 1]])
    return [(int(left), int(top), int(right), int(bottom)) for left, top, right, bottom in taken]


def _shared(boxes: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    """The area in pixels that each box `(m, 4)` shares with other boxes `(k, 4)`: `(m,)`."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(2).sum(1))


def _small(tag: Tag, width: int, height: int) -> bool:
    """Whether a tag of that size would hide much of its box."""
    left, top, right, bottom = tag.box
    return not tag.centred and (right - left < 1.2 * width or bottom - top < 3 * height)


def _candidates(tag: Tag, width: int, height: int, before: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Candidates for the upper left corner of a tag, `(m, 2)`, and their penalties `(m,)`."""
    left, top, right, bottom = tag.box
    if tag.centred:
        first = [((left + right - width) / 2, (top + bottom - height) / 2)]
    else:
        outside = [(left, top - height), (right - width, top - height), (left, bottom), (right - width, bottom)]
        inside = [(left, top), (right - width, top), (left, bottom - height), (right - width, bottom - height)]
        within = [*outside[:1], *inside[:2], *outside[1:], *inside[2:]]
        first = outside if _small(tag, width, height) else within
    # More candidates on a grid of half tags around the first, wider if there are many tags already.
    reach = 2 * NEAR + before // 10
    rows = np.arange(-reach, reach + 1 + 2 * max(0.0, bottom - top) // height) / 2 * height
    columns = np.array([0, -0.5, 0.5, -1, 1]) * width
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2) + np.array(first[0])
    corners = np.concatenate([np.array(first, dtype=np.float64), grid])
    away = np.abs(grid - np.array(first[0])).sum(1)
    bad = np.concatenate([np.arange(len(first)), len(first) + away])
    return np.round(corners).astype(np.int64), bad
