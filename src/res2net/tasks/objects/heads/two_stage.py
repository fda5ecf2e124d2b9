"""Faster R-CNN (Ren et al., NeurIPS 2015) and what came of it: regions are proposed, and then looked at.

The parts are torchvision's. Its own detectors also resize and normalise images, which the data's transforms do here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, LastLevelMaxPool

from res2net.backbones.base import Backbone
from res2net.backbones.stages import check_stages
from res2net.errors import InputError
from res2net.tasks.objects.heads.box_points import points_in_boxes
from res2net.tasks.objects.heads.detector import Detector
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.heads.regions import SecondStage, propose

__all__ = ["PyramidNeck", "TwoStage", "region_proposals"]

PAPER_SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)
"""Sides of the anchors in pixels."""
ASPECT_RATIOS = (0.5, 1.0, 2.0)
"""Height over width of the anchors."""


class PyramidNeck(nn.Module):
    """A feature pyramid network on stages of a backbone (Lin et al., CVPR 2017), and coarser maps.

    Args:
        backbone: whose stages; those behind the last that is used are taken out of it.
        channels: of every map.
        levels: the stages, by default all but the stem.
        extra_blocks: makes the coarser maps; by default one of half the last's size, "pool".

    Shape: the features of all stages to maps `(N, channels, ceil(H / stride), ceil(W / stride))` by name: "0", "1", ...
    and the coarser ones, finest first.
    """

    def __init__(
        self,
        backbone: Backbone,
        channels: int,
        levels: Sequence[int] | None = None,
        extra_blocks: ExtraFPNBlock | None = None,
    ) -> None:
        super().__init__()
        count = len(backbone.stages)
        self.levels = tuple(range(1, count) if levels is None else levels)
        check_stages(self.levels, count)
        backbone.keep_stages(max(self.levels) + 1)
        stages = [backbone.stages[level] for level in self.levels]
        self.strides = [stage.stride for stage in stages]
        self.channels = channels
        extra = extra_blocks or LastLevelMaxPool()
        self.fpn = FeaturePyramidNetwork([stage.channels for stage in stages], channels, extra)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """The maps by name."""
        return self.fpn(OrderedDict((str(index), features[level]) for index, level in enumerate(self.levels)))


class TwoStage(Detector):
    """A detector of two stages: proposals, and what is in them.

    `detect` and `forward` compute the same, and in training and evaluation alike; but `detect` looks for the largest
    value of a heat map in all pixels of a box, and `forward` as `points_in_boxes` does.

    Args:
        backbone: without classifier.
        neck: the features of all its stages to maps by name, finest first.
        rpn: the first stage.
        roi_heads: the second stage, for `num_classes` classes and a background before them.
        num_classes: without the background.
        proposals: how many regions the second stage looks at in evaluation.
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
        self, images: Tensor, sizes: Sequence[tuple[int, int]], targets: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """`loss_objectness`, `loss_rpn_box_reg`, `loss_classifier`, `loss_box_reg`, `loss_mask`, `loss_keypoint`."""
        return self.losses_on(self.maps(images), images, sizes, targets)

    def losses_on(
        self,
        maps: Mapping[str, Tensor],
        images: Tensor,
        sizes: Sequence[tuple[int, int]],
        targets: Sequence[Mapping[str, Tensor]],
    ) -> dict[str, Tensor]:
        """`losses` where the maps of the images are known."""
        shapes = list(sizes)
        counted = [{**target, "labels": target["labels"] + 1} for target in targets]
        with _learning(self.rpn, self.roi_heads):
            proposals, losses = self.rpn(ImageList(images, shapes), maps, counted)
            _, more = self.roi_heads(maps, proposals, shapes, counted)
        return losses | more

    def detect(self, images: Tensor, sizes: Sequence[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """What is in each image, the best first; see `Detector.detect`."""
        return self.detect_on(self.maps(images), images, sizes)

    def detect_on(
        self, maps: Mapping[str, Tensor], images: Tensor, sizes: Sequence[tuple[int, int]]
    ) -> list[dict[str, Tensor]]:
        """`detect` where the maps of the images are known."""
        boxes, scores, labels, *extras = self.find_on(maps, images, list(sizes))
        results = []
        for index, here in enumerate(scores > 0):
            result = {"boxes": boxes[index][here], "scores": scores[index][here], "labels": labels[index][here]}
            found = [extra[index][here] for extra in extras]
            if self.roi_heads.has_mask():
                result["masks"] = found.pop(0)
            if self.roi_heads.has_keypoint():
                points, point_scores = heatmaps_to_keypoints(found.pop(0).float(), result["boxes"])
                result |= {"keypoints": points[..., :2], "keypoint_scores": point_scores}
            results.append(result)
        return results

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """For export: see `Detector.forward`."""
        height, width = images.shape[-2:]
        found = self.find_on(self.maps(images), images, [(height, width)] * len(images))
        if not self.roi_heads.has_keypoint():
            return found
        *others, heatmaps = found
        # One image after the other: a large image's many key points take a lot of memory.
        points = [
            points_in_boxes(one.float(), boxes, max(height, width))
            for one, boxes in zip(heatmaps, others[0], strict=True)
        ]
        return *others, *(torch.stack(tensors) for tensors in zip(*points, strict=True))

    def find_on(self, maps: Mapping[str, Tensor], images: Tensor, sizes: list[tuple[int, int]]) -> tuple[Tensor, ...]:
        """What is in images of those (height, width) within the batch, where the maps are known.

        Boxes `(N, D, 4)`, scores `(N, D)`, labels `(N, D)`, and if it has them masks `(N, D, 28, 28)` and heat maps of
        key points, `(N, D, k, 56, 56)`, which span the boxes.
        """
        height, width = images.shape[-2:]
        proposals, valid = propose(self.rpn, maps, (height, width), sizes, self.proposals)
        return self.roi_heads.find(maps, proposals, valid, sizes)


class PreciseAnchors(AnchorGenerator):  # type: ignore[misc] # torchvision has no types
    """Anchors in float32 whatever the maps are: half precision cannot tell the pixels of a large image apart."""

    def set_cell_anchors(self, dtype: torch.dtype, device: torch.device) -> None:
        """The anchors of one place of each map."""
        super().set_cell_anchors(torch.float32, device)


class PreciseRPNHead(RPNHead):  # type: ignore[misc] # torchvision has no types
    """The convolutions of the first stage; what they give, boxes are computed of, so it is float32."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Objectness `(N, A, H, W)` and changes of the anchors `(N, 4 A, H, W)` of each map."""
        objectness, deltas = super().forward(x)
        return [map_.float() for map_ in objectness], [map_.float() for map_ in deltas]


@contextmanager
def _learning(*modules: nn.Module) -> Iterator[None]:
    """Lets parts of torchvision give losses, which they do in training only; the layers in them keep their mode."""
    modes = [module.training for module in modules]
    for module in modules:
        module.training = True
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def region_proposals(channels: int, strides: Sequence[int], options: DetectorOptions) -> RegionProposalNetwork:
    """The first stage, as in the paper: on a pyramid an anchor size for each map, on a single map all the sizes.

    Args:
        channels: of each map.
        strides: of the maps, finest first.
        options: sizes and numbers.

    Raises:
        InputError: there are more or fewer sizes of anchors than maps.
    """
    pyramid = len(strides) > 1
    usual = tuple(8.0 * stride for stride in strides) if pyramid else PAPER_SIZES
    sizes = options.anchor_sizes or usual
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
