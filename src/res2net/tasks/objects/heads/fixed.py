"""A detector on a network with a fixed input size, such as an exported one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image, roi_align

from res2net.errors import InputError
from res2net.tasks.objects.heads.detector import Detector
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.heads.selection import MIN_SIDE

MAPS = ("semantic",)
"""Outputs that belong to the whole image, `(N, C, *size)`, rather than to a detection."""


class FixedDetector(Detector):
    """Pads images to the input size of a network, and clips its detections to the image.

    The network cannot distinguish an image from its padding. Detections are therefore clipped to the image here, after
    non-maximum suppression rather than before it, and dropped if nothing is left. So the results are only guaranteed to
    equal those of the original detector for images that fill the input size.

    Args:
        network: a function from images `(N, C, *size)` to the outputs in `names`, with the shapes of
            `Detector.forward`.
        size: height and width of the input.
        num_classes: number of classes.
        names: names of the outputs: "boxes", "scores", "labels", and optionally "masks", "keypoints" and
            "keypoint_scores", or "semantic".
        options: the thresholds that are a part of the network.
    """

    def __init__(
        self,
        network: nn.Module,
        size: tuple[int, int],
        num_classes: int,
        names: Sequence[str],
        options: DetectorOptions | None = None,
    ) -> None:
        super().__init__()
        self.built_in = self.limits = options or DetectorOptions()
        self.network = network
        self.size = size
        self.num_classes = num_classes
        self.names = tuple(names)

    def detect(self, images: Tensor, sizes: Sequence[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """Detect as `Detector.detect` does; `InputError` for an image that is larger than the input size."""
        height, width = self.size
        for size in sizes:
            if size[0] > height or size[1] > width:
                raise InputError(
                    f"An image of {size[0]} x {size[1]} pixels does not fit into the {height} x {width} of the "
                    "exported detector: resize it."
                )
        images = images[..., :height, :width]  # removes padding only
        images = F.pad(images, (0, width - images.shape[-1], 0, height - images.shape[-2]))
        results = []
        for size, *outputs in zip(sizes, *self(images), strict=True):
            found = dict(zip(self.names, outputs, strict=True))
            # Detections come best first.
            valid = found["scores"] > (0 if self.limits == self.built_in else self.limits.score_threshold)
            valid[self.limits.detections :] = False
            result = {name: output[valid] for name, output in found.items() if name not in MAPS}
            maps = {name: found[name][:, : size[0], : size[1]] for name in MAPS if name in found}
            results.append((result if tuple(size) == self.size else within(result, size)) | maps)
        return results

    def set_thresholds(self, options: DetectorOptions) -> None:
        """Leave out more detections than the network does; see `Detector.set_thresholds`."""
        built_in = self.built_in
        for name, at_most in (("score_threshold", False), ("nms_threshold", None), ("detections", True)):
            before, now = getattr(built_in, name), getattr(options, name)
            if now != before and (at_most is None or (now > before) == at_most):
                limit = {True: "at most", False: "at least", None: "only"}[at_most]
                option = name.replace("_", "-")
                raise InputError(
                    f"--{option} {now} does not fit this exported detector, which allows {limit} {before}: export it "
                    f"again with --{option} {now}."
                )
        self.limits = options

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run the network on images of its input size."""
        return cast("tuple[Tensor, ...]", tuple(self.network(images)))


def within(found: dict[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
    """Clip detections to an image of that (height, width), and drop those with an empty box.

    Masks are resampled to the clipped boxes; keypoints outside the image are moved to its border.
    """
    boxes = clip_boxes_to_image(found["boxes"], size)
    if "keypoints" in found:
        border = found["keypoints"].new_tensor([size[1], size[0]])
        found = found | {"keypoints": found["keypoints"].clamp(min=0).minimum(border)}
    changed = (boxes != found["boxes"]).any(1)
    if "masks" in found and changed.any():
        masks = found["masks"].clone()
        masks[changed] = cut_masks(masks[changed], found["boxes"][changed], boxes[changed])
        found = found | {"masks": masks}
    nonempty = ((boxes[:, 2:] - boxes[:, :2]) >= MIN_SIDE).all(1)
    return {name: output[nonempty] for name, output in (found | {"boxes": boxes}).items()}


def cut_masks(masks: Tensor, boxes: Tensor, parts: Tensor) -> Tensor:
    """Resample masks `(m, s, s)` of boxes `(m, 4)` to parts `(m, 4)` of these boxes."""
    side = masks.shape[-1]
    corner, extent = boxes[:, None, :2], (boxes[:, None, 2:] - boxes[:, None, :2]).clamp(min=MIN_SIDE)
    rois = ((parts.unflatten(1, (2, 2)) - corner) / extent * side).flatten(1)  # in pixels of the masks
    indices = torch.arange(len(masks), device=masks.device)[:, None].to(rois)
    return roi_align(masks[:, None], torch.cat([indices, rois], 1), side, sampling_ratio=1, aligned=True)[:, 0]
