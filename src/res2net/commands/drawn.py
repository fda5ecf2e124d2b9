"""Boxes, masks and key points drawn on a picture, plainly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

__all__ = ["draw_objects"]

COLOURS = ((230, 75, 53), (0, 130, 200), (60, 180, 75), (255, 200, 20), (145, 30, 180), (70, 220, 220))


def draw_objects(
    image: Image.Image,
    boxes: Tensor,
    labels: Tensor,
    *,
    names: Sequence[str],
    masks: Tensor | None = None,
    keypoints: Tensor | None = None,
    skeleton: Sequence[tuple[int, int]] = (),
) -> Image.Image:
    """A picture with its n objects, each in a colour of its class.

    Args:
        image: in mode RGB.
        boxes: `(n, 4)` XYXY in pixels.
        labels: `(n,)` class indices.
        names: of all classes.
        masks: `(n, H, W)` bool.
        keypoints: `(n, k, 3)` x, y and visibility; those of visibility 0 are not drawn.
        skeleton: pairs of key points that lines connect.
    """
    colours = [COLOURS[int(label) % len(COLOURS)] for label in labels]
    pixels = np.asarray(image).astype(np.float32)
    for mask, colour in zip(masks if masks is not None else (), colours, strict=False):
        inside = mask.numpy()
        pixels[inside] = 0.6 * pixels[inside] + 0.4 * np.array(colour)
    canvas = Image.fromarray(pixels.round().astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    width = max(1, max(canvas.size) // 250)
    for box, label, colour in zip(boxes.tolist(), labels.tolist(), colours, strict=True):
        draw.rectangle([*box], outline=colour, width=width)
        draw.text((box[0] + width + 1, box[1] + width), names[label], fill=colour, font_size=5 * width + 6)
    for body, colour in zip(keypoints.tolist() if keypoints is not None else (), colours, strict=False):
        for first, second in skeleton:
            if body[first][2] and body[second][2]:
                draw.line((*body[first][:2], *body[second][:2]), fill=colour, width=width)
        for x, y, visible in body:
            if visible:
                draw.ellipse((x - 2 * width, y - 2 * width, x + 2 * width, y + 2 * width), fill=colour)
    return canvas
