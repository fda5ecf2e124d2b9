"""Detections go back to the image in its file."""

from __future__ import annotations

import json
import tracemalloc

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as oracle
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision import tv_tensors
from torchvision.models.detection.roi_heads import paste_masks_in_image

from res2net.images.joint_transforms import object_eval_transform
from res2net.images.run_lengths import encoded_masks, to_original
from res2net.weights.records import Preprocessing

sides = st.integers(1, 300)

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools


class Largest(TorchDispatchMode):
    """Remembers how many elements the largest tensor has that any operation gives."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.numel = max(self.numel, result.numel())
        return result


def boxes_in(size, count, seed):
    random = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, 2, generator=random).sort(1).values * torch.tensor(size[::-1])
    return corners.flatten(1)


@settings(deadline=None, max_examples=50)
@given(sides, sides, st.integers(1, 100), st.integers(0, 5), st.integers(0, 1000))
def test_what_evaluation_moves_comes_back(height, width, shorter, count, seed):
    size = (height, width)
    boxes, points = boxes_in(size, count, seed), boxes_in(size, count, seed + 1).view(count, 2, 2)
    target = {
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),
        "keypoints": tv_tensors.KeyPoints(points, canvas_size=size),
    }
    image = tv_tensors.Image(torch.zeros(3, height, width))
    _, target = object_eval_transform(Preprocessing(shorter), 200)(image, target)
    plain = {key: target[key].as_subclass(torch.Tensor) for key in ("boxes", "keypoints")} | {"scores": points}
    back = to_original(plain, target["size_now"], target["original_size"])
    torch.testing.assert_close(back["boxes"], boxes)
    torch.testing.assert_close(back["keypoints"], points)
    assert back["scores"] is points


def test_each_axis_has_its_scale_and_boxes_end_at_the_border():
    found = {"boxes": torch.tensor([[-1.0, 2, 41, 10]]), "keypoints": torch.tensor([[[8.0, 2], [-1, 4]]])}
    back = to_original(found, (20, 40), (50, 60))
    assert back["boxes"].tolist() == [[0, 5, 60, 25]]
    assert back["keypoints"].tolist() == [[[12, 5], [-1.5, 10]]]
    assert found["boxes"].tolist() == [[-1, 2, 41, 10]], "what was given is not changed"


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 80), st.integers(1, 80), st.integers(0, 4), st.sampled_from([5, 28]), st.integers(0, 1000))
def test_masks_are_those_of_torchvision_and_pycocotools(height, width, count, side, seed):
    boxes = boxes_in((height, width), count, seed)
    if count > 1:
        boxes[0] = torch.tensor([0.0, 0, width, height])
        boxes[1] = torch.tensor([width, height, width, height])
    masks = torch.rand(count, side, side, generator=torch.Generator().manual_seed(seed))
    found = list(encoded_masks(masks, boxes, (height, width)))
    pasted = paste_masks_in_image(masks[:, None], boxes, (height, width))[:, 0] > 0.5
    assert len(found) == count
    for encoded, mask in zip(found, pasted, strict=True):
        assert json.loads(json.dumps(encoded))["size"] == [height, width]
        assert (oracle.decode(encoded) == mask.numpy()).all()
        assert oracle.encode(mask.numpy().astype("uint8", order="F"))["counts"].decode() == encoded["counts"]


def test_the_threshold_is_exclusive():
    boxes = torch.tensor([[0.0, 0, 4, 4]])
    assert oracle.area(next(encoded_masks(torch.full((1, 28, 28), 0.5), boxes, (4, 4)))) == 0
    assert oracle.area(next(encoded_masks(torch.full((1, 28, 28), 0.5), boxes, (4, 4), threshold=0.4))) == 16


def test_many_masks_of_a_photo_need_the_memory_of_their_boxes():
    size, count = (1500, 2000), 30
    masks, boxes = torch.rand(count, 28, 28), boxes_in(size, count, 0) * 0.1
    tracemalloc.start()  # sees the memory of numpy, and the mode below that of torch
    with Largest() as largest:
        for encoded in encoded_masks(masks, boxes, size):
            assert encoded["size"] == [1500, 2000]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.2 * size[0] * size[1], "bytes"
    assert largest.numel < 0.1 * size[0] * size[1]


def test_no_detections_give_none():
    back = to_original({"boxes": torch.zeros(0, 4), "keypoints": torch.zeros(0, 5, 2)}, (10, 10), (20, 20))
    assert (back["boxes"].shape, back["keypoints"].shape) == ((0, 4), (0, 5, 2))
    assert list(encoded_masks(torch.zeros(0, 28, 28), back["boxes"], (20, 20))) == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_masks_of_half_precision_are_encoded(dtype):
    [encoded] = encoded_masks(torch.ones(1, 28, 28, dtype=dtype), torch.tensor([[1.0, 1, 9, 9]], dtype=dtype), (12, 12))
    assert oracle.area(encoded) > 60
