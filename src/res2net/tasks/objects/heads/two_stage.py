"""Two-stage detectors, such as Faster R-CNN (Ren et al., NeurIPS 2015): propose regions, then classify them.

The modules are torchvision's. Its own detectors also resize and normalise images; here, the transforms do that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.tasks.objects.heads.box_points import points_in_boxes
from res2net.tasks.objects.heads.detector import Detector
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.heads.regions import SecondStage, propose

PAPER_SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)
"""Sides of the anchors in pixels, on a single map."""
ASPECT_RATIOS = (0.5, 1.0, 2.0)
"""Aspect ratios (height / width) of the anchors."""


class TwoStage(Detector):
    """A two-stage detector: the first stage proposes regions, the second classifies and refines them.

    `detect` and `forward` compute the same detections, in training and in evaluation mode, except for keypoints:
    `detect` finds the maximum of a heat map over all pixels of a box, `forward` as `points_in_boxes` does.

    Args:
        backbone: the backbone, without a classifier.
        neck: a module from the features of all stages to maps by name, finest first.
        rpn: the first stage.
        roi_heads: the second stage, for `num_classes` classes preceded by the background.
        num_classes: number of classes, without the background.
        proposals: number of regions for the second stage in evaluation.
    """

    def __init__(
        self,
        backbone: Backbone,
        neck: nn.Module,
        rpn: RegionProposalNetwork,
        roi_heads: SecondStage,
        num_classes: int,
        proposals: int = 1000,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.rpn = rpn
        self.roi_heads = roi_heads
        self.num_classes = num_classes
        self.proposals = proposals

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """The pyramid of images `(N, C, H, W)`: maps `(N, channels, h, w)` by name, finest first."""
        return self.neck(self.backbone.features(images))

    def losses(
        self,
        images: Tensor,
        sizes: Sequence[tuple[int, int]],
        targets: Sequence[Mapping[str, Tensor]],
        maps: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """`loss_objectness`, `loss_rpn_box_reg`, `loss_classifier`, `loss_box_reg`, `loss_mask`, `loss_keypoint`.

        Maps that were computed before can be given, as to `detect` and `find`.
        """
        maps = self.maps(images) if maps is None else maps
        shapes = list(sizes)
        shifted = [{**target, "labels": target["labels"] + 1} for target in targets]  # label 0 is the background
        with _training_flag(self.rpn, self.roi_heads):
            proposals, first_losses = self.rpn(ImageList(images, shapes), maps, shifted)
            _, second_losses = self.roi_heads(maps, proposals, shapes, shifted)
        return first_losses | second_losses

    def detect(
        self, images: Tensor, sizes: Sequence[tuple[int, int]], maps: Mapping[str, Tensor] | None = None
    ) -> list[dict[str, Tensor]]:
        """Detect the objects in each image, best first; see `Detector.detect`."""
        boxes, scores, labels, *extras = self.find(images, sizes, maps)
        results = []
        for index, valid in enumerate(scores > 0):
            result = {"boxes": boxes[index][valid], "scores": scores[index][valid], "labels": labels[index][valid]}
            valid_extras = [extra[index][valid] for extra in extras]
            if self.roi_heads.has_mask():
                result["masks"] = valid_extras.pop(0)
            if self.roi_heads.has_keypoint():
                points, point_scores = heatmaps_to_keypoints(valid_extras.pop(0).float(), result["boxes"])
                result |= {"keypoints": points[..., :2], "keypoint_scores": point_scores}
            results.append(result)
        return results

    def set_thresholds(self, options: DetectorOptions) -> None:
        """Detect with other thresholds and another number of detections; see `Detector.set_thresholds`."""
        self.roi_heads.score_thresh = options.score_threshold
        self.roi_heads.nms_thresh = options.nms_threshold
        self.roi_heads.detections_per_img = options.detections

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Detect with fixed shapes, for export; see `Detector.forward`."""
        height, width = images.shape[-2:]
        found = self.find(images, [(height, width)] * len(images))
        if not self.roi_heads.has_keypoint():
            return found
        *others, heatmaps = found
        # Process images one by one, since the keypoints of a large image take a lot of memory.
        points = [
            points_in_boxes(one.float(), boxes, max(height, width))
            for one, boxes in zip(heatmaps, others[0], strict=True)
        ]
        return *others, *(torch.stack(tensors) for tensors in zip(*points, strict=True))

    def find(
        self, images: Tensor, sizes: Sequence[tuple[int, int]], maps: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """Detect objects with fixed shapes, given the (height, width) of each image within the batch.

        Returns:
            Boxes `(N, D, 4)`, scores `(N, D)` and labels `(N, D)`; then masks `(N, D, 28, 28)` and heat maps of
            keypoints `(N, D, k, 56, 56)`, which span the boxes, if the second stage predicts them.
        """
        maps, (height, width) = self.maps(images) if maps is None else maps, images.shape[-2:]
        proposals, valid = propose(self.rpn, maps, (height, width), list(sizes), self.proposals)
        return self.roi_heads.find(maps, proposals, valid, list(sizes))


class PreciseAnchors(AnchorGenerator):  # type: ignore[misc] # torchvision has no types
    """Keeps anchors in float32 for maps of any type, since half precision cannot resolve pixels of a large image."""

    def set_cell_anchors(self, dtype: torch.dtype, device: torch.device) -> None:
        """Set the anchors of a single position of each map."""
        super().set_cell_anchors(torch.float32, device)


class PreciseRPNHead(RPNHead):  # type: ignore[misc] # torchvision has no types
    """The head of the first stage, with outputs in float32, since boxes are computed from them."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The objectness `(N, A, H, W)` and the box deltas `(N, 4 A, H, W)` of each map."""
        objectness, deltas = super().forward(x)
        return [map_.float() for map_ in objectness], [map_.float() for map_ in deltas]


@contextmanager
def _training_flag(*modules: nn.Module) -> Iterator[None]:
    """Set only the modules' own training flag, so that torchvision computes losses; their layers keep their mode."""
    modes = [module.training for module in modules]
    for module in modules:
        module.training = True
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def region_proposals(channels: int, strides: Sequence[int], options: DetectorOptions) -> RegionProposalNetwork:
    """The first stage on maps of these channels and strides, finest first.

    As in the paper, a pyramid has one anchor size per map, and a single map has all sizes.
    """
    pyramid = len(strides) > 1
    sizes = options.anchor_sizes or (tuple(8.0 * stride for stride in strides) if pyramid else PAPER_SIZES)
    if pyramid and len(sizes) != len(strides):
        raise InputError(
            f"{len(sizes)} anchor sizes do not fit {len(strides)} maps of strides {list(strides)}: give one for each."
        )
    groups = tuple((size,) for size in sizes) if pyramid else (tuple(sizes),)
    anchors = PreciseAnchors(groups, (ASPECT_RATIOS,) * len(groups))
    counts = {"training": options.proposals_train, "testing": options.proposals}
    return RegionProposalNetwork(
        anchors,
        PreciseRPNHead(channels, anchors.num_anchors_per_location()[0]),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=options.anchors_per_image,
        positive_fraction=0.5,
        pre_nms_top_n=counts,
        post_nms_top_n=counts,
        nms_thresh=0.7,
    )
