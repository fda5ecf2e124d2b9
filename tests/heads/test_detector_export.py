"""Detectors of two stages as exported programs and as ONNX."""

import numpy as np
import onnxruntime
import pytest
import torch

# Torchvision's rule for shapes of suppressed boxes, and what exporters say of their own code.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("faster_rcnn", {}),
        ("faster_rcnn_c4", {}),
        ("mask_rcnn", {"levels": (1, 2), "anchor_sizes": (16, 32, 64)}),
        ("keypoint_rcnn", {"levels": (2,), "anchor_sizes": (16, 32)}),
        ("cascade_rcnn", {"levels": (2,), "anchor_sizes": (16, 32)}),
    ],
)
@torch.no_grad()
def test_exported_detectors_find_the_same(small_detector, tmp_path, name, options):
    detector = small_detector(name, **options)
    traced, images = torch.rand(2, 1, 3, 64, 96)
    program = torch.export.export(detector, (traced,))
    torch.onnx.export(program, (), tmp_path / "detector.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "detector.onnx")
    (given,) = session.get_inputs()
    from_onnx = [torch.from_numpy(np.asarray(output)) for output in session.run(None, {given.name: images.numpy()})]
    expected = detector(images)
    for found in (program.module()(images), from_onnx):
        for output, right in zip(found, expected, strict=True):
            assert output.shape == right.shape
            torch.testing.assert_close(output, right, atol=1e-3, rtol=1e-4)
    boxes, scores, labels, *extras = from_onnx
    # And `detect` is the same without the places that have nothing.
    (result,) = detector.detect(images, [(64, 96)])
    count = len(result["boxes"])
    assert count > 0
    assert not scores[0, count:].any()
    torch.testing.assert_close(boxes[0, :count], result["boxes"], atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(scores[0, :count], result["scores"], atol=1e-4, rtol=1e-4)
    assert torch.equal(labels[0, :count], result["labels"])
    if name == "mask_rcnn":
        torch.testing.assert_close(extras[0][0, :count], result["masks"], atol=1e-3, rtol=1e-3)
    if name == "keypoint_rcnn":
        assert extras[0].shape == (1, boxes.shape[1], 4, 56, 56)
