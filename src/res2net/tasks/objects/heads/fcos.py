"""FCOS (Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019), from torchvision's modules."""

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
"""Groups of the normalisation in the head."""


class FCOS(Dense):
    """Predicts class scores, the distances to the four sides of the box, and the centerness, at every position.

    Its anchors are squares around the positions whose side is the stride. The arguments are those of `Dense`.
    """

    center_sampling_radius = 1.5
    """Positions within this many strides of the centre of an object are trained to predict it."""
    box_coder = det_utils.BoxLinearCoder(normalize_by_size=True)
    # Torchvision's matching, which only uses `center_sampling_radius` and `head`.
    compute_loss = parts.FCOS.compute_loss

    def losses_of(
        self, targets: list[dict[str, Tensor]], outputs: dict[str, Tensor], anchors: list[Tensor]
    ) -> dict[str, Tensor]:
        """The losses `classification`, `bbox_regression` and `bbox_ctrness`."""
        counts = [len(one) for one in anchors]
        return self.compute_loss(targets, outputs, [torch.cat(anchors)] * len(targets), counts)

    def scores_of(self, outputs: dict[str, Tensor]) -> Tensor:
        """The geometric mean of the score of each class and the centerness, `(N, A, K)`."""
        return (outputs["cls_logits"].sigmoid() * outputs["bbox_ctrness"].sigmoid()).sqrt()

    def decode(self, changes: Tensor, anchors: Tensor) -> Tensor:
        """Decode distances to the sides, in strides, to boxes `(M, 4)`."""
        return self.box_coder.decode(changes, anchors)


@DETECTORS.register("fcos")
def build_fcos(backbone: Backbone, num_classes: int, options: DetectorOptions) -> FCOS:
    """Build FCOS on a backbone; the option `anchor_sizes` is not used.

    Raises:
        InputError: the backbone does not have the chosen stages, or the channels cannot be normalised in groups.
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
