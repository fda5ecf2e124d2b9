"""The necks of detectors; the feature pyramid itself is held against torchvision with the detectors."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from res2net.errors import InputError
from res2net.tasks.objects.heads.detector import build_detector
from res2net.tasks.objects.heads.necks import HighResolutionNeck
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.zoo import create_model

SMALL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "stem_channels": 8, "base_width": 32}


def small_backbone():
    return create_model("res2net50_26w_4s", num_classes=0, **SMALL)


def hrfpn_of_mmdetection(maps, reduction, convolutions, stride):
    """HRFPN as MMDetection's `forward` computes it, with `num_outs` 5 and `pooling_type` AVG."""
    upsampled = [maps[0]]
    upsampled += [F.interpolate(maps[i], scale_factor=2**i, mode="bilinear") for i in range(1, len(maps))]
    out = F.conv2d(torch.cat(upsampled, 1), *reduction)
    pooled = [out, *(F.avg_pool2d(out, kernel_size=2**i, stride=2**i) for i in range(1, 5))]
    return [F.conv2d(pooled[i], *convolutions[i], stride=stride, padding=1) for i in range(5)]


@pytest.mark.parametrize("stride", [1, 2])
@torch.no_grad()
def test_hrfpn_is_that_of_mmdetection(stride):
    backbone = small_backbone()
    neck = HighResolutionNeck(backbone, 6, stride=stride)
    for parameter in neck.parameters():
        nn.init.normal_(parameter)
    features = backbone.eval().features(torch.rand(2, 3, 128, 192))
    weights = [(one.weight, one.bias) for one in neck.convolutions]
    expected = hrfpn_of_mmdetection(features[1:], (neck.reduction.weight, neck.reduction.bias), weights, stride)
    found = neck(features)
    assert [tuple(map_.shape[2:]) for map_ in found.values()][:2] == [
        (32 // stride, 48 // stride),
        (16 // stride, 24 // stride),
    ]
    assert neck.strides == [4 * stride, 8 * stride, 16 * stride, 32 * stride]
    assert list(found) == ["0", "1", "2", "3", "4"]
    for map_, right in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(map_, right)


@pytest.mark.parametrize(("side", "sides"), [(32, [8, 4, 2, 1, 1]), (96, [24, 12, 6, 3, 2]), (64, [16, 8, 4, 2, 1])])
def test_maps_of_small_images_are_not_empty(side, sides):
    backbone = small_backbone()
    neck = HighResolutionNeck(backbone, 4)
    maps = neck(backbone.features(torch.rand(2, 3, side, 64))).values()
    assert [tuple(map_.shape[2:]) for map_ in maps] == list(zip(sides, [16, 8, 4, 2, 1], strict=True))


@pytest.mark.slow
def test_hrfpn_sees_the_branches_of_an_hrnet():
    """The maps of 48, 96, 192 and 384 channels (here 18 to 144), not what widens them for the classifier."""
    with torch.device("meta"):
        backbone = create_model("hrnet_w18", num_classes=0)
        before = [tuple(map_.shape[1:]) for map_ in backbone.features(torch.empty(1, 3, 64, 96))]
        weights = sum(parameter.numel() for parameter in backbone.parameters())
        neck = HighResolutionNeck(backbone, 256)
        after = [tuple(map_.shape[1:]) for map_ in backbone.features(torch.empty(1, 3, 64, 96))]
    assert before == [(64, 32, 48), (128, 16, 24), (256, 8, 12), (512, 4, 6), (1024, 2, 3)]
    assert after == [(64, 32, 48), (18, 16, 24), (36, 8, 12), (72, 4, 6), (144, 2, 3)]
    assert [stage.channels for stage in backbone.stages] == [64, 18, 36, 72, 144]
    assert [stage.stride for stage in backbone.stages] == [2, 4, 8, 16, 32]
    assert neck.reduction.in_channels == 18 + 36 + 72 + 144
    assert weights - sum(parameter.numel() for parameter in backbone.parameters()) > 1_000_000


@pytest.mark.parametrize(
    ("detector", "strides"),
    [
        ("faster_rcnn", [4, 8, 16, 32, 64]),
        ("cascade_mask_rcnn", [4, 8, 16, 32, 64]),
        ("retinanet", [8, 16, 32, 64, 128]),
        ("fcos", [8, 16, 32, 64, 128]),
    ],
)
def test_every_detector_on_a_pyramid_learns_with_it(objects, detector, strides):
    sizes = {"fpn_channels": 64, "head_channels": 32, "proposals": 20, "proposals_train": 20}
    network = build_detector(detector, small_backbone(), 3, DetectorOptions(neck="hrfpn", **sizes)).train()
    images = torch.rand(2, 3, 128, 128)
    maps = network.neck(network.backbone.features(images))
    assert [128 // map_.shape[-1] for map_ in maps.values()] == strides
    losses = network.losses(images, [(128, 128), (64, 96)], objects)
    sum(losses.values()).backward()
    assert [name for name, one in network.neck.named_parameters() if one.grad is None or not one.grad.any()] == []
    assert len(network.eval()(images)[0]) == 2


def test_what_does_not_fit():
    with pytest.raises(InputError, match=r"faster_rcnn_c4 has no neck, such as hrfpn: leave out --neck, or choose"):
        build_detector("faster_rcnn_c4", small_backbone(), 3, DetectorOptions(neck="hrfpn"))
    with pytest.raises(InputError, match=r"'bifpn'.*fpn, hrfpn"):
        DetectorOptions(neck="bifpn")
    with pytest.raises(InputError, match=r"Stages \[9\] do not exist"):
        build_detector("faster_rcnn", small_backbone(), 3, DetectorOptions(neck="hrfpn", levels=(9,)))
