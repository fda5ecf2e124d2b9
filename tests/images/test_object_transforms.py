"""Boxes, masks and keypoints go where the pixels go."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import tv_tensors
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms import v2

from res2net.images import Jpeg, collate
from res2net.images.joint_geometry import View, resized_size, viewed_target
from res2net.images.joint_transforms import ObjectAugment, object_eval_transform, object_train_transform
from res2net.images.shapes.dataset import Shapes
from res2net.weights.records import Preprocessing

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
SAME = Preprocessing(40, **PLAIN)  # an image 40 pixels high is not resized
ALWAYS = ObjectAugment(flip=1.0)
NEVER = ObjectAugment(flip=0.0)
sides = st.integers(1, 200)


def noise(height, width, seed=0):
    return tv_tensors.Image(
        torch.randint(0, 256, (3, height, width), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)
    )


def target_of(boxes, size, **entries):
    """Objects that fill their boxes, which have whole numbers."""
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    edges = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return {
        "boxes": tv_tensors.BoundingBoxes(edges, format="XYXY", canvas_size=size),
        "labels": torch.arange(len(boxes)),
        "masks": tv_tensors.Mask(masks),
        "crowd": torch.zeros(len(boxes), dtype=torch.bool),
        "area": (edges[:, 2:] - edges[:, :2]).prod(1),
        "index": 3,
    } | entries


def points_of(points, size):
    return tv_tensors.KeyPoints(torch.tensor(points, dtype=torch.float32), canvas_size=size)


@settings(deadline=None, max_examples=60)
@given(sides, sides, st.integers(1, 60), st.integers(0, 60))
def test_the_size_is_that_of_faster_rcnn(height, width, shorter, more):
    theirs = GeneralizedRCNNTransform(shorter, shorter + more, [0.0], [1.0])
    found = resized_size(height, width, shorter, shorter + more)
    scale = min(shorter / min(height, width), (shorter + more) / max(height, width))
    if min(height, width) * scale < 1:
        assert min(found) == 1, "theirs cannot resize it"
        return
    expected = theirs.resize(torch.zeros(1, height, width))[0].shape[-2:]
    # By floats, theirs can miss a whole number by one pixel.
    assert all(
        ours == side or (ours == side + 1 and abs(ours - given * scale) < 1e-9)
        for ours, side, given in zip(found, expected, (height, width), strict=True)
    )


@pytest.mark.parametrize(
    ("given", "limits", "expected"),
    [
        ((480, 640), (800, 1333), (800, 1066)),
        ((640, 427), (800, 1333), (1199, 800)),
        ((500, 353), (800, 1000), (1000, 706)),
        ((300, 3000), (800, 1333), (133, 1333)),
        ((1, 500), (10, 20), (1, 20)),
        ((427, 427), (800, 800), (800, 800)),
    ],
)
def test_sizes_by_hand(given, limits, expected):
    assert resized_size(*given, *limits) == expected


@pytest.mark.parametrize("kind", ["pil", "tensor"])
def test_evaluation_is_resize_and_normalisation_of_torchvision(kind):
    image, size = noise(30, 50), (24, 40)
    full_image = v2.functional.to_pil_image(image) if kind == "pil" else image
    preprocessing = Preprocessing(24)
    result, target = object_eval_transform(preprocessing)(full_image, target_of([[10, 5, 30, 20]], (30, 50)))
    steps = [v2.Resize(size), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    expected = v2.Compose([*steps, v2.Normalize(preprocessing.mean, preprocessing.std)])(full_image)
    torch.testing.assert_close(result, expected)
    assert (target["original_size"], target["size_now"], target["index"]) == ((30, 50), size, 3)
    assert type(target["original_size"]) is tuple
    assert target["boxes"].tolist() == [[8, 4, 24, 16]]
    assert target["boxes"].canvas_size == size
    assert target["area"].tolist() == pytest.approx([20 * 15 * 0.8**2])
    assert torch.equal(object_eval_transform(preprocessing)(full_image), result), "an image alone"


@settings(deadline=None, max_examples=30)
@given(sides, sides, st.integers(1, 60), st.integers(0, 4), st.integers(0, 1000))
def test_objects_follow_as_those_of_torchvisions_detectors(height, width, shorter, count, seed):
    random = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, 2, generator=random).sort(1).values * torch.tensor([width, height])
    masks = torch.rand(count, height, width, generator=random) < 0.5
    points = torch.rand(count, 3, 2, generator=random) * torch.tensor([width, height])
    image = tv_tensors.Image(torch.rand(3, height, width, generator=random))
    ours = {
        "boxes": tv_tensors.BoundingBoxes(corners.flatten(1), format="XYXY", canvas_size=(height, width)),
        "masks": tv_tensors.Mask(masks),
        "keypoints": tv_tensors.KeyPoints(points, canvas_size=(height, width)),
    }
    result, ours = object_eval_transform(Preprocessing(shorter, **PLAIN), 300)(image, ours)
    # Their sizes can be one off: they are told ours.
    theirs = GeneralizedRCNNTransform(1, 1, [0.0] * 3, [1.0] * 3, fixed_size=tuple(result.shape[-2:])[::-1])
    expected = {"boxes": corners.flatten(1), "masks": masks, "keypoints": torch.cat([points, points[..., :1]], -1)}
    _, expected = theirs.resize(image.as_subclass(torch.Tensor), expected)
    torch.testing.assert_close(ours["boxes"].as_subclass(torch.Tensor), expected["boxes"])
    torch.testing.assert_close(ours["keypoints"].as_subclass(torch.Tensor), expected["keypoints"][..., :2])
    assert ours["masks"].dtype == torch.bool
    assert torch.equal(ours["masks"].as_subclass(torch.Tensor), expected["masks"].bool())
    assert all(ours[key].canvas_size == result.shape[-2:] for key in ("boxes", "keypoints"))


def test_a_jpeg_gives_what_its_image_gives():
    buffer = io.BytesIO()
    v2.functional.to_pil_image(noise(40, 60)).save(buffer, "JPEG", quality=95)
    jpeg = Jpeg(buffer.getvalue(), "a.jpg")
    full_image = Image.open(io.BytesIO(buffer.getvalue()))
    augment = ObjectAugment(crop=(0.5, 0.9), flip=1.0)
    for transform in (object_eval_transform(SAME), object_train_transform(Preprocessing(30, **PLAIN), augment)):
        results = []
        for image in (jpeg, full_image):
            torch.manual_seed(4)
            results.append(transform(image, target_of([[10, 5, 50, 38]], (40, 60))))
        assert torch.equal(results[0][0], results[1][0])
        assert torch.equal(results[0][1]["boxes"], results[1][1]["boxes"])
        assert results[0][1]["original_size"] == (40, 60)


def test_evaluation_keeps_tiny_objects_and_boxes_beyond_the_border():
    boxes = tv_tensors.BoundingBoxes([[7.0, 8, 8, 9], [-2.0, 3, 200, 9]], format="XYXY", canvas_size=(40, 80))
    _, target = object_eval_transform(Preprocessing(10, **PLAIN))(noise(40, 80), {"boxes": boxes})
    assert target["boxes"].tolist() == [[1.75, 2, 2, 2.25], [-0.5, 0.75, 50, 2.25]]


def test_training_drops_what_is_less_than_a_pixel_with_all_its_entries():
    boxes = [[7, 8, 8, 9], [4, 4, 20, 20], [0, 0, 4, 1], [30, 30, 40, 36]]
    target = target_of(
        boxes, (40, 80), difficult=torch.tensor([True, True, False, False]), visibility=torch.full((4, 2), 2)
    )
    target |= {"keypoints": points_of([[[5, 5], [6, 6]]] * 4, (40, 80))}
    _, small = object_train_transform(Preprocessing(10, **PLAIN), NEVER)(noise(40, 80), target)
    assert small["labels"].tolist() == [1, 3]
    assert small["difficult"].tolist() == [True, False]
    assert [len(small[key]) for key in ("boxes", "masks", "crowd", "area", "keypoints", "visibility")] == [2] * 6
    assert isinstance(small["boxes"], tv_tensors.BoundingBoxes)
    assert isinstance(small["masks"], tv_tensors.Mask)
    _, same = object_train_transform(SAME, NEVER)(noise(40, 80), target)
    assert same["labels"].tolist() == [0, 1, 2, 3], "an object of one pixel that is not made smaller"


def test_boxes_end_at_the_border_and_empty_ones_are_dropped():
    size = (40, 60)
    edges = [[-5.0, 2, 10, 70], [60.0, 3, 80, 9], [5.0, 5, 5, 9], [59.5, 0, 70, 9]]
    boxes = tv_tensors.BoundingBoxes(edges, format="XYXY", canvas_size=size)
    _, target = object_train_transform(SAME, NEVER)(noise(*size), {"boxes": boxes, "labels": torch.arange(4)})
    assert target["boxes"].tolist() == [[0, 2, 10, 40]]
    assert target["labels"].tolist() == [0]


@pytest.mark.parametrize("kind", ["pil", "tensor"])
def test_a_flip_mirrors_pixels_and_all_labels(kind):
    size = (40, 50)
    image = noise(*size)
    points = [[[10.5, 5.5], [12.0, 8.0], [20.0, 9.0]], [[30.0, 5.0], [40.0, 9.0], [45.0, 35.0]]]
    target = target_of([[10, 5, 30, 20], [28, 3, 47, 38]], size, keypoints=points_of(points, size))
    target |= {"visibility": torch.tensor([[2, 1, 0], [0, 2, 2]], dtype=torch.uint8)}
    target |= {"semantic": tv_tensors.Mask(torch.arange(40 * 50).reshape(size))}
    full_image = v2.functional.to_pil_image(image) if kind == "pil" else image
    result, flipped = object_train_transform(SAME, ALWAYS, flip_pairs=[(1, 2)])(full_image, target)
    assert torch.equal((result * 255).round().byte(), image.flip(-1))
    assert flipped["boxes"].tolist() == [[20, 5, 40, 20], [3, 3, 22, 38]]
    assert torch.equal(flipped["masks"], target["masks"].flip(-1))
    assert torch.equal(flipped["semantic"], target["semantic"].flip(-1))
    assert flipped["semantic"].dtype == torch.int64
    assert flipped["keypoints"].tolist() == [
        [[39.5, 5.5], [30, 9], [38, 8]],
        [[20, 5], [5, 35], [10, 9]],
    ]
    assert flipped["visibility"].tolist() == [[2, 0, 1], [0, 2, 2]]
    assert torch.equal(flipped["area"], target["area"])


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 3), st.integers(0, 1000))
def test_two_flips_are_none(height, width, count, seed):
    random = torch.Generator().manual_seed(seed)
    # Eighths are exact, also after subtraction.
    points = torch.randint(0, 8 * min(height, width) + 1, (count, 5, 2), generator=random) / 8
    corners = torch.randint(0, 8 * min(height, width) + 1, (count, 2, 2), generator=random).sort(1).values / 8
    target = {
        "boxes": tv_tensors.BoundingBoxes(corners.flatten(1), format="XYXY", canvas_size=(height, width)),
        "masks": tv_tensors.Mask(torch.rand(count, height, width, generator=random) < 0.5),
        "keypoints": tv_tensors.KeyPoints(points, canvas_size=(height, width)),
        "visibility": torch.randint(0, 3, (count, 5), generator=random).to(torch.uint8),
    }
    view, pairs = View(0, 0, height, width, (height, width), mirrored=True), [(0, 3), (2, 1)]
    twice = viewed_target(viewed_target(target, view, pairs), view, pairs)
    assert all(torch.equal(twice[key], target[key]) for key in target)


def test_points_at_the_edge_stay_and_points_beyond_lose_their_visibility():
    size = (40, 60)
    points = points_of([[[0, 0], [60, 40], [60.5, 3], [3, -0.5]]], size)
    target = target_of([[0, 0, 60, 40]], size, keypoints=points, visibility=torch.tensor([[1, 2, 2, 2]]))
    for augment in (NEVER, ALWAYS):
        _, seen = object_train_transform(SAME, augment)(noise(*size), target)
        assert seen["visibility"].tolist() == [[1, 2, 0, 0]]
    _, seen = object_eval_transform(SAME)(noise(*size), target)
    assert seen["visibility"].tolist() == [[1, 2, 2, 2]]


def seen_target(height, width, augment, seed, size=16):
    """A training sample whose image and semantic mask hold the place of each pixel, and its target."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    image = tv_tensors.Image(torch.stack([rows, columns, rows * 0]).to(torch.uint8))
    boxes = [[0, 0, width, height], [width // 3, height // 3, width // 3 * 2 + 1, height // 3 * 2 + 1]]
    points = points_of([[[width / 2, height / 2]]] * 2, (height, width))
    target = target_of(boxes, (height, width), keypoints=points, visibility=torch.full((2, 1), 2))
    target |= {"columns": tv_tensors.Mask(columns), "rows": tv_tensors.Mask(rows)}
    torch.manual_seed(seed)
    return object_train_transform(Preprocessing(size, **PLAIN, interpolation="nearest"), augment).geometry(
        image, target
    )


@settings(deadline=None, max_examples=60)
@given(st.integers(3, 60), st.integers(3, 60), st.integers(0, 10**6), st.booleans(), st.booleans())
def test_pixels_masks_boxes_and_points_agree_after_any_changes(height, width, seed, crop, jitter):
    augment = ObjectAugment(
        crop=(0.3, 1.0) if crop else None, jitter=(0.2, 2.0) if jitter else None, jitter_size=24, min_sizes=(9, 16, 30)
    )
    image, target = seen_target(height, width, augment, seed)
    now = target["size_now"]
    assert image.shape[-2:] == now
    assert (max(now) <= 24) if jitter else (min(now) in (9, 16, 30))
    rows, columns = target["rows"].long(), target["columns"].long()
    assert torch.equal(image[0], rows)
    assert torch.equal(image[1], columns)
    # The first object is the whole image: what is seen of it is the whole view.
    assert target["boxes"][0].tolist() == [0, 0, now[1], now[0]]
    assert target["masks"][0].all()
    assert target["area"][0] == pytest.approx(now[0] * now[1], rel=1e-4)
    if len(target["boxes"]) > 1:  # the second is seen at the pixels that came from it
        inside = (
            (rows >= height // 3) & (rows <= height // 3 * 2) & (columns >= width // 3) & (columns <= width // 3 * 2)
        )
        assert torch.equal(target["masks"][1], inside)
        around = torch.stack([*torch.where(inside)]).flip(0)
        edges = torch.cat([around.min(1).values, around.max(1).values + 1]).float()
        step = max(now[0] / height, now[1] / width, 1.0) * 2  # nearest pixels are off by one of theirs
        assert (target["boxes"][1] - edges).abs().max() <= step


def test_a_crop_keeps_its_share_and_leaves_out_what_it_does_not_show():
    augment = ObjectAugment(crop=(0.5, 0.5), flip=0.0)
    seen = set()
    for seed in range(30):
        image, target = seen_target(20, 40, augment, seed, size=10)
        assert image.shape == (3, 10, 20), "half of both sides, and not resized"
        top, left = image[0, 0, 0].item(), image[1, 0, 0].item()
        seen.add((top, left))
        x, y = 20 - left, 10 - top
        assert target["keypoints"][0].tolist() == [[x, y]]
        inside = 0 <= x <= 20 and 0 <= y <= 10
        assert target["visibility"][0].item() == (2 if inside else 0)
        assert target["area"][0].item() == pytest.approx(200)
    assert len(seen) > 15
    assert {top for top, _ in seen} <= set(range(11))


def test_large_scale_jitter_scales_from_low_to_high_and_fills_a_square():
    augment = ObjectAugment(jitter=(0.5, 2.0), jitter_size=32, flip=0.0)
    transform = object_train_transform(Preprocessing(16), augment)
    scales = []
    for seed in range(60):
        torch.manual_seed(seed)
        image, target = transform(noise(30, 60), target_of([[0, 0, 60, 30]], (30, 60)))
        height, width = target["size_now"]
        assert image.shape == (3, 32, 32)
        assert (image[:, height:] == 0).all()
        assert (image[:, :, width:] == 0).all()
        assert target["masks"].shape[-2:] == (height, width)
        scales.append(height / 16)
        assert width == 32 or abs(width - 2 * height) <= 1
    assert min(scales) < 0.6
    assert max(scales) > 1.8
    assert np.mean(scales) == pytest.approx(1.25, abs=0.15)


def test_what_large_scale_jitter_cuts_off_is_random_along_both_sides():
    augment = ObjectAugment(jitter=(2.0, 2.0), jitter_size=32, flip=0.0)
    corners = set()
    for seed in range(60):
        image, _ = seen_target(40, 40, augment, seed)
        assert image.shape == (3, 32, 32)
        top, left = image[0, 0, 0].item(), image[1, 0, 0].item()
        # Of 40 pixels that become 64, 20 are seen.
        assert image[:2, -1, -1].tolist() == [top + 19, left + 19]
        corners.add((top, left))
    for starts in zip(*corners, strict=True):
        assert min(starts) <= 2
        assert max(starts) >= 18
    assert len(corners) > 30


def test_an_object_of_which_no_pixel_is_seen_is_dropped_though_its_box_is():
    target = target_of([[0, 0, 20, 20], [2, 2, 30, 30]], (40, 40))
    target["masks"][0] = False
    _, seen = object_train_transform(SAME, NEVER)(noise(40, 40), target)
    assert seen["labels"].tolist() == [1]


def test_sizes_are_drawn_from_those_given():
    augment = ObjectAugment(min_sizes=(8, 12, 20), max_size=24)
    transform = object_train_transform(Preprocessing(16), augment)
    found = {transform(noise(10, 15), {"boxes": target_of([], (10, 15))["boxes"]})[1]["size_now"] for _ in range(60)}
    assert found == {(8, 12), (12, 18), (16, 24)}, "of the last the longer side is the limit"


@pytest.mark.parametrize(
    "transform",
    [
        object_eval_transform(Preprocessing(16)),
        object_train_transform(Preprocessing(16), ObjectAugment(flip=1.0, crop=(0.5, 1.0)), [(0, 1)]),
        object_train_transform(Preprocessing(16), ObjectAugment(flip=1.0, jitter=(0.1, 2.0), jitter_size=16), [(0, 1)]),
    ],
)
def test_a_image_without_objects_stays_one(transform):
    size = (20, 30)
    target = target_of([], size, visibility=torch.zeros(0, 4, dtype=torch.uint8))
    target |= {"keypoints": tv_tensors.KeyPoints(torch.zeros(0, 4, 2), canvas_size=size)}
    _, seen = transform(noise(*size), target)
    height, width = seen["size_now"]
    assert {key: tuple(seen[key].shape) for key in ("boxes", "masks", "keypoints", "visibility", "labels", "area")} == {
        "boxes": (0, 4),
        "masks": (0, height, width),
        "keypoints": (0, 4, 2),
        "visibility": (0, 4),
        "labels": (0,),
        "area": (0,),
    }
    assert isinstance(seen["boxes"], tv_tensors.BoundingBoxes)


@pytest.mark.parametrize("colours", [{"color_jitter": 0.4}, {"photometric_distort": 0.9}])
def test_colours_change_and_the_same_seed_gives_the_same(colours):
    transform = object_train_transform(SAME, ObjectAugment(flip=0.0, **colours))
    assert pickle.loads(pickle.dumps(transform)).train
    for image in (noise(40, 40), v2.functional.to_pil_image(noise(40, 40))):
        results = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            results.append(transform(image, {})[0])
        assert torch.equal(results[0], results[1])
        assert not torch.equal(results[0], results[2])
        assert not torch.equal(results[0], object_eval_transform(SAME)(image))


def test_the_embedded_data_go_through_and_are_not_changed():
    data = Shapes(4, size=48, things=(1, 3), labels=("boxes", "labels", "masks", "keypoints", "visibility"), keep=True)
    before = [{key: value.clone() for key, value in data[index][1].items()} for index in range(4)]
    transform = object_train_transform(Preprocessing(40), ObjectAugment(jitter=(0.5, 1.5), jitter_size=64))
    images, targets = collate([transform(*data[index]) for index in range(4)])
    assert images.shape == (4, 3, 64, 64)
    assert len(targets["boxes"]) == 4
    assert all(torch.equal(data[index][1][key], value) for index in range(4) for key, value in before[index].items())
