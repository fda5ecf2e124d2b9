"""The two stages of a detector in evaluation, from the parts of torchvision, in tensors of fixed shapes.

Torchvision's own evaluation of these parts gives the same, in lists of tensors whose lengths depend on the image, and
is not for export.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from res2net.tasks.objects.heads.selection import best_detections, best_of, clipped, suppressed

__all__ = ["RegionHeads", "SecondStage", "Sizes", "propose", "region_pool"]

Sizes = list[tuple[int, int]]
"""(height, width) of each image."""
LEAST_PROPOSAL = 1e-3
"""Pixels of the sides of a proposal."""
LEAST_DETECTION = 1e-2
"""Pixels of the sides of a detection."""


def region_pool(strides: list[int], size: int) -> MultiScaleRoIAlign:
    """RoIAlign of the map that fits a region's size (Lin et al., CVPR 2017, equation 1), of maps "0", "1", ...

    Torchvision's would guess the strides from the first images it sees.
    """
    pool = MultiScaleRoIAlign([str(index) for index in range(len(strides))], size, sampling_ratio=2)
    pool.scales = [1 / stride for stride in strides]
    pool.map_levels = LevelMapper(int(math.log2(strides[0])), int(math.log2(strides[-1])))
    return pool


def propose(
    rpn: RegionProposalNetwork, maps: Mapping[str, Tensor], padded: tuple[int, int], sizes: Sizes, count: int
) -> tuple[Tensor, Tensor]:
    """Regions that may hold an object.

    Args:
        rpn: its parts, trained.
        maps: the pyramid, each `(N, C, H, W)`.
        padded: (height, width) of the batch.
        sizes: of the images.
        count: how many are taken of each map before non-maximum suppression, and in all after it.

    Returns:
        Boxes `(N, P, 4)`, the best first, and which of them are proposals `(N, P)`; the others fill up.
    """
    features = list(maps.values())
    anchors = _anchors(rpn, features, padded)
    boxes, logits = [], []
    for anchor, objectness, deltas in zip(anchors, *rpn.head(features), strict=True):
        score = objectness.permute(0, 2, 3, 1).flatten(1)
        score, indices = score.topk(min(count, score.shape[1]))
        deltas = deltas.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3)
        deltas = deltas.gather(1, indices[..., None].expand(-1, -1, 4)).float()
        decoded = rpn.box_coder.decode_single(deltas.flatten(0, 1), anchor[indices].flatten(0, 1))
        decoded, large = clipped(decoded.unflatten(0, indices.shape), sizes, LEAST_PROPOSAL)
        score = score.float().masked_fill(~large, -math.inf)
        logits.append(torch.stack([suppressed(*one, rpn.nms_thresh) for one in zip(decoded, score, strict=True)]))
        boxes.append(decoded)
    every = zip(torch.cat(logits, 1), torch.cat(boxes, 1), strict=True)
    best, proposals = zip(*(best_of(score, count, box) for score, box in every), strict=True)
    return torch.stack(proposals), torch.stack(best).isfinite()


def _anchors(rpn: RegionProposalNetwork, features: list[Tensor], padded: tuple[int, int]) -> list[Tensor]:
    """The anchors `(H * W * A, 4)` of each map."""
    grids = [tuple(map_.shape[-2:]) for map_ in features]
    strides = [(padded[0] // height, padded[1] // width) for height, width in grids]
    return [anchors.to(features[0].device) for anchors in rpn.anchor_generator.grid_anchors(grids, strides)]


class SecondStage(nn.Module):
    """What is in the regions that the first stage proposes.

    Calling it with the maps, the proposals, the sizes and the targets of images gives, in training, an empty list and
    the losses by name, as torchvision's `RoIHeads` does.
    """

    score_thresh: float
    """Detections with a lower score are dropped."""
    nms_thresh: float
    """Largest intersection over union of two detections of a class."""
    detections_per_img: int
    """How many are kept in an image at most."""

    def has_mask(self) -> bool:
        """Whether it finds masks."""
        return False

    def has_keypoint(self) -> bool:
        """Whether it finds key points."""
        return False

    def classify(self, maps: Mapping[str, Tensor], regions: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """For regions `(N, P, 4)`, the probability of each class `(N, P, K)`, and a box for each `(N, P, K, 4)`.

        Where all classes share a box, `(N, P, 1, 4)`.
        """
        raise NotImplementedError

    def masks(self, maps: Mapping[str, Tensor], regions: list[Tensor], sizes: Sizes) -> Tensor:
        """Probabilities `(R, 1 + K, 28, 28)` of a mask of each class, in the regions of all images."""
        raise NotImplementedError

    def heat_maps(self, maps: Mapping[str, Tensor], regions: list[Tensor], sizes: Sizes) -> Tensor:
        """Logits `(R, k, 56, 56)` of the position of each key point, in the regions of all images."""
        raise NotImplementedError

    def find(self, maps: Mapping[str, Tensor], proposals: Tensor, valid: Tensor, sizes: Sizes) -> tuple[Tensor, ...]:
        """Detections in the regions that `propose` gives.

        Boxes `(N, D, 4)`, scores `(N, D)` and labels `(N, D)`, and if it finds them masks `(N, D, 28, 28)` and heat
        maps of key points `(N, D, k, 56, 56)`.
        """
        scores, boxes = self.classify(maps, proposals, sizes)
        boxes, large = clipped(boxes, sizes, LEAST_DETECTION)
        scores = scores.masked_fill(~(valid[..., None] & large & (scores > self.score_thresh)), -math.inf)
        boxes = boxes.expand(*scores.shape, 4).flatten(1, 2)
        labels = torch.arange(scores.shape[-1], device=scores.device).expand(scores.shape[1:]).flatten()
        found = [
            best_detections(box, score, labels, nms_threshold=self.nms_thresh, count=self.detections_per_img)
            for box, score in zip(boxes, scores.flatten(1), strict=True)
        ]
        boxes, scores, labels = (torch.stack(tensors) for tensors in zip(*found, strict=True))
        closer = []
        if self.has_mask():
            masks = self.masks(maps, list(boxes), sizes)
            closer.append(masks[torch.arange(len(masks), device=masks.device), labels.flatten() + 1])
        if self.has_keypoint():
            closer.append(self.heat_maps(maps, list(boxes), sizes))
        return boxes, scores, labels, *(result.unflatten(0, labels.shape) for result in closer)


class RegionHeads(RoIHeads, SecondStage):  # type: ignore[misc] # torchvision has no types
    """The second stage of torchvision: its parts and its training, and an evaluation of fixed shapes.

    The arguments are those of `RoIHeads`. The first class is the background.
    """

    box_roi_pool: nn.Module
    box_head: nn.Module
    box_predictor: Any
    box_coder: Any
    mask_roi_pool: Any
    mask_head: Any
    mask_predictor: Any
    keypoint_roi_pool: Any
    keypoint_head: Any
    keypoint_predictor: Any
    select_training_samples: Callable[..., Any]

    def classify(self, maps: Mapping[str, Tensor], regions: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """For regions `(N, P, 4)`, the probability of each class `(N, P, K)`, and a box for each `(N, P, K, 4)`."""
        logits, deltas = self.regress(maps, list(regions), sizes)
        boxes = self.box_coder.decode_single(deltas.float(), regions.flatten(0, 1)).unflatten(1, (-1, 4))
        shape = regions.shape[:2]
        return logits.float().softmax(-1)[:, 1:].unflatten(0, shape), boxes[:, 1:].unflatten(0, shape)

    def regress(self, maps: Mapping[str, Tensor], regions: list[Tensor], sizes: Sizes) -> tuple[Tensor, Tensor]:
        """Logits and changes of the boxes, for the regions `(P, 4)` of each image, one image after the other."""
        logits, deltas = self.box_predictor(self.box_head(self.box_roi_pool(maps, regions, sizes)))
        return logits, deltas

    def masks(self, maps: Mapping[str, Tensor], regions: list[Tensor], sizes: Sizes) -> Tensor:
        """Probabilities `(R, 1 + K, 28, 28)` of a mask of each class, in the regions of all images."""
        return self.mask_predictor(self.mask_head(self.mask_roi_pool(maps, regions, sizes))).sigmoid()

    def heat_maps(self, maps: Mapping[str, Tensor], regions: list[Tensor], sizes: Sizes) -> Tensor:
        """Logits `(R, k, 56, 56)` of the position of each key point, in the regions of all images."""
        return self.keypoint_predictor(self.keypoint_head(self.keypoint_roi_pool(maps, regions, sizes)))
