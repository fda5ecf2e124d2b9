"""Detectors of two stages as exported programs and as ONNX."""

import numpy as np
import onnxruntime
import pytest
import torch

pytestmark = [
    # Torchvision's rule for shapes of suppressed boxes, and what exporters say of their own code.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

FEW = {"levels": (2, 3), "anchor_sizes": (16, 32, 64)}
ONE = {"levels": (2,), "anchor_sizes": (16, 32)}


def the_same(found, expected):
    for output, right in zip(found, expected, strict=True):
        assert output.shape == right.shape
        torch.testing.assert_close(output, right, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (("faster_rcnn", {}), ("keypoint_rcnn", ONE))),
        ("faster_rcnn_c4", {}),
        ("cascade_mask_rcnn", ONE),
    ],
)
@torch.no_grad()
def test_exported_programs_find_the_same(small_detector, name, options):
    detector = small_detector(name, **options)
    traced, images = torch.rand(2, 2, 3, 64, 96)
    program = torch.export.export(detector, (traced,))
    the_same(program.module()(images), detector(images))


@pytest.mark.parametrize(("name", "options"), [("faster_rcnn", FEW), ("mask_rcnn", ONE)])
@torch.no_grad()
@pytest.mark.slow
def test_onnx_finds_the_same(small_detector, tmp_path, name, options):
    detector = small_detector(name, **options)
    traced, images = torch.rand(2, 1, 3, 64, 96)
    program = torch.export.export(detector, (traced,))
    torch.onnx.export(program, (), tmp_path / "detector.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "detector.onnx")
    (given,) = session.get_inputs()
    found = [torch.from_numpy(np.asarray(output)) for output in session.run(None, {given.name: images.numpy()})]
    assert found[1].count_nonzero() > 3
    the_same(found, detector(images))


@pytest.mark.parametrize("name", ["faster_rcnn", "mask_rcnn", "keypoint_rcnn", "cascade_rcnn"])
@torch.no_grad()
def test_what_is_exported_is_what_is_detected(small_detector, name):
    """With images that fill the batch; the places behind it are empty."""
    detector = small_detector(name)
    images = torch.rand(2, 3, 64, 96)
    detector.roi_heads.score_thresh = float(detector(images)[1][0, 7])  # better is what comes before
    boxes, scores, labels, *extras = detector(images)
    results = detector.detect(images, [(64, 96)] * 2)
    assert len(results[0]["boxes"]) == 7
    for index, result in enumerate(results):
        count = len(result["boxes"])
        assert not scores[index, count:].any()
        assert not boxes[index, count:].any()
        assert torch.equal(boxes[index, :count], result["boxes"])
        assert torch.equal(scores[index, :count], result["scores"])
        assert torch.equal(labels[index, :count], result["labels"])
        if name == "mask_rcnn":
            assert torch.equal(extras[0][index, :count], result["masks"])
        if name == "keypoint_rcnn":
            torch.testing.assert_close(extras[0][index, :count], result["keypoints"], atol=1e-3, rtol=0)
            torch.testing.assert_close(extras[1][index, :count], result["keypoint_scores"], atol=1e-4, rtol=1e-4)
