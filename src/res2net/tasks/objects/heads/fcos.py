"""FCOS (Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019), of torchvision's parts."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.models.detection import _utils as det_utils
from torchvision.models.detection import fcos as parts
from torchvision.models.detection.anchor_utils import AnchorGenerator

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.tasks.objects.heads.dense import Dense, dense_neck, dense_strides
from res2net.tasks.objects.heads.detector import DETECTORS
from res2net.tasks.objects.heads.options import DetectorOptions

__all__ = ["FCOS", "build_fcos"]

GROUPS = 32
"""Of the normalisation in the head."""


class FCOS(Dense):
    """A score for each class, the distances to the four sides, and how central it is, at every position.

    Its anchors are squares of one stride around the positions. The arguments are those of `Dense`.
    """

    center_sampling_radius = 1.5
    """Strides from the middle of an object within which positions learn it."""
    box_coder = det_utils.BoxLinearCoder(normalize_by_size=True)
    # Torchvision's matching, which asks nothing of a detector but `center_sampling_radius` and `head`.
    compute_loss = parts.FCOS.compute_loss

    def losses_of(
        self, targets: list[dict[str, Tensor]], outputs: dict[str, Tensor], anchors: list[Tensor]
    ) -> dict[str, Tensor]:
        """`classification`, `bbox_regression` and `bbox_ctrness`."""
        counts = [len(one) for one in anchors]
        return self.compute_loss(targets, outputs, [torch.cat(anchors)] * len(targets), counts)

    def scores_of(self, outputs: dict[str, Tensor]) -> Tensor:
        """The geometric mean of the score of each class and of how central the position is, `(N, A, K)`."""
        return (outputs["cls_logits"].sigmoid() * outputs["bbox_ctrness"].sigmoid()).sqrt()

    def decode(self, changes: Tensor, anchors: Tensor) -> Tensor:
        """Distances to the sides in strides to boxes `(M, 4)`."""
        return self.box_coder.decode(changes, anchors)


@DETECTORS.register("fcos")
def build_fcos(backbone: Backbone, num_classes: int, options: DetectorOptions) -> FCOS:
    """FCOS on a backbone; it needs no sizes of anchors.

    Raises:
        InputError: there are no such stages, or the channels cannot be normalised in groups.
    """
    if options.fpn_channels % GROUPS:
        raise InputError(
            f"FCOS cannot have {options.fpn_channels} fpn channels, which it normalises in {GROUPS} groups: give a "
            f"multiple of {GROUPS}."
        )
    neck = dense_neck(backbone, options)
    strides = dense_strides(neck)
    anchors = AnchorGenerator(tuple((stride,) for stride in strides), ((1.0,),) * len(strides))
    return FCOS(backbone, neck, parts.FCOSHead(options.fpn_channels, 1, num_classes), anchors, num_classes, options)
