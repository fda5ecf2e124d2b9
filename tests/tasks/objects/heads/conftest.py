"""What the tests of detectors share."""

from __future__ import annotations

import pytest
import torch

from res2net.tasks.objects.heads.detector import build_detector
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.zoo import create_model

SMALL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "stem_channels": 8, "base_width": 32}
OPTIONS = {
    "anchor_sizes": (8, 16, 32, 64, 96),
    "fpn_channels": 16,
    "head_channels": 32,
    "proposals": 40,
    "proposals_train": 60,
    "rois_per_image": 32,
    "anchors_per_image": 64,
    "detections": 15,
}


def build_small(name, num_classes=3, **options):
    """A detector whose last layers see differences, with few detections above the threshold of 0.05 or so."""
    if name == "keypoint_rcnn":
        options = {"num_keypoints": 4, **options}
    backbone = create_model("res2net50_26w_4s", num_classes=0, **SMALL)
    detector = build_detector(name, backbone, num_classes, DetectorOptions(**{**OPTIONS, **options}))
    enlarge(detector)
    return detector.eval()


def enlarge(detector):
    """Weights far from where training starts, so that scores and boxes differ from place to place."""
    for part in (detector.rpn, detector.roi_heads):
        for name, parameter in part.named_parameters():
            parameter.data.normal_(std=0.1)
            if parameter.ndim > 1:
                # Features are positive: without a mean, what is made of them has either sign.
                around = parameter.data - parameter.data.flatten(1).mean(1).reshape(-1, *[1] * (parameter.ndim - 1))
                parameter.data = around * (3 / around[0].numel()) ** 0.5 / 0.1
            if "cls_score" in name:
                parameter.data /= 4  # each class has a chance


@pytest.fixture
def small_detector():
    """`small_detector("faster_rcnn")` is one for 2 CPU cores and three classes."""
    return build_small


@pytest.fixture
def objects():
    """Two objects in an image of 64 x 96 pixels, and none."""
    boxes = torch.tensor([[4.0, 4.0, 40.0, 50.0], [10.0, 20.0, 60.0, 60.0]])
    masks = torch.zeros(2, 64, 96, dtype=torch.bool)
    masks[0, 10:45, 10:40] = masks[1, 20:60, 20:50] = True
    keypoints = torch.rand(2, 4, 3) * torch.tensor([30.0, 30.0, 3.0]) + torch.tensor([10.0, 20.0, 0.0])
    keypoints[..., 2].floor_()
    some = {"boxes": boxes, "labels": torch.tensor([0, 2]), "masks": masks, "keypoints": keypoints}
    return some, {name: tensor[:0] for name, tensor in some.items()}
