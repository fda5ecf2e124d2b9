"""Panoptic FPN (Kirillov et al., CVPR 2019): things by Mask R-CNN, stuff by a second branch on the same pyramid.

`merge_segments` merges both, so that every pixel of an image belongs to one segment, or to none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import resize_boxes

from res2net.backbones.base import Backbone
from res2net.errors import InputError, check_range
from res2net.images.samples import UNLABELLED
from res2net.nn import initialise
from res2net.task.maps import pixel_cross_entropy, resized
from res2net.tasks.objects.heads.necks import Neck
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.heads.rcnn import faster_rcnn
from res2net.tasks.objects.heads.two_stage import TwoStage
from res2net.tasks.objects.segments import Segment

SEMANTIC_WEIGHT = 0.5
"""Weight of the loss of stuff beside those of things (section 4.1 of the paper; 0.5 or 0.75 there)."""
GROUPS = 32
"""Groups of the normalisations, as few as the channels allow."""

STUFF_AREA = 4096
"""Pixels that a segment of stuff has at least (the published code), in an image of the usual size of COCO's."""
USUAL_AREA = 640 * 480
"""Pixels of such an image."""


class SemanticBranch(nn.Module):
    """What each pixel is, from all maps of a pyramid (section 3.1 and figure 3 of the paper).

    Each map goes through 3x3 convolutions with group normalisation and ReLU, doubled bilinearly in size after each, up
    to the size of the finest map, which goes through one convolution. The sum of all goes through a 1x1 convolution
    and is enlarged to the images.

    Args:
        in_channels, strides: of the maps, finest first; each stride is a power of 2 times the first.
        num_classes: classes of pixels, 1 to 255, the things together being one of them.
        channels: of the convolutions.
    """

    def __init__(self, in_channels: int, strides: Sequence[int], num_classes: int, *, channels: int = 128) -> None:
        super().__init__()
        doublings = [math.log2(stride / strides[0]) for stride in strides]
        if not doublings or any(count < 0 or count != int(count) for count in doublings):
            raise InputError(f"Strides {list(strides)} do not fit: give the finest first, then 1, 2, 4, ... times it.")
        if not 1 <= num_classes <= UNLABELLED:
            raise InputError(f"{num_classes} classes of pixels do not fit: give 1 to {UNLABELLED}.")
        self.doublings = tuple(int(count) for count in doublings)
        self.num_classes = num_classes
        groups = math.gcd(GROUPS, channels)
        self.levels = nn.ModuleList()
        for count in self.doublings:
            widths = [in_channels, *[channels] * max(count, 1)]
            self.levels.append(
                nn.ModuleList(
                    nn.Sequential(
                        nn.Conv2d(width, channels, 3, padding=1, bias=False),
                        nn.GroupNorm(groups, channels),
                        nn.ReLU(inplace=True),
                    )
                    for width in widths[:-1]
                )
            )
        self.predictor = nn.Conv2d(channels, num_classes, 1)
        initialise(self)
        nn.init.zeros_(self.predictor.bias)  # type: ignore[arg-type]

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Maps `(N, in_channels, h, w)`, finest first, to logits `(N, num_classes, *size)`."""
        height, width = maps[0].shape[-2:]
        total = None
        for x, count, layers in zip(maps, self.doublings, self.levels, strict=True):
            for index, layer in enumerate(layers.children()):
                x = layer(x)
                if count:
                    # What doubles exactly is doubled; a map of odd sides is a pixel smaller.
                    left = 2 ** (count - 1 - index)
                    x = resized(x, (-(-height // left), -(-width // left)))
            total = x if total is None else total + x
        return resized(self.predictor(total), size)


class PanopticFPN(TwoStage):
    """A detector with masks, and a semantic branch on its pyramid.

    `detect` gives `semantic` beside the detections: logits `(stuff + 1, h, w)` of an image, the last class being all
    things, for `merge_segments`. `forward` gives them as its last tensor, `(N, stuff + 1, H, W)`.

    Args:
        detector: with a pyramid and masks; its parts become parts of this.
        num_stuff: classes of stuff.
        channels: of the semantic branch.
        semantic_weight: of its loss.
    """

    def __init__(
        self, detector: TwoStage, num_stuff: int, *, channels: int = 128, semantic_weight: float = SEMANTIC_WEIGHT
    ) -> None:
        if not detector.roi_heads.has_mask():
            raise InputError("A detector without masks cannot divide an image into segments: take mask_rcnn.")
        if not isinstance(detector.neck, Neck):
            raise InputError("A detector without a pyramid has no maps for stuff: take mask_rcnn.")
        if num_stuff < 1:
            raise InputError(f"{num_stuff} classes of stuff cannot be learnt: give 1 or more, or train a detector.")
        parts = detector.backbone, detector.neck, detector.rpn, detector.roi_heads
        super().__init__(*parts, detector.num_classes, detector.proposals)
        self.num_stuff = num_stuff
        self.semantic_weight = semantic_weight
        self.semantic = SemanticBranch(detector.neck.channels, detector.neck.strides, num_stuff + 1, channels=channels)

    def losses(
        self,
        images: Tensor,
        sizes: Sequence[tuple[int, int]],
        targets: Sequence[Mapping[str, Tensor]],
        maps: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """The losses of the detector, and `loss_semantic` with its weight.

        Each target also has `semantic` `(h, w)` or larger: the index of the class of stuff, and 255 elsewhere.
        """
        maps = self.maps(images) if maps is None else maps
        height, width = images.shape[-2:]
        wanted = [
            semantic_target(target["semantic"], target["masks"], self.num_stuff, (height, width)) for target in targets
        ]
        loss = pixel_cross_entropy(self.logits(maps, (height, width)), torch.stack(wanted))
        return super().losses(images, sizes, targets, maps) | {"loss_semantic": self.semantic_weight * loss}

    def detect(
        self, images: Tensor, sizes: Sequence[tuple[int, int]], maps: Mapping[str, Tensor] | None = None
    ) -> list[dict[str, Tensor]]:
        """What is in each image; see `Detector.detect` and the class."""
        maps = self.maps(images) if maps is None else maps
        logits = self.logits(maps, (images.shape[-2], images.shape[-1]))
        found = super().detect(images, sizes, maps)
        return [
            result | {"semantic": one[:, :height, :width]}
            for result, one, (height, width) in zip(found, logits, sizes, strict=True)
        ]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The outputs of the detector, and logits of pixels `(N, stuff + 1, H, W)`."""
        maps = self.maps(images)
        height, width = images.shape[-2:]
        return *self.find(images, [(height, width)] * len(images), maps), self.logits(maps, (height, width))

    def logits(self, maps: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
        """The pyramid to logits of pixels `(N, stuff + 1, *size)`; the last, coarsest map is for boxes alone."""
        return self.semantic(list(maps.values())[: len(self.semantic.levels)], size)


def panoptic_fpn(
    backbone: Backbone,
    num_things: int,
    num_stuff: int,
    options: DetectorOptions | None = None,
    *,
    channels: int = 128,
    semantic_weight: float = SEMANTIC_WEIGHT,
) -> PanopticFPN:
    """Build Mask R-CNN for `num_things` classes of objects on a backbone, with a semantic branch; see `PanopticFPN`."""
    detector = faster_rcnn(backbone, num_things, options or DetectorOptions(), masks=True)
    return PanopticFPN(detector, num_stuff, channels=channels, semantic_weight=semantic_weight)


def semantic_target(semantic: Tensor, masks: Tensor, things: int, size: tuple[int, int]) -> Tensor:
    """What the semantic branch is to find: stuff, the class of all things where a mask is, and 255 elsewhere.

    Args:
        semantic: `(h, w)`: the class of stuff, or 255.
        masks: `(n, h, w)` of the things.
        things: index of their class.
        size: height and width to pad to, with 255.
    """
    semantic = semantic.as_subclass(Tensor).long()
    height, width = semantic.shape
    if height > size[0] or width > size[1] or (len(masks) and masks.shape[1:] != semantic.shape):
        raise InputError(
            f"A semantic map of {height} x {width} does not fit masks {tuple(masks.shape)} and images of {size[0]} x "
            f"{size[1]}: give all of an image the same size."
        )
    labelled = semantic[semantic != UNLABELLED]
    if labelled.numel() and not 0 <= int(labelled.min()) <= int(labelled.max()) < things:
        raise InputError(
            f"A semantic map has classes from {int(labelled.min())} to {int(labelled.max())}: give 0 to {things - 1}, "
            f"and {UNLABELLED} where there is no stuff."
        )
    covered = masks.as_subclass(Tensor).bool().any(0) if len(masks) else torch.zeros_like(semantic, dtype=torch.bool)
    wanted = semantic.masked_fill(covered & (semantic == UNLABELLED), things)
    return F.pad(wanted, (0, size[1] - width, 0, size[0] - height), value=UNLABELLED)


def merge_segments(
    detections: Mapping[str, Tensor],
    semantic: Tensor,
    size: tuple[int, int] | None = None,
    *,
    score_threshold: float = 0.5,
    overlap: float = 0.5,
    stuff_area: float = STUFF_AREA,
    scaled: bool = False,
) -> tuple[Tensor, list[Segment]]:
    """The segments of one image (Kirillov et al., "Panoptic Feature Pyramid Networks", CVPR 2019, section 3.1).

    Things come first, by score: of each its mask without the pixels that others have already, unless those are too
    large a share of it. Stuff has what is left, but for classes with few pixels. No segment has a pixel that stays
    over, or that the semantic branch takes for a thing which was not detected.

    Args:
        detections: `boxes` `(m, 4)`, `scores` `(m,)`, `labels` `(m,)`, `masks` `(m, s, s)` within the boxes, in pixels
            of `semantic`.
        semantic: logits `(C, h, w)` of classes of stuff; the last is that of all things.
        size: height and width of the result, by default those of `semantic`.
        score_threshold: detections below are left out.
        overlap: share of a mask that others may have already, at most.
        stuff_area: pixels that a class of stuff has at least.
        scaled: whether that is for an image of 640 x 480 pixels, and grows and shrinks with the image.

    Returns:
        A map `(H, W)` int64 of ids, 0 where there is no segment, and the segments; an id is the index in that list,
        counted from 1. The score of stuff is the mean probability of its pixels.

    Raises:
        InputError: shapes do not fit, or an option is out of range.
    """
    check_range("score_threshold", score_threshold, 0, 1)
    check_range("overlap", overlap, 0, 1)
    check_range("stuff_area", stuff_area, 0)
    shapes = {name: tuple(detections[name].shape) for name in ("boxes", "scores", "labels", "masks")}
    count = len(detections["scores"])
    fit = [shapes["boxes"] == (count, 4), shapes["labels"] == (count,), shapes["masks"][:1] == (count,)]
    if semantic.ndim != 3 or not all(fit) or detections["masks"].ndim != 3:
        raise InputError(
            f"Detections of shapes {shapes} and a semantic map {tuple(semantic.shape)} do not fit: give (m, 4), (m,), "
            "(m,) and (m, s, s), and (C, h, w)."
        )
    now = (semantic.shape[-2], semantic.shape[-1])
    size = size or now
    boxes = resize_boxes(detections["boxes"], now, size)
    ids = torch.zeros(size, dtype=torch.int64, device=semantic.device)
    segments: list[Segment] = []
    for index in detections["scores"].argsort(descending=True, stable=True).tolist():
        score = float(detections["scores"][index])
        if score < score_threshold:
            break
        # One after the other: a hundred masks of a photo are a gigabyte.
        small = detections["masks"][index][None, None].float()
        mask = paste_masks_in_image(small, boxes[index][None], size)[0, 0] > 0.5
        free = mask & (ids == 0)
        area, left = int(mask.sum()), int(free.sum())
        if left == 0 or area - left > overlap * area:
            continue
        segments.append(_segment(len(segments) + 1, detections["labels"][index], True, score, left))
        ids[free] = len(segments)
    _add_stuff(ids, segments, semantic, stuff_area * (size[0] * size[1] / USUAL_AREA if scaled else 1))
    return ids, segments


def _add_stuff(ids: Tensor, segments: list[Segment], semantic: Tensor, min_area: float) -> None:
    """Give the pixels without a segment to those of stuff, in place."""
    height, width = ids.shape
    logits = semantic.float()
    if tuple(logits.shape[1:]) != (height, width):
        logits = F.interpolate(logits[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    probability, classes = logits.softmax(0).max(0)
    free = ids == 0
    count = len(semantic)
    areas = classes[free].bincount(minlength=count)[:-1]
    certainty = classes[free].bincount(probability[free].double(), minlength=count)[:-1]
    id_of = torch.zeros(count, dtype=torch.int64, device=ids.device)
    for label in (areas >= max(min_area, 1)).nonzero()[:, 0].tolist():
        area = int(areas[label])
        segments.append(_segment(len(segments) + 1, label, False, float(certainty[label]) / area, area))
        id_of[label] = len(segments)
    ids[free] = id_of[classes[free]]


def _segment(number: int, label: int | Tensor, thing: bool, score: float, area: int) -> Segment:
    return {"id": number, "label": int(label), "thing": thing, "score": score, "area": area}
