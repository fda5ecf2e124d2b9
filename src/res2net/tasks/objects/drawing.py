"""What is true of an image, drawn from the target that it has in a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from res2net.report.images import ImageLike
from res2net.report.objects import draw_objects, draw_segments

__all__ = ["draw_true_objects", "draw_true_segments"]


def draw_true_objects(
    image: ImageLike, target: Mapping[str, Any], names: Sequence[str], skeleton: Sequence[tuple[int, int]] = ()
) -> Image.Image:
    """An image with its objects: their boxes, and their masks and key points where the target has them.

    Args:
        image: the image.
        target: with `boxes` and `labels`, as of `res2net.tasks.objects.formats.ObjectImages`.
        names: of all classes.
        skeleton: pairs of key points that lines connect.
    """
    points = None
    if "keypoints" in target:
        points = torch.cat([target["keypoints"], target["visibility"][..., None]], dim=-1)
    return draw_objects(
        image,
        target["boxes"],
        target["labels"],
        names=names,
        masks=target.get("masks"),
        keypoints=points,
        skeleton=skeleton,
    )


def draw_true_segments(
    image: ImageLike, target: Mapping[str, Any], class_names: Sequence[str], stuff_names: Sequence[str]
) -> Image.Image:
    """An image divided into its stuff and its things.

    Args:
        image: the image.
        target: with `semantic` (of stuff), `masks` and `labels`, as of `res2net.tasks.objects.formats.ObjectImages`.
        class_names: of things.
        stuff_names: of stuff.
    """
    stuff = target["semantic"]
    segments = [(stuff == label, len(class_names) + label) for label in range(len(stuff_names))]
    segments += list(zip(target["masks"], target["labels"].tolist(), strict=True))
    present = [(mask, label) for mask, label in segments if mask.any()]
    return draw_segments(image, present, [*class_names, *stuff_names])
