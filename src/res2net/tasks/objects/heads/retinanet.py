"""RetinaNet (Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017), from torchvision's modules."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.models.detection import _utils as det_utils
from torchvision.models.detection import retinanet as parts
from torchvision.models.detection.anchor_utils import AnchorGenerator

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.tasks.objects.heads.dense import Dense, dense_neck, dense_strides
from res2net.tasks.objects.heads.detector import DETECTORS
from res2net.tasks.objects.heads.options import DetectorOptions

__all__ = ["RetinaNet", "build_retinanet"]

ASPECT_RATIOS = (0.5, 1.0, 2.0)
"""Aspect ratios (height / width) of the anchors."""
OCTAVE = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
"""Sizes of the anchors at a position, relative to the anchor size of the map."""


class RetinaNet(Dense):
    """Predicts class scores and box deltas for every anchor; the focal loss down-weights easy background.

    The arguments are those of `Dense`.
    """

    # As in section 4 of the paper; an object without a matching anchor is matched with its best anchor.
    proposal_matcher = det_utils.Matcher(0.5, 0.4, allow_low_quality_matches=True)
    box_coder = det_utils.BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
    # Torchvision's loss, which only uses `proposal_matcher` and `head` of a detector.
    compute_loss = parts.RetinaNet.compute_loss

    def losses_of(
        self, targets: list[dict[str, Tensor]], outputs: dict[str, Tensor], anchors: list[Tensor]
    ) -> dict[str, Tensor]:
        """The losses `classification` and `bbox_regression`."""
        return self.compute_loss(targets, outputs, [torch.cat(anchors)] * len(targets))

    def scores_of(self, outputs: dict[str, Tensor]) -> Tensor:
        """The score of each class at each anchor, `(N, A, K)`."""
        return outputs["cls_logits"].sigmoid()

    def decode(self, changes: Tensor, anchors: Tensor) -> Tensor:
        """Apply box deltas to anchors, giving boxes `(M, 4)`."""
        return self.box_coder.decode_single(changes, anchors)


@DETECTORS.register("retinanet")
def build_retinanet(backbone: Backbone, num_classes: int, options: DetectorOptions) -> RetinaNet:
    """Build RetinaNet on a backbone; the default size of anchors is 4 times the stride of each map.

    Raises:
        InputError: the backbone does not have the chosen stages, or the number of anchor sizes differs from the maps'.
    """
    neck = dense_neck(backbone, options)
    strides = dense_strides(neck)
    sizes = options.anchor_sizes or tuple(4 * stride for stride in strides)
    if len(sizes) != len(strides):
        raise InputError(
            f"{len(sizes)} anchor sizes do not fit the {len(strides)} maps of RetinaNet, of strides {strides}: give "
            "one for each."
        )
    octaves = tuple(tuple(int(size * step) for step in OCTAVE) for size in sizes)
    anchors = AnchorGenerator(octaves, (ASPECT_RATIOS,) * len(octaves))
    head = parts.RetinaNetHead(options.fpn_channels, len(OCTAVE) * len(ASPECT_RATIOS), num_classes)
    return RetinaNet(backbone, neck, head, anchors, num_classes, options)
