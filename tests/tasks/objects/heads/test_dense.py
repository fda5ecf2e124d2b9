"""RetinaNet and FCOS, held against the whole detectors of torchvision with the same weights."""

from __future__ import annotations

import io

import numpy as np
import onnxruntime
import pytest
import torch
from torchvision.models.detection import fcos_resnet50_fpn, retinanet_resnet50_fpn
from torchvision.models.detection.image_list import ImageList

from res2net.errors import InputError
from res2net.tasks.objects.heads.detector import build_detector
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.zoo import create_model

NAMES = ["retinanet", "fcos"]
SMALL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "stem_channels": 8, "base_width": 32}
THEIRS = {"retinanet": retinanet_resnet50_fpn, "fcos": fcos_resnet50_fpn}
# Torchvision rounds up to multiples of 32 too; the second image is padded.
SIZES = [(128, 160), (100, 130)]
OBJECTS = [
    {
        "boxes": torch.tensor([[5.0, 8, 70, 100], [40, 30, 90, 60], [100, 90, 130, 127]]),
        "labels": torch.tensor([3, 0, 6]),
    },
    {"boxes": torch.tensor([[20.0, 10, 21, 11]]), "labels": torch.tensor([2])},
]
NOTHING = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}


def small(name, **options):
    """A detector for 2 CPU cores and three classes, whose scores and boxes differ from place to place."""
    torch.manual_seed(0)
    backbone = create_model("res2net50_26w_4s", num_classes=0, **SMALL)
    options = {"fpn_channels": 32, "proposals": 50, "detections": 20, **options}
    detector = build_detector(name, backbone, 3, DetectorOptions(**options))
    detector.eval()
    with torch.no_grad():
        spread(detector.head, list(detector.neck(detector.backbone.features(scene())).values()))
    return detector


@torch.no_grad()
def spread(head, maps):
    """Weights far from where training starts: scores around 0.2, and boxes of all sizes."""
    for layer in head.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight.normal_(std=(2 / layer.weight[0].numel()) ** 0.5)
    outputs = head(maps)
    last = {"cls_logits": head.classification_head.cls_logits, "bbox_regression": head.regression_head.bbox_reg}
    for name, layer in last.items():
        layer.weight /= outputs[name].std() * (1 if name == "cls_logits" else 3)
    last["cls_logits"].bias.fill_(-1.5)
    if "bbox_ctrness" in outputs:
        last["bbox_regression"].bias.fill_(1.5)


def scene():
    images = torch.randn(2, 3, 128, 160, generator=torch.Generator().manual_seed(1))
    images[1, :, 100:] = images[1, :, :, 130:] = 0
    return images


class Pair:
    """Torchvision's detector of seven classes, and ours with its weights."""

    def __init__(self, name):
        torch.manual_seed(0)
        thresholds = {"score_thresh": 0.3, "nms_thresh": 0.5, "detections_per_img": 40, "topk_candidates": 300}
        self.theirs = THEIRS[name](weights=None, weights_backbone=None, num_classes=7, **thresholds).eval()
        with torch.no_grad():
            spread(self.theirs.head, list(self.theirs.backbone(scene()).values()))
        backbone = create_model("resnet50", num_classes=0)
        options = DetectorOptions(score_threshold=0.3, nms_threshold=0.5, detections=40, proposals=300)
        self.ours = build_detector(name, backbone, 7, options).eval()
        self.ours.backbone.load_state_dict(self.theirs.backbone.body.state_dict())
        self.ours.neck.fpn.load_state_dict(self.theirs.backbone.fpn.state_dict())
        self.ours.head.load_state_dict(self.theirs.head.state_dict())

    def outputs(self, images):
        """What their forward computes behind its resizing: outputs and anchors, and counts of those of each map."""
        maps = list(self.theirs.backbone(images).values())
        outputs, anchors = self.theirs.head(maps), self.theirs.anchor_generator(ImageList(images, SIZES), maps)
        cells = [map_.shape[2] * map_.shape[3] for map_ in maps]
        return outputs, anchors, [count * len(anchors[0]) // sum(cells) for count in cells]


@pytest.fixture(scope="module", params=NAMES)
def pair(request):
    return Pair(request.param)


class TestAgainstTorchvision:
    def test_losses_are_the_same(self, pair):
        outputs, anchors, counts = pair.outputs(scene())
        more = [counts] if type(pair.theirs).__name__ == "FCOS" else []
        expected = pair.theirs.compute_loss(OBJECTS, outputs, anchors, *more)
        losses = pair.ours.losses(scene(), SIZES, OBJECTS)
        assert set(losses) == {f"loss_{name}" for name in expected}
        for name, loss in expected.items():
            assert loss > 0
            torch.testing.assert_close(losses[f"loss_{name}"], loss, atol=1e-5, rtol=1e-5)

    @torch.no_grad()
    def test_detections_are_the_same(self, pair):
        outputs, anchors, counts = pair.outputs(scene())
        levels = {name: list(output.split(counts, 1)) for name, output in outputs.items()}
        expected = pair.theirs.postprocess_detections(levels, [list(one.split(counts)) for one in anchors], SIZES)
        found = pair.ours.detect(scene(), SIZES)
        for ours, theirs in zip(found, expected, strict=True):
            # Of boxes that lie in the padding nothing is left, which is no detection here.
            real = (theirs["boxes"][:, 2:] - theirs["boxes"][:, :2] >= 0.01).all(1)
            count = int(real.sum())
            assert 10 < count <= len(ours["boxes"])
            assert len(theirs["labels"][real].unique()) > 1
            for key in ("boxes", "scores", "labels"):
                torch.testing.assert_close(ours[key][:count], theirs[key][real], atol=1e-4, rtol=1e-5)

    def test_parameters_are_as_many(self, pair):
        ours, theirs = (sum(p.numel() for p in model.parameters()) for model in (pair.ours, pair.theirs))
        assert ours == theirs

    def test_of_coco_they_are_as_many_as_published(self, pair):
        """With the classes that torchvision's weights for COCO have."""
        name, published = {"RetinaNet": ("retinanet", 34014999), "FCOS": ("fcos", 32269600)}[type(pair.theirs).__name__]
        with torch.device("meta"):
            model = build_detector(name, create_model("resnet50", num_classes=0), 91)
        # Theirs counts frozen normalisations as no parameters.
        norms = sum(p.numel() for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d) for p in m.parameters())
        assert sum(p.numel() for p in model.parameters()) - norms == published


