"""The registry of detectors, and their options."""

import pytest

from res2net.errors import InputError
from res2net.tasks.objects.heads.detector import DETECTORS, build_detector
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.zoo import create_model


def test_every_detector_has_its_name():
    expected = {"faster_rcnn", "faster_rcnn_c4", "mask_rcnn", "keypoint_rcnn", "cascade_rcnn", "cascade_mask_rcnn"}
    assert expected <= set(DETECTORS)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="registered twice"):
        DETECTORS.register("faster_rcnn")(lambda *_: None)


@pytest.mark.parametrize(
    ("name", "backbone", "classes", "message"),
    [
        ("faster_rcn", "resnet14", 3, "did you mean 'faster_rcnn'"),
        ("faster_rcnn", "resnet14", 0, "cannot have 0 classes: give 1 or more"),
        ("faster_rcnn", "res2net3d50_26w_4s", 3, "this backbone is for signals of 3 dimensions"),
    ],
)
def test_what_does_not_fit(name, backbone, classes, message):
    with pytest.raises(InputError, match=message):
        build_detector(name, create_model(backbone, num_classes=0), classes)


@pytest.mark.parametrize(
    "options",
    [
        {"fpn_channels": 0},
        {"head_channels": 0},
        {"score_threshold": 1.5},
        {"nms_threshold": -0.1},
        {"detections": 0},
        {"proposals": 0},
        {"proposals_train": 0},
        {"rois_per_image": 0},
        {"anchors_per_image": 0},
        {"num_keypoints": -1},
    ],
)
def test_options_out_of_range(options):
    (name,) = options
    with pytest.raises(InputError, match=f"{name.replace('_', ' ')} .* is out of range"):
        DetectorOptions(**options)


@pytest.mark.parametrize("sizes", [(), (32, 0), (-1,)])
def test_anchors_without_a_size(sizes):
    with pytest.raises(InputError, match=r"Anchor sizes .* do not fit: give pixels"):
        DetectorOptions(anchor_sizes=sizes)
