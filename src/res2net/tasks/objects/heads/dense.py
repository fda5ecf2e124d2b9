"""One-stage detectors, which predict classes and boxes at every position of every map."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from res2net.backbones.base import Backbone
from res2net.tasks.objects.heads.detector import Detector
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.heads.selection import best_detections, clipped
from res2net.tasks.objects.heads.two_stage import PyramidNeck

__all__ = ["Dense", "dense_neck", "dense_strides"]

LEAST = 1e-2
"""Minimum side of a detection, in pixels."""


def dense_neck(backbone: Backbone, options: DetectorOptions) -> PyramidNeck:
    """The pyramid of RetinaNet (section 4): the last three stages, and two coarser maps by strided convolutions.

    Raises:
        InputError: the backbone does not have the chosen stages.
    """
    count, channels = len(backbone.stages), options.fpn_channels
    levels = tuple(range(max(1, count - 3), count)) if options.levels is None else options.levels
    return PyramidNeck(backbone, channels, levels, LastLevelP6P7(channels, channels))


def dense_strides(neck: PyramidNeck) -> list[int]:
    """The strides of the maps of `dense_neck`, finest first."""
    return [*neck.strides, 2 * neck.strides[-1], 4 * neck.strides[-1]]


class Dense(Detector):
    """A one-stage detector with a head and anchors of torchvision.

    `detect` and `forward` compute the same detections, in training and in evaluation mode. Subclasses define the
    losses, and how the outputs of the head are turned into scores and boxes.

    Args:
        backbone: the backbone, without a classifier.
        neck: a module from the features of all stages to maps by name, finest first.
        head: a module from a list of maps to outputs by name, each `(N, A, ...)` with A anchors over all maps.
        anchor_generator: generates the anchors.
        num_classes: number of classes, without a background.
        options: thresholds; `proposals` is the number of candidates per map for non-maximum suppression.
    """

    def __init__(
        self,
        backbone: Backbone,
        neck: nn.Module,
        head: nn.Module,
        anchor_generator: AnchorGenerator,
        num_classes: int,
        options: DetectorOptions,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.head = head
        self.anchor_generator = anchor_generator
        self.num_classes = num_classes
        self.options = options

    def losses_of(
        self, targets: list[dict[str, Tensor]], outputs: dict[str, Tensor], anchors: list[Tensor]
    ) -> dict[str, Tensor]:
        """The terms of the loss by name, from the outputs of the head and the anchors `(A_i, 4)` of each map."""
        raise NotImplementedError

    def scores_of(self, outputs: dict[str, Tensor]) -> Tensor:
        """The score of each class at each anchor, `(N, A, K)`, 0..1."""
        raise NotImplementedError

    def decode(self, changes: Tensor, anchors: Tensor) -> Tensor:
        """Decode box outputs `(M, 4)` and their anchors `(M, 4)` to boxes `(M, 4)`."""
        raise NotImplementedError

    def losses(
        self, images: Tensor, sizes: Sequence[tuple[int, int]], targets: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """`loss_classification`, `loss_bbox_regression`, and for FCOS `loss_bbox_ctrness`; see `Detector.losses`.

        Empty boxes are ignored.
        """
        outputs, anchors = self._run_head(images)
        usable = []
        for target in targets:
            nonempty = (target["boxes"][:, 2:] > target["boxes"][:, :2]).all(1)
            usable.append({"boxes": target["boxes"][nonempty], "labels": target["labels"][nonempty]})
        return {f"loss_{name}": loss for name, loss in self.losses_of(usable, outputs, anchors).items()}

    def detect(self, images: Tensor, sizes: Sequence[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """Detect the objects in each image, best first; see `Detector.detect`."""
        found = zip(*self._find(images, list(sizes)), strict=True)
        return [
            {"boxes": boxes[scores > 0], "scores": scores[scores > 0], "labels": labels[scores > 0]}
            for boxes, scores, labels in found
        ]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Boxes `(N, D, 4)`, scores `(N, D)` and labels `(N, D)`; see `Detector.forward`."""
        height, width = images.shape[-2:]
        return self._find(images, [(height, width)] * len(images))

    def _run_head(self, images: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The outputs of the head, in float32 for precise boxes, and the anchors `(A_i, 4)` of each map."""
        maps = list(self.neck(self.backbone.features(images)).values())
        outputs = {name: output.float() for name, output in self.head(maps).items()}
        height, width = images.shape[-2:]
        grids = [tuple(map_.shape[-2:]) for map_ in maps]
        strides = [(height // rows, width // columns) for rows, columns in grids]
        anchors = self.anchor_generator.grid_anchors(grids, strides)
        return outputs, [one.to(images.device) for one in anchors]

    def _find(self, images: Tensor, sizes: list[tuple[int, int]]) -> tuple[Tensor, ...]:
        outputs, anchors = self._run_head(images)
        counts = [len(level) for level in anchors]
        scores, changes = self.scores_of(outputs).split(counts, 1), outputs["bbox_regression"].split(counts, 1)
        parts = [self._candidates(*level, sizes) for level in zip(scores, changes, anchors, strict=True)]
        candidates = [torch.cat(tensors, 1) for tensors in zip(*parts, strict=True)]
        options = self.options
        best = [
            best_detections(*image, nms_threshold=options.nms_threshold, count=options.detections)
            for image in zip(*candidates, strict=True)
        ]
        return tuple(torch.stack(tensors) for tensors in zip(*best, strict=True))

    def _candidates(
        self, scores: Tensor, changes: Tensor, anchors: Tensor, sizes: list[tuple[int, int]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best boxes `(N, P, 4)` of one map, their scores `(N, P)`, minus infinity for unused rows, and labels."""
        flat = scores.flatten(1)
        best, indices = flat.topk(min(self.options.proposals, flat.shape[1]))
        where, labels = indices // self.num_classes, indices % self.num_classes
        chosen = changes.gather(1, where[..., None].expand(-1, -1, 4))
        boxes = self.decode(chosen.flatten(0, 1), anchors[where].flatten(0, 1)).unflatten(0, indices.shape)
        boxes, large = clipped(boxes, sizes, LEAST)
        return boxes, best.masked_fill(~(large & (best > self.options.score_threshold)), -math.inf), labels
