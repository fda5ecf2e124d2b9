"""Drawings of objects on images: boxes with names, masks, skeletons, and segmentations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from res2net.errors import InputError
from res2net.report.images import ImageLike, as_array, as_image, enlarged
from res2net.report.palette import Colour, class_colour, shade
from res2net.report.tags import Tag, draw_tags, line_width

CLEAR = 0.45
"""Opacity of masks."""
DARK = (16, 16, 16)
"""Colour of the outlines of lines, which makes them visible on any background."""
NOTE = (255, 255, 255)
"""Background colour of a note."""
BACKGROUND = "background"
"""The class whose segments are not coloured, so that others stand out."""
FINE = 3000
"""Side in pixels at which slanted lines are drawn before they are shrunk, for antialiasing."""


def draw_objects(
    image: ImageLike,
    boxes: Tensor | Sequence[Sequence[float]],
    labels: Tensor | Sequence[int],
    *,
    names: Sequence[str],
    masks: Tensor | None = None,
    keypoints: Tensor | None = None,
    scores: Tensor | Sequence[float] | None = None,
    skeleton: Sequence[tuple[int, int]] = (),
    note: str = "",
) -> Image.Image:
    """Draw n objects on an image, each in the colour of its class; n may be 0.

    Images whose longer side is at most 320 pixels are enlarged by a whole number.

    Args:
        image: the image, in any mode.
        boxes: boxes `(n, 4)` as `(x1, y1, x2, y2)` in pixels, clipped to the image.
        labels: class indices `(n,)`.
        names: the names of all classes.
        masks: masks `(n, H, W)` of the size of the image, bool or probabilities.
        keypoints: keypoints `(n, k, 3)` as x, y and visibility: 2 is drawn filled, 1 (hidden) hollow, 0 not at all;
            or `(n, k, 2)`, all visible.
        scores: scores `(n,)` in 0..1, printed after the names; labels with higher scores are on top.
        skeleton: pairs of indices of keypoints that are connected by lines.
        note: a text for the lower left corner.

    Raises:
        InputError: shapes do not match, or a class or keypoint does not exist.
    """
    canvas = as_image(image)
    corners, classes, chances = _checked(boxes, labels, scores, names)
    count, (width, height) = len(corners), canvas.size
    if masks is not None and tuple(masks.shape) != (count, height, width):
        raise InputError(
            f"Masks {tuple(masks.shape)} do not fit {count} objects in an image of {height} x {width} pixels: give "
            f"({count}, {height}, {width})."
        )
    points = None if keypoints is None else _checked_points(keypoints, count, skeleton)
    canvas, factor = enlarged(canvas)
    colours = [class_colour(label) for label in classes]
    # Large objects first, so that they do not hide small ones.
    areas = (corners[:, 2:] - corners[:, :2]).prod(1)
    order = np.argsort(-areas, kind="stable")
    if masks is not None:
        canvas = _with_masks(canvas, [(as_array(masks[index]) > 0.5, colours[index]) for index in order], factor)
    places = [_visible(box, canvas.size) for box in corners * factor]
    for index in order:
        _draw_box(canvas, places[index], colours[index])
    if points is not None and points.shape[1]:
        canvas = _with_skeletons(canvas, points * (factor, factor, 1), skeleton, colours)
    tags = [
        Tag(names[label] if chances is None else f"{names[label]} {100 * chances[index]:.0f} %", colour, place)
        for index, (label, colour, place) in enumerate(zip(classes, colours, places, strict=True))
    ]
    best = range(count) if chances is None else np.argsort(-chances, kind="stable")
    corner = [Tag(note, NOTE, (0, canvas.height - 1, 0, canvas.height - 1))] if note else []
    draw_tags(canvas, [tags[index] for index in best] + corner)
    return canvas


def draw_segments(image: ImageLike, segments: Sequence[tuple[Tensor, int]], names: Sequence[str]) -> Image.Image:
    """Draw the segments of an image, such as those of a panoptic segmentation, with outlines and class names.

    Segments of one class have shades of one colour; those of a class "background" are not coloured. Small images are
    enlarged as in `draw_objects`. A segment is its bool mask `(H, W)` and the index of its class in `names`, of things
    and stuff; where segments overlap, the last one wins.

    Raises:
        InputError: a mask has another size than the image, or a class does not exist.
    """
    canvas = as_image(image)
    owner = np.zeros((canvas.height, canvas.width), dtype=np.int64)
    for number, (mask, label) in enumerate(segments, start=1):
        if tuple(mask.shape) != owner.shape:
            raise InputError(
                f"A mask {tuple(mask.shape)} does not fit an image of {owner.shape[0]} x {owner.shape[1]} pixels: "
                "give one value for each pixel."
            )
        _check_class(label, names)
        owner[as_array(mask) > 0.5] = 0 if names[label] == BACKGROUND else number
    canvas, factor = enlarged(canvas)
    seen: dict[int, int] = {}
    colours: list[Colour] = []
    for _, label in segments:
        colours.append(shade(class_colour(label), seen.setdefault(label, 0)))
        seen[label] += 1
    pixels = np.asarray(canvas).astype(np.float32)
    owner = owner.repeat(factor, 0).repeat(factor, 1)
    table = np.array([(0, 0, 0), *colours], dtype=np.float32)
    share = np.where(owner > 0, CLEAR + 0.1, 0)[..., None]
    pixels = pixels * (1 - share) + table[owner] * share
    pixels[_seams(owner, max(1, line_width(canvas.size) // 2))] = 255
    canvas = Image.fromarray(pixels.round().astype(np.uint8))
    tags = []
    for number, ((_, label), colour) in enumerate(zip(segments, colours, strict=True), start=1):
        spot = _inmost(owner == number)
        if spot is not None:
            tags.append(((owner == number).sum(), Tag(names[label], colour, (*spot, *spot), centred=True)))
    tags.sort(key=lambda one: -one[0])
    draw_tags(canvas, [tag for _, tag in tags])
    return canvas


def _checked(
    boxes: Any, labels: Any, scores: Any, names: Sequence[str]
) -> tuple[NDArray[np.float64], list[int], NDArray[np.float64] | None]:
    """Convert and check boxes `(n, 4)`, classes, and scores `(n,)`."""
    corners = as_array(boxes, np.float64)
    if not corners.size:
        corners = corners.reshape(0, 4)
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise InputError(f"Boxes {corners.shape} cannot be drawn: give (n, 4), x1, y1, x2 and y2 of each.")
    if not np.isfinite(corners).all() or (corners[:, 2:] < corners[:, :2]).any():
        raise InputError("A box cannot be drawn: give numbers x1, y1, x2, y2 where x2 is at least x1, and y2 y1.")
    classes = [int(label) for label in as_array(labels).reshape(-1)]
    chances = None if scores is None else as_array(scores, np.float64).reshape(-1)
    if len(classes) != len(corners) or (chances is not None and len(chances) != len(corners)):
        raise InputError(
            f"{len(corners)} boxes, {len(classes)} labels and {'no' if chances is None else len(chances)} scores "
            "do not fit: give one of each for each object."
        )
    for label in classes:
        _check_class(label, names)
    return corners, classes, chances


def _check_class(label: int, names: Sequence[str]) -> None:
    if not 0 <= label < len(names):
        raise InputError(f"Class {label} has no name: there are {len(names)}, so give 0 to {len(names) - 1}.")


def _checked_points(keypoints: Tensor, count: int, skeleton: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """Convert and check keypoints, `(n, k, 3)`."""
    points = as_array(keypoints, np.float64)
    if points.ndim != 3 or len(points) != count or points.shape[2] not in (2, 3):
        raise InputError(
            f"Keypoints {points.shape} do not fit {count} objects: give ({count}, k, 3), x, y, visibility."
        )
    for pair in skeleton:
        if len(pair) != 2 or not all(0 <= end < points.shape[1] for end in pair):
            raise InputError(
                f"{tuple(pair)} is no line of a skeleton of {points.shape[1]} keypoints: give two of them, counted "
                "from 0."
            )
    if points.shape[2] == 2:
        points = np.concatenate([points, np.full((*points.shape[:2], 1), 2.0)], axis=2)
    points[~np.isfinite(points).all(2)] = 0
    return points


def _visible(box: NDArray[np.float64], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The first and last pixels of a box within the image: left, top, right, bottom."""
    last = np.array(size) - 1
    left, top = np.clip(np.floor(box[:2]), 0, last)
    right, bottom = np.clip(np.ceil(box[2:]) - 1, 0, last)
    return int(left), int(top), int(max(left, right)), int(max(top, bottom))


