"""Inference of the two stages of a detector with torchvision's modules, on tensors of fixed shapes for export.

Torchvision's own inference gives the same results, but as lists of tensors whose lengths depend on the image, which
cannot be exported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.heads.selection import best_detections, best_of, clipped, suppressed

Sizes = list[tuple[int, int]]
"""(height, width) of each image."""


def region_pool(strides: list[int], size: int) -> MultiScaleRoIAlign:
    """RoIAlign on the maps "0", "1", ..., choosing the map by the size of a region (Lin et al., CVPR 2017, equation 1).

    The strides are set here, since torchvision would infer them from the first batch.
    """
    pool = MultiScaleRoIAlign([str(index) for index in range(len(strides))], size, sampling_ratio=2)
    pool.scales = [1 / stride for stride in strides]
    pool.map_levels = LevelMapper(int(math.log2(strides[0])), int(math.log2(strides[-1])))
    return pool


def propose(
    rpn: RegionProposalNetwork, maps: Mapping[str, Tensor], padded: tuple[int, int], sizes: Sizes, count: int
) -> tuple[Tensor, Tensor]:
    """Propose regions of the images of a batch, `padded` to one (height, width), that may contain an object.

    At most `count` proposals are taken per map before non-maximum suppression, and in total after it.

    Returns:
        Boxes `(N, P, 4)`, best first, and a mask `(N, P)` of the valid ones; the others are padding.
    """
    features = list(maps.values())
    anchors = grid_anchors(rpn.anchor_generator, features, padded)
    boxes, logits = [], []
    for anchor, objectness, deltas in zip(anchors, *rpn.head(features), strict=True):
        score = objectness.permute(0, 2, 3, 1).flatten(1)
        score, indices = score.topk(min(count, score.shape[1]))
        deltas = deltas.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3)
        deltas = deltas.gather(1, indices[..., None].expand(-1, -1, 4)).float()
        decoded = rpn.box_coder.decode_single(deltas.flatten(0, 1), anchor[indices].flatten(0, 1))
        decoded, large = clipped(decoded.unflatten(0, indices.shape), sizes, min_side=1e-3)
        score = score.float().masked_fill(~large, -math.inf)
        logits.append(torch.stack([suppressed(*image, rpn.nms_thresh) for image in zip(decoded, score, strict=True)]))
        boxes.append(decoded)
    per_image = zip(torch.cat(logits, 1), torch.cat(boxes, 1), strict=True)
    best, proposals = zip(*(best_of(score, count, box) for score, box in per_image), strict=True)
    return torch.stack(proposals), torch.stack(best).isfinite()


def grid_anchors(generator: AnchorGenerator, maps: Sequence[Tensor], padded: tuple[int, int]) -> list[Tensor]:
    """The anchors `(H * W * A, 4)` of each map of a batch of that (height, width)."""
    grids = [tuple(map_.shape[-2:]) for map_ in maps]
    strides = [(padded[0] // height, padded[1] // width) for height, width in grids]
    return [anchors.to(maps[0].device) for anchors in generator.grid_anchors(grids, strides)]


class SecondStage(nn.Module):
    """The second stage of a detector, which classifies and refines the regions that the first stage proposes.

    In training, a call with the maps, proposals, sizes and targets of a batch returns an empty list and the losses by
    name, as torchvision's `RoIHeads` does.
    """

    score_thresh: float
    """Detections with a lower score are dropped."""
    nms_thresh: float
    """Maximum intersection over union of two detections of the same class."""
    detections_per_img: int
    """Maximum number of detections per image."""

    def has_mask(self) -> bool:
        """Whether the stage predicts masks."""
        return False

    def has_keypoint(self) -> bool:
        """Whether the stage predicts keypoints."""
        return False

    def classify(self, maps: Mapping[str, Tensor], regions: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """For regions `(N, P, 4)`, the probability of each class `(N, P, K)`, and a box per class `(N, P, K, 4)`.

        If the box does not depend on the class, it is `(N, P, 1, 4)`.
        """
        raise NotImplementedError

    def masks(self, maps: Mapping[str, Tensor], regions: list[Tensor], sizes: Sizes) -> Tensor:
        """Mask probabilities `(R, 1 + K, 28, 28)` of each class, for the regions of all images."""
        raise NotImplementedError

    def heat_maps(self, maps: Mapping[str, Tensor], regions: list[Tensor], sizes: Sizes) -> Tensor:
        """Logits `(R, k, 56, 56)` of the position of each keypoint, for the regions of all images."""
        raise NotImplementedError

    def find(self, maps: Mapping[str, Tensor], proposals: Tensor, valid: Tensor, sizes: Sizes) -> tuple[Tensor, ...]:
        """Detect objects in the regions that `propose` returned.

        Returns:
            Boxes `(N, D, 4)`, scores `(N, D)` and labels `(N, D)`; then masks `(N, D, 28, 28)` and heat maps of
            keypoints `(N, D, k, 56, 56)`, if the stage predicts them.
        """
        scores, boxes = self.classify(maps, proposals, sizes)
        boxes, large = clipped(boxes, sizes)
        scores = scores.masked_fill(~(valid[..., None] & large & (scores > self.score_thresh)), -math.inf)
        boxes = boxes.expand(*scores.shape, 4).flatten(1, 2)
        labels = torch.arange(scores.shape[-1], device=scores.device).expand(scores.shape[1:]).flatten()
        detections = [
            best_detections(box, score, labels, nms_threshold=self.nms_thresh, count=self.detections_per_img)
            for box, score in zip(boxes, scores.flatten(1), strict=True)
        ]
        boxes, scores, labels = (torch.stack(tensors) for tensors in zip(*detections, strict=True))
        extras = []
        if self.has_mask():
            masks = self.masks(maps, list(boxes), sizes)
            extras.append(masks[torch.arange(len(masks), device=masks.device), labels.flatten() + 1])
        if self.has_keypoint():
            extras.append(self.heat_maps(maps, list(boxes), sizes))
        return boxes, scores, labels, *(result.unflatten(0, labels.shape) for result in extras)


class RegionHeads(RoIHeads, SecondStage):  # type: ignore[misc] # torchvision has no types
    """Torchvision's second stage and its training, with inference on fixed shapes. The first class is the background.

    Args:
        pool: pools the features of regions from the maps.
        head: from the pooled features of each region to a vector.
        predictor: from these vectors to class scores and boxes.
        options: sizes and thresholds.
        match: minimum intersection over union of a region and an object for the region to be trained to detect it.
        box_weights: weights of the regression targets of x, y, width and height.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __init__(
        self,
        pool: nn.Module,
        head: nn.Module,
        predictor: nn.Module,
        options: DetectorOptions,
        match: float = 0.5,
        box_weights: tuple[float, ...] = (10.0, 10.0, 5.0, 5.0),
    ) -> None:
        super().__init__(
            pool,
            head,
            predictor,
            fg_iou_thresh=match,
            bg_iou_thresh=match,
            batch_size_per_image=options.rois_per_image,
            positive_fraction=0.25,
            bbox_reg_weights=box_weights,
            score_thresh=options.score_threshold,
            nms_thresh=options.nms_threshold,
            detections_per_img=options.detections,
        )

    def classify(self, maps: Mapping[str, Tensor], regions: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """For regions `(N, P, 4)`, the probability of each class `(N, P, K)`, and a box per class `(N, P, K, 4)`."""
        logits, deltas = self.regress(maps, list(regions), sizes)
        boxes = self.box_coder.decode_single(deltas.float(), regions.flatten(0, 1)).unflatten(1, (-1, 4))
        shape = regions.shape[:2]
        return logits.float().softmax(-1)[:, 1:].unflatten(0, shape), boxes[:, 1:].unflatten(0, shape)

    def regress(self, maps: Mapping[str, Tensor], regions: list[Tensor], sizes: Sizes) -> tuple[Tensor, Tensor]:
        """Class logits and box deltas of the regions `(P, 4)` of each image, concatenated over the images."""
        logits, deltas = self.box_predictor(self.box_head(self.box_roi_pool(maps, regions, sizes)))
        return logits, deltas

    def masks(self, maps: Mapping[str, Tensor], regions: list[Tensor], sizes: Sizes) -> Tensor:
        """Mask probabilities `(R, 1 + K, 28, 28)` of each class, for the regions of all images."""
        return self.mask_predictor(self.mask_head(self.mask_roi_pool(maps, regions, sizes))).sigmoid()

    def heat_maps(self, maps: Mapping[str, Tensor], regions: list[Tensor], sizes: Sizes) -> Tensor:
        """Logits `(R, k, 56, 56)` of the position of each keypoint, for the regions of all images."""
        return self.keypoint_predictor(self.keypoint_head(self.keypoint_roi_pool(maps, regions, sizes)))
