"""Cascade R-CNN (Cai & Vasconcelos, CVPR 2018): a second stage of three steps, each refining the boxes of the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import fastrcnn_loss, maskrcnn_loss
from torchvision.ops import clip_boxes_to_image, remove_small_boxes

from res2net.backbones.base import Backbone
from res2net.tasks.objects.heads.detector import DETECTORS
from res2net.tasks.objects.heads.necks import make_neck
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.heads.rcnn import add_masks, box_heads, on_pyramid
from res2net.tasks.objects.heads.regions import RegionHeads, SecondStage, Sizes
from res2net.tasks.objects.heads.selection import MIN_SIDE
from res2net.tasks.objects.heads.two_stage import TwoStage

MATCHES = (0.5, 0.6, 0.7)
"""Minimum intersection over union of a region and an object to be matched, for each step."""
BOX_WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))
"""Weights of the regression targets of x, y, width and height, for each step; later steps make smaller changes."""
LOSS_WEIGHTS = (1.0, 0.5, 0.25)
"""Weight of the losses of each step, as in the authors' code."""


class CascadeHeads(SecondStage):
    """A second stage that consists of several steps.

    In training, each step samples from the boxes of the step before and the ground-truth boxes. In evaluation, boxes
    pass through all steps, and class probabilities and masks are averaged over the steps.

    Args:
        steps: the steps, each a second stage whose predicted box does not depend on the class.
    """

    def __init__(self, steps: Sequence[RegionHeads]) -> None:
        super().__init__()
        self.steps: Any = nn.ModuleList(steps)
        self.score_thresh = steps[0].score_thresh
        self.nms_thresh = steps[0].nms_thresh
        self.detections_per_img = steps[0].detections_per_img

    def has_mask(self) -> bool:
        """Whether the stage predicts masks."""
        return self.steps[0].has_mask()

    def forward(
        self,
        features: Mapping[str, Tensor],
        proposals: list[Tensor],
        image_shapes: Sizes,
        targets: list[Mapping[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Return an empty list, as in torchvision, and the losses; their names end in the number of the step."""
        losses: dict[str, Tensor] = {}
        for number, (step, weight) in enumerate(zip(self.steps, LOSS_WEIGHTS, strict=True), 1):
            proposals, matches, labels, box_targets = step.select_training_samples(proposals, targets)
            logits, deltas = step.regress(features, proposals, image_shapes)
            # Torchvision's loss expects a box per class.
            class_deltas = deltas.repeat(1, logits.shape[1])
            class_loss, box_loss = fastrcnn_loss(logits, class_deltas, labels, box_targets)
            losses |= {f"loss_classifier_{number}": weight * class_loss, f"loss_box_reg_{number}": weight * box_loss}
            if self.has_mask():
                positive = [label > 0 for label in labels]
                regions, objects = (
                    [one[kept] for one, kept in zip(some, positive, strict=True)] for some in (proposals, matches)
                )
                masks, classes = ([target[name] for target in targets or ()] for name in ("masks", "labels"))
                mask_logits = step.mask_predictor(step.mask_head(step.mask_roi_pool(features, regions, image_shapes)))
                losses[f"loss_mask_{number}"] = weight * maskrcnn_loss(mask_logits, regions, masks, classes, objects)
            boxes = step.box_coder.decode_single(deltas.detach().float(), torch.cat(proposals))
            inside = map(clip_boxes_to_image, boxes.split([len(some) for some in proposals]), image_shapes)
            proposals = [box[remove_small_boxes(box, MIN_SIDE)] for box in inside]
        return [], losses

    def classify(self, maps: Mapping[str, Tensor], regions: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """For regions `(N, P, 4)`, the mean class probabilities `(N, P, K)`, and the boxes of the last step."""
        probabilities = []
        boxes = regions
        for step in self.steps:
            # Clip the input of each step to the image; the caller clips the boxes of the last step.
            boxes = torch.stack([clip_boxes_to_image(box, size) for box, size in zip(boxes, sizes, strict=True)])
            logits, deltas = step.regress(maps, list(boxes), sizes)
            probabilities.append(logits.float().softmax(-1)[:, 1:])
            boxes = step.box_coder.decode_single(deltas.float(), boxes.flatten(0, 1)).unflatten(0, regions.shape[:2])
        return torch.stack(probabilities).mean(0).unflatten(0, regions.shape[:2]), boxes[:, :, None]

    def masks(self, maps: Mapping[str, Tensor], regions: list[Tensor], sizes: Sizes) -> Tensor:
        """Mask probabilities `(R, 1 + K, 28, 28)` of each class, averaged over the steps."""
        return torch.stack([step.masks(maps, regions, sizes) for step in self.steps]).mean(0)


def cascade_rcnn(backbone: Backbone, num_classes: int, options: DetectorOptions, *, masks: bool = False) -> TwoStage:
    """Build Cascade R-CNN on a feature pyramid.

    With masks it is Cascade Mask R-CNN (Cai & Vasconcelos, TPAMI 2021), with a mask head in every step, as in
    MMDetection.
    """
    neck = make_neck(backbone, options)
    steps = []
    for match, box_weights in zip(MATCHES, BOX_WEIGHTS, strict=True):
        step = box_heads(neck, num_classes, options, match=match, box_weights=box_weights)
        step.box_predictor.bbox_pred = nn.Linear(options.head_channels, 4)
        if masks:
            add_masks(step, neck, num_classes)
        steps.append(step)
    return on_pyramid(backbone, neck, CascadeHeads(steps), num_classes, options)


DETECTORS.add("cascade_rcnn", cascade_rcnn)
DETECTORS.add("cascade_mask_rcnn", partial(cascade_rcnn, masks=True))
