"""Cascade R-CNN (Cai & Vasconcelos, CVPR 2018): a second stage in three steps, each with better boxes to start from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import fastrcnn_loss, maskrcnn_loss
from torchvision.ops import clip_boxes_to_image, remove_small_boxes

from res2net.backbones.base import Backbone
from res2net.tasks.objects.heads.detector import DETECTORS
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.heads.rcnn import add_masks, box_heads, on_pyramid
from res2net.tasks.objects.heads.regions import LEAST_DETECTION, RegionHeads, SecondStage, Sizes
from res2net.tasks.objects.heads.two_stage import PyramidNeck, TwoStage

__all__ = ["CascadeHeads", "cascade_mask_rcnn", "cascade_rcnn"]

MATCHES = (0.5, 0.6, 0.7)
"""For each step, the least intersection over union of a region with the object that it is to find."""
BOX_WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))
"""For each step, the factors of the changes of x, y, width and height: later ones are smaller."""
LOSS_WEIGHTS = (1.0, 0.5, 0.25)
"""Of the losses of each step, as in the authors' code."""


class CascadeHeads(SecondStage):
    """The second stage in steps. In training each step samples from the boxes of the one before, and the objects.

    In evaluation a box goes through all steps; the probabilities of its classes, and its masks, are the mean over them.

    Args:
        steps: each a second stage by itself, whose predictor gives one box whatever the class.
        loss_weights: of the losses of each step.
    """

    def __init__(self, steps: Sequence[RegionHeads], loss_weights: Sequence[float] = LOSS_WEIGHTS) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.loss_weights = tuple(loss_weights)
        self.score_thresh = steps[0].score_thresh
        self.nms_thresh = steps[0].nms_thresh
        self.detections_per_img = steps[0].detections_per_img

    def has_mask(self) -> bool:
        """Whether it finds masks."""
        return next(self._each_step()).has_mask()

    def forward(
        self,
        features: Mapping[str, Tensor],
        proposals: list[Tensor],
        image_shapes: Sizes,
        targets: list[Mapping[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """An empty list, as torchvision's has it in training, and the losses: those of a step end in its number.

        Args:
            features: the maps by name.
            proposals: `(P, 4)` for each image.
            image_shapes: of the images.
            targets: of each image; labels count from 1.
        """
        losses: dict[str, Tensor] = {}
        for number, (step, weight) in enumerate(zip(self._each_step(), self.loss_weights, strict=True), 1):
            proposals, matches, labels, changes = step.select_training_samples(proposals, targets)
            logits, deltas = step.regress(features, proposals, image_shapes)
            # Torchvision's loss looks for a box of each class.
            of_classes = deltas.repeat(1, logits.shape[1])
            class_loss, box_loss = fastrcnn_loss(logits, of_classes, labels, changes)
            losses |= {f"loss_classifier_{number}": weight * class_loss, f"loss_box_reg_{number}": weight * box_loss}
            if self.has_mask():
                mask_loss = _mask_loss(step, features, proposals, image_shapes, matches, labels, targets or [])
                losses[f"loss_mask_{number}"] = weight * mask_loss
            proposals = _refined(step, deltas.detach(), proposals, image_shapes)
        return [], losses

    def classify(self, maps: Mapping[str, Tensor], regions: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """For regions `(N, P, 4)`, the mean probability of each class `(N, P, K)`, and the last box `(N, P, 1, 4)`."""
        probabilities = []
        boxes = regions
        for step in self._each_step():
            # What a step sees lies in the image; the box of the last is clipped where it is used.
            boxes = torch.stack([clip_boxes_to_image(box, size) for box, size in zip(boxes, sizes, strict=True)])
            logits, deltas = step.regress(maps, list(boxes), sizes)
            probabilities.append(logits.float().softmax(-1)[:, 1:])
            boxes = step.box_coder.decode_single(deltas.float(), boxes.flatten(0, 1)).unflatten(0, regions.shape[:2])
        return torch.stack(probabilities).mean(0).unflatten(0, regions.shape[:2]), boxes[:, :, None]

    def masks(self, maps: Mapping[str, Tensor], regions: list[Tensor], sizes: Sizes) -> Tensor:
        """Probabilities `(R, 1 + K, 28, 28)` of a mask of each class: the mean over the steps."""
        return torch.stack([step.masks(maps, regions, sizes) for step in self._each_step()]).mean(0)

    def _each_step(self) -> Iterator[RegionHeads]:
        return cast("Iterator[RegionHeads]", iter(self.steps))


def _mask_loss(
    step: RegionHeads,
    maps: Mapping[str, Tensor],
    regions: list[Tensor],
    sizes: Sizes,
    matches: list[Tensor],
    labels: list[Tensor],
    targets: Sequence[Mapping[str, Tensor]],
) -> Tensor:
    """The loss of the regions which hold an object."""
    positive = [torch.where(label > 0)[0] for label in labels]
    held = [region[here] for region, here in zip(regions, positive, strict=True)]
    objects = [match[here] for match, here in zip(matches, positive, strict=True)]
    logits = step.mask_predictor(step.mask_head(step.mask_roi_pool(maps, held, sizes)))
    masks, classes = [target["masks"] for target in targets], [target["labels"] for target in targets]
    return maskrcnn_loss(logits, held, masks, classes, objects)


def _refined(step: RegionHeads, deltas: Tensor, regions: list[Tensor], sizes: Sizes) -> list[Tensor]:
    """The boxes that a step makes of its regions, within the images and without those of no area."""
    boxes = step.box_coder.decode_single(deltas.float(), torch.cat(regions)).split([len(some) for some in regions])
    inside = [clip_boxes_to_image(box, size) for box, size in zip(boxes, sizes, strict=True)]
    return [box[remove_small_boxes(box, LEAST_DETECTION)] for box in inside]


def _cascade(backbone: Backbone, num_classes: int, options: DetectorOptions, masks: bool) -> TwoStage:
    neck = PyramidNeck(backbone, options.fpn_channels, options.levels)
    steps = []
    for match, weights in zip(MATCHES, BOX_WEIGHTS, strict=True):
        step = box_heads(neck, num_classes, options, match=match, box_weights=weights)
        step.box_predictor.bbox_pred = nn.Linear(options.head_channels, 4)
        if masks:
            add_masks(step, neck, num_classes)
        steps.append(step)
    return on_pyramid(backbone, neck, CascadeHeads(steps), num_classes, options)


@DETECTORS.register("cascade_rcnn")
def cascade_rcnn(backbone: Backbone, num_classes: int, options: DetectorOptions) -> TwoStage:
    """Cascade R-CNN on a feature pyramid."""
    return _cascade(backbone, num_classes, options, masks=False)


@DETECTORS.register("cascade_mask_rcnn")
def cascade_mask_rcnn(backbone: Backbone, num_classes: int, options: DetectorOptions) -> TwoStage:
    """Cascade Mask R-CNN (Cai & Vasconcelos, TPAMI 2021), with a head for masks in every step, as in MMDetection."""
    return _cascade(backbone, num_classes, options, masks=True)