def _draw_box(canvas: Image.Image, place: tuple[int, int, int, int], colour: Colour) -> None:
    """Draw a box inside its edges; a small box is drawn around them, so that its content stays visible."""
    width = line_width(canvas.size)
    rim = max(1, width // 3)
    left, top, right, bottom = place
    if min(right - left, bottom - top) < 4 * width:
        left, top, right, bottom = left - width, top - width, right + width, bottom + width
        # At the border of the image, the lines move inside.
        left, top = max(0, left), max(0, top)
        right, bottom = min(canvas.width - 1, right), min(canvas.height - 1, bottom)
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((left - rim, top - rim, right + rim, bottom + rim), outline=DARK, width=width + 2 * rim)
    draw.rectangle((left, top, right, bottom), outline=colour, width=width)


def _with_masks(canvas: Image.Image, masks: Sequence[tuple[NDArray[np.bool_], Colour]], factor: int) -> Image.Image:
    """Blend masks with an image, with an outline around each."""
    pixels = np.asarray(canvas).copy()
    for mask, colour in masks:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            continue
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        inside = mask[part].repeat(factor, 0).repeat(factor, 1)
        top, left = rows[0] * factor, columns[0] * factor
        region = pixels[top : top + inside.shape[0], left : left + inside.shape[1]]
        mixed = region[inside] * (1 - CLEAR) + np.array(colour) * CLEAR
        region[inside] = mixed.round().astype(np.uint8)
        region[inside & _near(~inside, line_width(canvas.size) - 1)] = colour
    return Image.fromarray(pixels)


def _near(places: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """Where a set pixel, or the border, is at most `distance` pixels away along both axes."""
    around = torch.from_numpy(np.pad(places, 1, constant_values=True))[None, None].float()
    for kernel in ((2 * distance + 1, 1), (1, 2 * distance + 1)):
        around = F.max_pool2d(around, kernel, 1, (kernel[0] // 2, kernel[1] // 2))
    return np.asarray(around[0, 0, 1:-1, 1:-1].numpy() > 0)


def _seams(owner: NDArray[np.int64], width: int) -> NDArray[np.bool_]:
    """Lines of a given width where the segment changes to the right or below."""
    seams = np.zeros(owner.shape, dtype=bool)
    for step in range(1, width + 1):
        seams[:, :-step] |= owner[:, step:] != owner[:, :-step]
        seams[:-step] |= owner[step:] != owner[:-step]
    return seams


def _inmost(mask: NDArray[np.bool_]) -> tuple[int, int] | None:
    """A pixel `(x, y)` far inside a mask, for its label; None for an empty mask."""
    step = max(1, max(mask.shape) // 96)
    inside = torch.from_numpy(mask[step // 2 :: step, step // 2 :: step].copy())[None, None].float()
    if not inside.any():
        rows, columns = np.nonzero(mask)
        return (int(columns[len(columns) // 2]), int(rows[len(rows) // 2])) if len(rows) else None
    while inside.any():
        core = inside
        inside = -F.max_pool2d(-F.pad(inside, (1, 1, 1, 1)), 3, 1)
    spots = core[0, 0].nonzero().float()
    y, x = spots[(spots - spots.mean(0)).norm(dim=1).argmin()].int().tolist()
    return x * step + step // 2, y * step + step // 2


def _with_skeletons(
    canvas: Image.Image, points: NDArray[np.float64], skeleton: Sequence[tuple[int, int]], colours: Sequence[Colour]
) -> Image.Image:
    """Draw skeletons on an image, at a higher resolution that is then reduced for antialiasing."""
    fine = max(1, FINE // max(canvas.size))
    layer = Image.new("RGBA", (canvas.width * fine, canvas.height * fine))
    draw = ImageDraw.Draw(layer)
    width = line_width(canvas.size) * fine
    rim = max(fine, width // 3)
    for body, colour in zip(points * (fine, fine, 1), colours, strict=True):
        lines = [(*body[a, :2], *body[b, :2]) for a, b in skeleton if body[a, 2] > 0 and body[b, 2] > 0]
        for line in lines:
            draw.line(line, fill=DARK, width=width + 2 * rim)
        for line in lines:
            draw.line(line, fill=colour, width=width)
        for x, y, visibility in body[body[:, 2] > 0]:
            radius = 1.3 * width
            draw.circle((x, y), radius + rim, fill=DARK)
            draw.circle((x, y), radius, fill=colour)
            if visibility < 2:
                draw.circle((x, y), radius - max(rim, radius / 3), fill=(0, 0, 0, 0))
    drawn = layer.reduce(fine) if fine > 1 else layer
    canvas = canvas.copy()
    canvas.paste(drawn, mask=drawn.getchannel("A"))
    return canvas
