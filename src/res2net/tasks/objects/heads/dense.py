"""One-stage detectors, which predict classes and boxes at every position of every map, from torchvision's modules.

RetinaNet: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017. FCOS: Tian et al., "FCOS: Fully Convolutional
One-Stage Object Detection", ICCV 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torchvision.models.detection import _utils, fcos, retinanet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.tasks.objects.heads.detector import DETECTORS, Detector
from res2net.tasks.objects.heads.necks import HighResolutionNeck, Neck, PyramidNeck
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.heads.regions import grid_anchors
from res2net.tasks.objects.heads.selection import best_detections, clipped
from res2net.tasks.objects.heads.two_stage import ASPECT_RATIOS

OCTAVE = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
"""Sizes of RetinaNet's anchors at a position, relative to the anchor size of the map."""
GROUPS = 32
"""Groups of the normalisation in the head of FCOS."""


def dense_neck(backbone: Backbone, options: DetectorOptions) -> tuple[Neck, list[int]]:
    """The pyramid of RetinaNet (section 4) and its strides: the last three stages, and two coarser maps.

    HRFPN mixes all stages but the stem, and its maps have the same strides (as in MMDetection's FCOS).
    """
    if options.neck == "hrfpn":
        mixed = HighResolutionNeck(backbone, options.fpn_channels, options.levels, stride=2)
        return mixed, [*mixed.strides, 2 * mixed.strides[-1]]
    count, channels = len(backbone.stages), options.fpn_channels
    levels = tuple(range(max(1, count - 3), count)) if options.levels is None else options.levels
    neck = PyramidNeck(backbone, channels, levels, LastLevelP6P7(channels, channels))
    return neck, [*neck.strides, 2 * neck.strides[-1], 4 * neck.strides[-1]]


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

    decode: Callable[[Tensor, Tensor], Tensor]
    """Decodes box outputs `(M, 4)` and their anchors `(M, 4)` to boxes `(M, 4)`."""

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

    def set_thresholds(self, options: DetectorOptions) -> None:
        """Detect with other thresholds and another number of detections; see `Detector.set_thresholds`."""
        names = ("score_threshold", "nms_threshold", "detections")
        self.options = replace(self.options, **{name: getattr(options, name) for name in names})

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Boxes `(N, D, 4)`, scores `(N, D)` and labels `(N, D)`; see `Detector.forward`."""
        height, width = images.shape[-2:]
        return self._find(images, [(height, width)] * len(images))

    def _run_head(self, images: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The outputs of the head, in float32 for precise boxes, and the anchors `(A_i, 4)` of each map."""
        maps = list(self.neck(self.backbone.features(images)).values())
        outputs = {name: output.float() for name, output in self.head(maps).items()}
        height, width = images.shape[-2:]
        return outputs, grid_anchors(self.anchor_generator, maps, (height, width))

    def _find(self, images: Tensor, sizes: list[tuple[int, int]]) -> tuple[Tensor, ...]:
        outputs, anchors = self._run_head(images)
        counts = [len(level) for level in anchors]
        scores, changes = self.scores_of(outputs).split(counts, 1), outputs["bbox_regression"].split(counts, 1)
        parts = [self._candidates(*level, sizes) for level in zip(scores, changes, anchors, strict=True)]
        candidates = [torch.cat(tensors, 1) for tensors in zip(*parts, strict=True)]
        best = [
            best_detections(*image, nms_threshold=self.options.nms_threshold, count=self.options.detections)
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
        boxes, large = clipped(boxes, sizes)
        return boxes, best.masked_fill(~(large & (best > self.options.score_threshold)), -math.inf), labels


class RetinaNet(Dense):
    """Predicts class scores and box deltas for every anchor; the focal loss down-weights easy background.

    The arguments are those of `Dense`.
    """

    # As in section 4 of the paper; an object without a matching anchor is matched with its best anchor.
    proposal_matcher = _utils.Matcher(0.5, 0.4, allow_low_quality_matches=True)
    decode = staticmethod(_utils.BoxCoder(weights=(1.0, 1.0, 1.0, 1.0)).decode_single)

    def losses_of(
        self, targets: list[dict[str, Tensor]], outputs: dict[str, Tensor], anchors: list[Tensor]
    ) -> dict[str, Tensor]:
        """The losses `classification` and `bbox_regression`."""
        # Torchvision's loss, which only uses `proposal_matcher` and `head` of a detector.
        return retinanet.RetinaNet.compute_loss(self, targets, outputs, [torch.cat(anchors)] * len(targets))

    def scores_of(self, outputs: dict[str, Tensor]) -> Tensor:
        """The score of each class at each anchor, `(N, A, K)`."""
        return outputs["cls_logits"].sigmoid()


@DETECTORS.register("retinanet")
def build_retinanet(backbone: Backbone, num_classes: int, options: DetectorOptions) -> RetinaNet:
    """Build RetinaNet on a backbone; the default size of anchors is 4 times the stride of each map."""
    neck, strides = dense_neck(backbone, options)
    sizes = options.anchor_sizes or tuple(4 * stride for stride in strides)
    if len(sizes) != len(strides):
        raise InputError(
            f"{len(sizes)} anchor sizes do not fit the {len(strides)} maps of RetinaNet, of strides {strides}: give "
            "one for each."
        )
    octaves = tuple(tuple(int(size * step) for step in OCTAVE) for size in sizes)
    anchors = AnchorGenerator(octaves, (ASPECT_RATIOS,) * len(octaves))
    head = retinanet.RetinaNetHead(options.fpn_channels, len(OCTAVE) * len(ASPECT_RATIOS), num_classes)
    return RetinaNet(backbone, neck, head, anchors, num_classes, options)


class FCOS(Dense):
    """Predicts class scores, the distances to the four sides of the box, and the centerness, at every position.

    Its anchors are squares around the positions whose side is the stride. The arguments are those of `Dense`.
    """

    center_sampling_radius = 1.5
    """Positions within this many strides of the centre of an object are trained to predict it."""
    decode = staticmethod(_utils.BoxLinearCoder(normalize_by_size=True).decode)

    def losses_of(
        self, targets: list[dict[str, Tensor]], outputs: dict[str, Tensor], anchors: list[Tensor]
    ) -> dict[str, Tensor]:
        """The losses `classification`, `bbox_regression` and `bbox_ctrness`."""
        counts = [len(one) for one in anchors]
        # Torchvision's matching, which only uses `center_sampling_radius` and `head`.
        return fcos.FCOS.compute_loss(self, targets, outputs, [torch.cat(anchors)] * len(targets), counts)

    def scores_of(self, outputs: dict[str, Tensor]) -> Tensor:
        """The geometric mean of the score of each class and the centerness, `(N, A, K)`."""
        return (outputs["cls_logits"].sigmoid() * outputs["bbox_ctrness"].sigmoid()).sqrt()


@DETECTORS.register("fcos")
def build_fcos(backbone: Backbone, num_classes: int, options: DetectorOptions) -> FCOS:
    """Build FCOS on a backbone; the option `anchor_sizes` is not used."""
    if options.fpn_channels % GROUPS:
        raise InputError(
            f"FCOS cannot have {options.fpn_channels} fpn channels, which it normalises in {GROUPS} groups: give a "
            f"multiple of {GROUPS}."
        )
    neck, strides = dense_neck(backbone, options)
    anchors = AnchorGenerator(tuple((stride,) for stride in strides), ((1.0,),) * len(strides))
    return FCOS(backbone, neck, fcos.FCOSHead(options.fpn_channels, 1, num_classes), anchors, num_classes, options)
