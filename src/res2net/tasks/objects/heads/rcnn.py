"""Faster R-CNN, Mask R-CNN and Keypoint R-CNN, built from torchvision's modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.tasks.objects.heads.detector import DETECTORS
from res2net.tasks.objects.heads.necks import Neck, make_neck
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.heads.regions import RegionHeads, SecondStage, region_pool
from res2net.tasks.objects.heads.two_stage import TwoStage, region_proposals

BOX_SIZE = 7
"""Side of the pooled features of a region on a pyramid."""
CLOSER_SIZE = 14
"""Side of the pooled features for masks, keypoints and the last stage of a backbone."""


def box_heads(neck: Neck, num_classes: int, options: DetectorOptions, **training: Any) -> RegionHeads:
    """The second stage on a pyramid: two fully connected layers that predict class scores and a box per class.

    The number of classes does not count the background; `training` are `match` and `box_weights` of `RegionHeads`.
    """
    head = TwoMLPHead(neck.channels * BOX_SIZE**2, options.head_channels)
    predictor = FastRCNNPredictor(options.head_channels, 1 + num_classes)
    return RegionHeads(region_pool(neck.strides, BOX_SIZE), head, predictor, options, **training)


def add_masks(heads: RegionHeads, neck: Neck, num_classes: int) -> None:
    """Add a mask head to the second stage: four convolutions and a transposed one, with a mask per class."""
    channels = neck.channels
    heads.mask_roi_pool = region_pool(neck.strides, CLOSER_SIZE)
    heads.mask_head = MaskRCNNHeads(channels, (channels,) * 4, 1)
    heads.mask_predictor = MaskRCNNPredictor(channels, channels, 1 + num_classes)


def on_pyramid(
    backbone: Backbone, neck: Neck, heads: SecondStage, num_classes: int, options: DetectorOptions
) -> TwoStage:
    """Build a two-stage detector on a feature pyramid."""
    rpn = region_proposals(neck.channels, [*neck.strides, 2 * neck.strides[-1]], options)
    return TwoStage(backbone, neck, rpn, heads, num_classes, options.proposals)


def faster_rcnn(
    backbone: Backbone, num_classes: int, options: DetectorOptions, *, masks: bool = False, keypoints: int = 0
) -> TwoStage:
    """Build Faster R-CNN on a feature pyramid (Lin et al., CVPR 2017), as torchvision's `fasterrcnn_resnet50_fpn`.

    With masks it is Mask R-CNN (He et al., ICCV 2017) as `maskrcnn_resnet50_fpn`; the convolutions of the mask head
    have as many channels as the pyramid. With keypoints it is Keypoint R-CNN (section 5 of the same paper) as
    `keypointrcnn_resnet50_fpn`; the convolutions of the keypoint head have twice as many channels as the pyramid, and
    the heat maps do not depend on the class of an object.
    """
    neck = make_neck(backbone, options)
    heads = box_heads(neck, num_classes, options)
    if masks:
        add_masks(heads, neck, num_classes)
    if keypoints:
        heads.keypoint_roi_pool = region_pool(neck.strides, CLOSER_SIZE)
        heads.keypoint_head = KeypointRCNNHeads(neck.channels, (2 * neck.channels,) * 8)
        heads.keypoint_predictor = _PlainPredictor(2 * neck.channels, keypoints)
    return on_pyramid(backbone, neck, heads, num_classes, options)


DETECTORS.add("faster_rcnn", faster_rcnn)
DETECTORS.add("mask_rcnn", partial(faster_rcnn, masks=True))


@DETECTORS.register("keypoint_rcnn")
def keypoint_rcnn(backbone: Backbone, num_classes: int, options: DetectorOptions) -> TwoStage:
    """Build Keypoint R-CNN; `InputError` if the option `num_keypoints` is not set."""
    if options.num_keypoints < 1:
        raise InputError("Keypoint R-CNN has 0 keypoints to find: give num keypoints, how many an object has.")
    return faster_rcnn(backbone, num_classes, options, keypoints=options.num_keypoints)


class _PlainPredictor(KeypointRCNNPredictor):  # type: ignore[misc] # torchvision has no types
    """Returns heat maps in contiguous memory, which torchvision's loss relies on."""

    def forward(self, x: Tensor) -> Tensor:
        """Map features `(R, C, 14, 14)` to heat maps `(R, k, 56, 56)`."""
        return super().forward(x).contiguous()


class OneMap(nn.Module):
    """Selects the features of one stage of a backbone, under the name "0"."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level

    def forward(self, features: Sequence[Tensor]) -> Mapping[str, Tensor]:
        """The map by name."""
        return {"0": features[self.level]}


class LastStage(nn.Module):
    """Applies the last stage of a backbone to regions of the map before it, `(R, C, 14, 14)` to `(R, channels)`.

    The stage is moved out of the backbone, which has to be a plain sequence of stages.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        if type(backbone).features is not Backbone.features or len(backbone.stages) < 3:
            raise InputError(
                f"{type(backbone).__name__} has no last stage to look at regions with: choose a ResNet or Res2Net, or "
                "a detector on a pyramid."
            )
        self.stage = nn.Sequential(*backbone.stage_modules()[-1])
        backbone.keep_stages(len(backbone.stages) - 1)

    def forward(self, regions: Tensor) -> Tensor:
        """The spatial mean of the features of each region."""
        return self.stage(regions).mean((2, 3))


@DETECTORS.register("faster_rcnn_c4")
def faster_rcnn_c4(backbone: Backbone, num_classes: int, options: DetectorOptions) -> TwoStage:
    """Build Faster R-CNN without a pyramid, as in He et al. (CVPR 2016, appendix A) and the Res2Net paper.

    Regions are pooled to 14 x 14 from the penultimate stage, of stride 16, and pass through the last stage, which
    reduces them to 7 x 7. The options of pyramids and fully connected layers are ignored; anchors of all sizes are on
    the single map.
    """
    if options.neck != "fpn":
        raise InputError(
            f"faster_rcnn_c4 has no neck, such as {options.neck}: leave out --neck, or choose faster_rcnn, which is on "
            "a pyramid."
        )
    level = len(backbone.stages) - 2
    previous, last = backbone.stages[level], backbone.stages[-1]
    pool = region_pool([previous.stride], CLOSER_SIZE)
    heads = RegionHeads(pool, LastStage(backbone), FastRCNNPredictor(last.channels, 1 + num_classes), options)
    rpn = region_proposals(previous.channels, [previous.stride], options)
    return TwoStage(backbone, OneMap(level), rpn, heads, num_classes, options.proposals)
