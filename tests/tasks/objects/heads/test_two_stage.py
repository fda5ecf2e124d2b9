"""Detectors of two stages, held against torchvision's own."""

import pytest
import torch
import torchvision.models.detection as theirs
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection import FasterRCNN, KeypointRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from res2net.adapters.torchvision import BackboneWithFPN
from res2net.errors import InputError
from res2net.tasks.objects.heads.detector import build_detector
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.zoo import create_model

ON_PYRAMID = ["faster_rcnn", "mask_rcnn", "keypoint_rcnn"]
EVERY = [*ON_PYRAMID, "faster_rcnn_c4", "cascade_rcnn", "cascade_mask_rcnn"]
SIZES = [(64, 96), (50, 80)]


def torchvision_names(state):
    """Ours are without torchvision's wrapping of the backbone with its pyramid."""
    return {
        name.replace("backbone.body.", "backbone.").replace("backbone.fpn.", "neck.fpn."): tensor
        for name, tensor in state.items()
    }


def torchvisions(name, ours):
    """Torchvision's detector of the same sizes and weights, for images that are ready."""
    heads = ours.roi_heads
    extras = {}
    if name == "mask_rcnn":
        extras = {"mask_head": MaskRCNNHeads(16, (16,) * 4, 1), "mask_predictor": MaskRCNNPredictor(16, 16, 4)}
    if name == "keypoint_rcnn":
        predictor = KeypointRCNNPredictor(32, 4)
        extras = {"keypoint_head": KeypointRCNNHeads(16, (32,) * 8), "keypoint_predictor": predictor}
    model = {"faster_rcnn": FasterRCNN, "mask_rcnn": MaskRCNN, "keypoint_rcnn": KeypointRCNN}[name](
        BackboneWithFPN(ours.backbone, out_channels=16),
        min_size=64,
        max_size=96,
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
        rpn_anchor_generator=AnchorGenerator(((8,), (16,), (32,), (64,), (96,)), ((0.5, 1.0, 2.0),) * 5),
        rpn_pre_nms_top_n_train=60,
        rpn_pre_nms_top_n_test=40,
        rpn_post_nms_top_n_train=60,
        rpn_post_nms_top_n_test=40,
        rpn_batch_size_per_image=64,
        box_batch_size_per_image=32,
        box_detections_per_img=heads.detections_per_img,
        box_head=TwoMLPHead(16 * 49, 32),
        box_predictor=theirs.faster_rcnn.FastRCNNPredictor(32, 4),
        **extras,
    )
    known = ours.state_dict()
    model.load_state_dict({name: known[torchvision_names({name: 0}).popitem()[0]] for name in model.state_dict()})
    assert model.roi_heads.score_thresh == heads.score_thresh == 0.05
    return model.eval()