@pytest.mark.parametrize("name", NAMES)
class TestTargets:
    @pytest.mark.parametrize("targets", [[NOTHING, NOTHING], [OBJECTS[1], NOTHING]], ids=["none", "one pixel"])
    def test_losses_of_few_objects_are_numbers_to_learn_from(self, name, targets):
        detector = small(name).train()
        losses = detector.losses(scene(), SIZES, targets)
        sum(losses.values()).backward()
        assert all(torch.isfinite(loss) for loss in losses.values())
        assert losses["loss_classification"] > 0
        gradients = [parameter.grad for parameter in detector.parameters() if parameter.grad is not None]
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        if not len(targets[0]["boxes"]):
            assert losses["loss_bbox_regression"] == 0

    def test_boxes_without_an_area_are_left_out(self, name):
        detector = small(name)
        flat = {"boxes": torch.tensor([[20.0, 10, 20, 50], [30, 40, 90, 90]]), "labels": torch.tensor([1, 2])}
        whole = {key: value[1:] for key, value in flat.items()}
        expected = detector.losses(scene(), SIZES, [whole, NOTHING])
        assert detector.losses(scene(), SIZES, [flat, NOTHING]) == expected

    def test_losses_fall_on_one_image(self, name):
        detector = small(name).train()
        optimizer = torch.optim.Adam(detector.parameters(), 1e-3)
        target = {**OBJECTS[0], "labels": torch.tensor([0, 1, 2])}
        totals = []
        for _ in range(12):
            loss = sum(detector.losses(scene()[:1], SIZES[:1], [target]).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            totals.append(loss.item())
        assert totals[-1] < 0.7 * totals[0]


@pytest.mark.parametrize("name", NAMES)
class TestDetections:
    @torch.no_grad()
    def test_they_are_within_their_image_and_the_best_first(self, name):
        for found, (height, width) in zip(small(name).detect(scene(), SIZES), SIZES, strict=True):
            boxes, scores = found["boxes"], found["scores"]
            assert 1 < len(boxes) <= 20
            assert (boxes >= 0).all()
            assert (boxes <= torch.tensor([width, height] * 2)).all()
            assert (scores.diff() <= 0).all()
            assert (scores > 0.05).all()
            assert found["labels"].dtype == torch.int64

    @torch.no_grad()
    def test_there_may_be_none(self, name):
        for found in small(name, score_threshold=1.0).detect(scene(), SIZES):
            assert found["boxes"].shape == (0, 4)
            assert found["scores"].shape == found["labels"].shape == (0,)

    @torch.no_grad()
    def test_half_precision_computes_boxes_in_full(self, name):
        with torch.autocast("cpu", torch.bfloat16):
            found = small(name).detect(scene(), SIZES)
            losses = small(name).losses(scene(), SIZES, [NOTHING, NOTHING])
        assert all(one["boxes"].dtype == one["scores"].dtype == torch.float32 for one in found)
        assert all(torch.isfinite(loss) for loss in losses.values())

    # Torchvision's rule for shapes of suppressed boxes, and what exporters say of their own code.
    @pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
    @torch.no_grad()
    @pytest.mark.slow
    def test_exports_find_what_detect_does(self, name):
        detector, images = small(name, levels=(2,)), scene()[:1]
        expected = detector.detect(images, [(128, 160)])
        assert len(expected[0]["scores"]) > 1
        program = torch.export.export(detector, (images,))
        written = io.BytesIO()
        torch.onnx.export(program, dynamo=True, verbose=False).save(written)
        session = onnxruntime.InferenceSession(written.getvalue(), providers=["CPUExecutionProvider"])
        by_onnx = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        for outputs in (detector(images), program.module()(images), map(torch.from_numpy, by_onnx)):
            boxes, scores, labels = outputs
            assert boxes.shape == (1, 20, 4)
            assert scores.shape == labels.shape == (1, 20)
            for index, found in enumerate(expected):
                count = len(found["scores"])
                assert (scores[index, count:] == 0).all()
                np.testing.assert_allclose(boxes[index, :count], found["boxes"], atol=1e-3)
                np.testing.assert_allclose(scores[index, :count], found["scores"], atol=1e-5)
                assert labels[index, :count].tolist() == found["labels"].tolist()


class TestOptions:
    def test_levels_and_anchors_can_be_smaller(self):
        detector = small("retinanet", levels=(1, 2), anchor_sizes=(8, 16, 32, 64))
        assert detector.neck.levels == (1, 2)
        assert [cells[:, 2].max().item() for cells in detector.anchor_generator.cell_anchors] == [8, 18, 35, 71]
        assert detector(torch.zeros(1, 3, 64, 64))[0].shape == (1, 20, 4)

    def test_mistakes_are_told(self):
        with pytest.raises(InputError, match="3 anchor sizes do not fit the 5 maps of RetinaNet, of strides"):
            small("retinanet", anchor_sizes=(8, 16, 32))
        with pytest.raises(InputError, match=r"FCOS cannot have 40 fpn channels.* multiple of 32"):
            small("fcos", fpn_channels=40)
