"""A detector whose network takes images of one size, such as one that was exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image, roi_align

from res2net.errors import InputError
from res2net.tasks.objects.heads.detector import Detector

__all__ = ["MAPS", "FixedDetector"]

MAPS = ("semantic",)
"""Outputs that are of an image `(N, C, *size)`, and not of each detection."""
LEAST = 1e-2
"""Pixels of the sides of a detection."""


class FixedDetector(Detector):
    """Finds objects in images of any size that fit into the one size that a network takes.

    The network does not know where an image ends and the zeros beside it begin. What it finds is cut at the border of
    the image here, after non-maximum suppression and not before it, and dropped where nothing is left. So only in
    images that fill the size it always finds what the detector does that it was made of.

    Args:
        network: images `(N, C, *size)` to the outputs in `names`, in fixed shapes as `Detector.forward` gives it.
        size: height and width of these images.
        num_classes: of the labels.
        names: of the outputs: "boxes", "scores", "labels", and what there is besides: "masks", "keypoints" and
            "keypoint_scores", or "semantic".
    """

    def __init__(self, network: nn.Module, size: tuple[int, int], num_classes: int, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.size = size
        self.num_classes = num_classes
        self.names = tuple(names)

    def detect(self, images: Tensor, sizes: Sequence[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """What is in each image, the best first; see `Detector.detect`.

        Raises:
            InputError: an image is larger than the size of the network.
        """
        height, width = self.size
        for size in sizes:
            if size[0] > height or size[1] > width:
                raise InputError(
                    f"An image of {size[0]} x {size[1]} pixels does not fit into the {height} x {width} of the "
                    "exported detector: resize it."
                )
        images = images[..., :height, :width]  # what is cut off is padding
        images = F.pad(images, (0, width - images.shape[-1], 0, height - images.shape[-2]))
        results = []
        for size, *outputs in zip(sizes, *self(images), strict=True):
            found = dict(zip(self.names, outputs, strict=True))
            here = found["scores"] > 0
            result = {name: output[here] for name, output in found.items() if name not in MAPS}
            maps = {name: found[name][:, : size[0], : size[1]] for name in MAPS if name in found}
            results.append((result if tuple(size) == self.size else within(result, size)) | maps)
        return results

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """What the network finds in images that have its size."""
        return cast("tuple[Tensor, ...]", tuple(self.network(images)))


def within(found: dict[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
    """Detections cut at the border of an image of that (height, width); masks lie within the boxes as they are then.

    Key points beside the image come to its border, and what has no side left is dropped.
    """
    boxes = clip_boxes_to_image(found["boxes"], size)
    if "keypoints" in found:
        border = found["keypoints"].new_tensor([size[1], size[0]])
        found = found | {"keypoints": found["keypoints"].clamp(min=0).minimum(border)}
    cut = (boxes != found["boxes"]).any(1)
    if "masks" in found and cut.any():
        masks = found["masks"].clone()
        masks[cut] = cut_masks(masks[cut], found["boxes"][cut], boxes[cut])
        found = found | {"masks": masks}
    left = ((boxes[:, 2:] - boxes[:, :2]) >= LEAST).all(1)
    return {name: output[left] for name, output in (found | {"boxes": boxes}).items()}


def cut_masks(masks: Tensor, boxes: Tensor, parts: Tensor) -> Tensor:
    """Masks `(m, s, s)` within boxes `(m, 4)` as they are within parts `(m, 4)` of these boxes."""
    side = masks.shape[-1]
    corner, extent = boxes[:, None, :2], (boxes[:, None, 2:] - boxes[:, None, :2]).clamp(min=LEAST)
    where = ((parts.unflatten(1, (2, 2)) - corner) / extent * side).flatten(1)  # in pixels of the masks
    whose = torch.arange(len(masks), device=masks.device)[:, None].to(where)
    return roi_align(masks[:, None], torch.cat([whose, where], 1), side, sampling_ratio=1, aligned=True)[:, 0]