@pytest.mark.parametrize("name", ON_PYRAMID)
@torch.no_grad()
def test_detections_are_torchvisions(small_detector, name):
    ours = small_detector(name, detections=40)
    images = torch.rand(2, 3, 64, 96)
    found = ours.detect(images, [(64, 96)] * 2)
    expected = torchvisions(name, ours)(list(images))
    assert sum(len(result["boxes"]) for result in expected) > 10
    assert len({int(label) for result in expected for label in result["labels"]}) > 1
    for result, right in zip(found, expected, strict=True):
        torch.testing.assert_close(result["boxes"], right["boxes"], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(result["scores"], right["scores"])
        assert torch.equal(result["labels"] + 1, right["labels"])
        if name == "mask_rcnn":
            pasted = paste_masks_in_image(result["masks"][:, None], result["boxes"], (64, 96))
            torch.testing.assert_close(pasted, right["masks"], atol=1e-4, rtol=1e-4)
        if name == "keypoint_rcnn":
            torch.testing.assert_close(result["keypoints"], right["keypoints"][..., :2], atol=1e-3, rtol=1e-5)
            torch.testing.assert_close(result["keypoint_scores"], right["keypoints_scores"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ON_PYRAMID)
@pytest.mark.parametrize("training", [True, False])
def test_losses_are_torchvisions(small_detector, objects, name, training):
    """Also in evaluation, where torchvision gives none: a validation can have its loss."""
    ours = small_detector(name)
    reference = torchvisions(name, ours).train()
    for norm in (module for module in reference.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.eval()
    ours.rpn.training = ours.roi_heads.training = training
    images = torch.rand(2, 3, 64, 96)
    for module in (ours.neck, reference.backbone):  # then both draw the same anchors and regions
        module.register_forward_hook(lambda *_: (torch.manual_seed(1), None)[1])
    losses = ours.losses(images, [(64, 96)] * 2, objects)
    expected = reference(list(images), [{**target, "labels": target["labels"] + 1} for target in objects])
    assert set(losses) == set(expected)
    for part, right in expected.items():
        assert right > 0.01
        torch.testing.assert_close(losses[part], right, atol=1e-5, rtol=1e-5)
    assert ours.rpn.training is ours.roi_heads.training is training


@pytest.mark.parametrize(
    ("name", "build", "classes", "options"),
    [
        ("faster_rcnn", theirs.fasterrcnn_resnet50_fpn, 90, {}),
        ("mask_rcnn", theirs.maskrcnn_resnet50_fpn, 90, {}),
        ("keypoint_rcnn", theirs.keypointrcnn_resnet50_fpn, 1, {"num_keypoints": 17}),
    ],
)
def test_full_size_is_torchvisions(name, build, classes, options):
    with torch.device("meta"):
        ours = build_detector(name, create_model("resnet50", num_classes=0), classes, DetectorOptions(**options))
        reference = build(weights=None, weights_backbone=None, num_classes=classes + 1)
        shapes = {name: tensor.shape for name, tensor in torchvision_names(reference.state_dict()).items()}
        assert {name: tensor.shape for name, tensor in ours.state_dict().items()} == shapes
        # Numbers that torchvision writes beside its weights, whose frozen normalisations have no parameters.
        known = {"faster_rcnn": 41_755_286, "mask_rcnn": 44_401_393, "keypoint_rcnn": 59_137_258}[name]
        frozen = resnet_fpn_backbone(backbone_name="resnet50", weights=None)
    norms = sum(p.numel() for n, p in reference.named_parameters() if "bn" in n or "downsample.1" in n)
    assert not any("bn" in name for name, _ in frozen.named_parameters())
    assert sum(parameter.numel() for parameter in ours.parameters()) - norms == known


@pytest.mark.parametrize(
    ("backbone", "options", "million_parameters", "gflops"),
    [
        ("resnet101", {}, 60.52, 283.14),
        ("res2net101d", {"graph": "mmdet"}, 61.18, 293.68),
        ("hrnet_w48", {}, 83.36, 459.66),
    ],
)
@torch.no_grad()
def test_counts_are_those_of_mmdetection(backbone, options, million_parameters, gflops):
    """As MMDetection counts: what is trained, with the stem and the first stage frozen, and a multiply-add once.

    A normalisation has two operations for each input, a ReLU or a pooling one. 1000 regions are looked at. Its HRNet
    has the neck HRFPN, and nothing frozen.
    """
    branched = backbone.startswith("hrnet")
    with torch.device("meta"):
        network = create_model(backbone, num_classes=0, **options).freeze(0 if branched else 2)
        neck = DetectorOptions(neck="hrfpn" if branched else "fpn")
        detector = build_detector("faster_rcnn", network, 80, neck).eval()
        learned = sum(parameter.numel() for parameter in detector.parameters() if parameter.requires_grad)
        cheap = 0

        def add(module, inputs, _output):
            nonlocal cheap
            cheap += inputs[0].numel() * (2 if isinstance(module, nn.BatchNorm2d) else 1)

        for module in detector.modules():
            if isinstance(module, nn.BatchNorm2d | nn.ReLU | nn.MaxPool2d | nn.AvgPool2d):
                module.register_forward_hook(add)
        with FlopCounterMode(display=False) as counter:
            maps = detector.neck(detector.backbone.features(torch.empty(1, 3, 800, 1280)))
            detector.rpn.head(list(maps.values()))
            heads = detector.roi_heads
            heads.box_predictor(heads.box_head(torch.empty(1000, 256, 7, 7)))
    assert learned / 1e6 == pytest.approx(million_parameters, abs=0.005)
    assert (counter.get_total_flops() / 2 + cheap) / 1e9 == pytest.approx(gflops, rel=1e-3)


@pytest.mark.parametrize("name", EVERY)
def test_every_part_learns_also_without_objects(small_detector, objects, name):
    detector = small_detector(name).train()
    images = torch.rand(2, 3, 64, 96)
    losses = detector.losses(images, SIZES, objects)
    sum(losses.values()).backward()
    without = [n for n, p in detector.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []
    assert any(p.grad.any() for p in detector.backbone.parameters())
    # A batch without any object still says what is background.
    losses = detector.losses(images, SIZES, [objects[1]] * 2)
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["loss_objectness"] > 0
    assert losses["loss_rpn_box_reg"] == 0


@pytest.mark.parametrize("name", EVERY)
@torch.no_grad()
def test_results_keep_to_what_is_promised(small_detector, name):
    detector = small_detector(name, score_threshold=0.2)
    images = torch.rand(2, 3, 64, 96)
    images[1, :, 50:] = images[1, :, :, 80:] = 0
    found = detector.detect(images, SIZES)
    assert any(len(result["boxes"]) for result in found)
    for result, (height, width) in zip(found, SIZES, strict=True):
        boxes, scores = result["boxes"], result["scores"]
        assert len(boxes) == len(scores) == len(result["labels"]) <= 15
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor([width, height, width, height])).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert (scores > 0.2).all()
        assert (scores.diff() <= 0).all()
        assert result["labels"].dtype == torch.int64
        assert set(result["labels"].tolist()) <= {0, 1, 2}
        if "mask" in name:
            assert result["masks"].shape == (len(boxes), 28, 28)
            assert ((result["masks"] >= 0) & (result["masks"] <= 1)).all()
        if "keypoint" in name:
            assert result["keypoints"].shape == (len(boxes), 4, 2)
            assert result["keypoint_scores"].shape == (len(boxes), 4)


@torch.no_grad()
def test_padding_changes_no_size(small_detector):
    """Strides are those of the backbone, whatever the first images were: torchvision's pools guess them."""
    images = torch.rand(1, 3, 64, 64)
    one, other = small_detector("faster_rcnn"), small_detector("faster_rcnn")
    other.load_state_dict(one.state_dict())
    one.detect(images, [(33, 33)])
    for found, right in zip(one(images), other(images), strict=True):
        assert torch.equal(found, right)


@torch.no_grad()
def test_c4_looks_at_regions_with_the_last_stage(small_detector):
    detector = small_detector("faster_rcnn_c4")
    network = create_model("res2net50_26w_4s", num_classes=0, layers=[1] * 4, channels=[8] * 4, stem_channels=8)
    assert [len(list(module.parameters())) for module in detector.backbone.stage_modules()[-1]] == [0]
    stage = detector.roi_heads.box_head.stage
    assert {name for name, _ in stage[0].named_parameters()} == {n for n, _ in network.layer4.named_parameters()}
    images = torch.rand(1, 3, 64, 96)
    maps = detector.neck(detector.backbone.features(images))
    assert {name: tuple(map_.shape[1:]) for name, map_ in maps.items()} == {"0": (32, 4, 6)}
    regions = detector.roi_heads.box_roi_pool(maps, [torch.tensor([[0.0, 0.0, 64.0, 64.0]])], [(64, 96)])
    assert regions.shape == (1, 32, 14, 14)
    assert stage(regions).shape == (1, 32, 7, 7)
    torch.testing.assert_close(detector.roi_heads.box_head(regions), stage(regions).mean((2, 3)))
    # With all sizes of anchors on one map.
    assert detector.rpn.anchor_generator.num_anchors_per_location() == [15]


def test_boxes_are_exact_under_autocast(small_detector, objects):
    """Anchors and proposals would be of bfloat16, which has whole pixels up to 256 only."""
    detector = small_detector("faster_rcnn").train()
    given = {}
    detector.roi_heads.register_forward_pre_hook(lambda _module, inputs: given.update(proposals=inputs[1]))
    with torch.autocast("cpu", torch.bfloat16):
        losses = detector.losses(torch.rand(2, 3, 64, 96), SIZES, objects)
    assert all(proposals.dtype == torch.float32 for proposals in given["proposals"])
    assert all(loss.isfinite() for loss in losses.values())
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        (result,) = detector.detect(torch.rand(1, 3, 64, 96), [(64, 96)])
    assert result["boxes"].dtype == torch.float32


def test_bad_options(small_detector):
    with pytest.raises(InputError, match="3 anchor sizes do not fit 5 maps of strides"):
        small_detector("faster_rcnn", anchor_sizes=(8, 16, 32))
    with pytest.raises(InputError, match="Keypoint R-CNN has 0 keypoints to find: give num keypoints"):
        small_detector("keypoint_rcnn", num_keypoints=0)
    with pytest.raises(InputError, match=r"Stages \[7\] do not exist"):
        small_detector("mask_rcnn", levels=(7,))
    with torch.device("meta"), pytest.raises(InputError, match="has no last stage to look at regions with"):
        build_detector("faster_rcnn_c4", create_model("vgg16", num_classes=0), 3)


def test_usual_anchors_are_the_papers():
    with torch.device("meta"):
        detector = build_detector("faster_rcnn", create_model("resnet50", num_classes=0), 3)
    assert detector.rpn.anchor_generator.sizes == ((32,), (64,), (128,), (256,), (512,))
