"""Panoptic FPN: its branch, its losses on one pyramid with the detector's, and the merging of things and stuff."""

import random

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.detection import PanopticQuality
from torchvision.models.detection.roi_heads import paste_masks_in_image

from res2net.errors import InputError
from res2net.task.maps import pixel_cross_entropy
from res2net.tasks.objects.heads.detector import build_detector
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.tasks.objects.panoptic.panoptic_head import (
    PanopticFPN,
    SemanticBranch,
    merge_segments,
    panoptic_fpn,
    semantic_target,
)
from res2net.zoo import create_model

OPTIONS = DetectorOptions(
    fpn_channels=8, head_channels=16, detections=5, proposals=20, proposals_train=20, rois_per_image=16
)
SIZES = [(64, 96), (50, 70)]
LOGIT = 4.0
"""Of the class that a pixel is taken for; the others have 0."""


def tiny_backbone():
    return create_model("res2net20_26w_4s_tiny", num_classes=0)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    return panoptic_fpn(tiny_backbone(), 3, 4, OPTIONS, channels=16)


def targets():
    """Of two images: a thing and stuff; nothing but stuff."""
    masks = torch.zeros(1, 64, 96, dtype=torch.bool)
    masks[0, 10:40, 20:60] = True
    semantic = torch.full((64, 96), 255)
    semantic[50:] = 2
    semantic[:5, :5] = 0
    thing = {"boxes": torch.tensor([[20.0, 10, 60, 40]]), "labels": torch.tensor([1]), "masks": masks}
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long(), "masks": torch.zeros(0, 50, 70).bool()}
    return [thing | {"semantic": semantic}, none | {"semantic": torch.full((50, 70), 3)}]


def test_the_branch_is_that_of_figure_3():
    """Layer by layer, with the functions of torch."""
    branch = SemanticBranch(6, (4, 8, 16, 32), 5, channels=12)
    maps = [torch.randn(2, 6, 64 // stride, 96 // stride) for stride in (4, 8, 16, 32)]
    total = torch.zeros(2, 12, 16, 24)
    for x, count, layers in zip(maps, (0, 1, 2, 3), branch.levels, strict=True):
        assert len(layers) == max(count, 1)
        for convolution, norm, _ in layers:
            x = F.conv2d(x, convolution.weight, padding=1)
            x = F.group_norm(x, norm.num_groups, norm.weight, norm.bias).relu()
            x = F.interpolate(x, scale_factor=2, mode="bilinear") if count else x
        total = total + x
    logits = F.conv2d(total, branch.predictor.weight, branch.predictor.bias)
    logits = F.interpolate(logits, scale_factor=4, mode="bilinear")
    assert torch.allclose(branch(maps, (64, 96)), logits, atol=1e-5)
    # As published: 3 + 2 + 1 + 1 convolutions of 128 channels, 32 groups.
    with torch.device("meta"):
        published = SemanticBranch(256, (4, 8, 16, 32), 54)
    convolutions = 9 * 128 * (4 * 256 + 3 * 128) + 7 * 2 * 128
    assert sum(one.numel() for one in published.parameters()) == convolutions + 54 * 128 + 54
    assert {norm.num_groups for norm in published.modules() if isinstance(norm, torch.nn.GroupNorm)} == {32}


def test_maps_of_odd_sides_and_of_a_dilated_backbone_fit_too():
    branch = SemanticBranch(4, (8, 16, 16), 3, channels=8)
    maps = [torch.randn(1, 4, 7, 9), torch.randn(1, 4, 4, 5), torch.randn(1, 4, 4, 5)]
    assert tuple(branch(maps, (50, 70)).shape) == (1, 3, 50, 70)


def test_what_is_learnt_is_stuff_or_a_thing_and_not_what_nobody_knows():
    thing, none = targets()
    wanted = semantic_target(thing["semantic"], thing["masks"], 4, (64, 128))
    for row in range(64):
        for column in range(128):
            if column >= 96:
                right = 255
            elif row >= 50:
                right = 2
            elif row < 5 and column < 5:
                right = 0
            else:
                right = 4 if 10 <= row < 40 and 20 <= column < 60 else 255
            assert wanted[row, column] == right
    assert (semantic_target(none["semantic"], none["masks"], 4, (50, 70)) == 3).all()


def test_the_loss_is_the_mean_over_labelled_pixels():
    logits, wanted = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    wanted[0, :2] = 255
    parts = [
        -float(logits[n, :, y, x].log_softmax(0)[wanted[n, y, x]])
        for n in range(2)
        for y in range(4)
        for x in range(5)
        if wanted[n, y, x] != 255
    ]
    assert float(pixel_cross_entropy(logits, wanted)) == pytest.approx(sum(parts) / len(parts), rel=1e-5)
    nothing = pixel_cross_entropy(logits.requires_grad_(), torch.full((2, 4, 5), 255))
    nothing.backward()
    assert nothing.item() == 0
    assert not logits.grad.any()


def test_losses_are_those_of_the_detector_and_half_of_the_semantic_one(model):
    images = torch.randn(2, 3, 64, 96)
    detector = build_detector("mask_rcnn", tiny_backbone(), 3, OPTIONS)
    shared = {name: value for name, value in model.state_dict().items() if not name.startswith("semantic.")}
    detector.load_state_dict(shared)
    torch.manual_seed(5)
    losses = model.losses(images, SIZES, targets())
    model.train()  # the statistics of batches, as the detector that was just made
    torch.manual_seed(5)
    expected = detector.losses(images, SIZES, targets())
    assert losses.keys() == expected.keys() | {"loss_semantic"}
    for name, value in expected.items():
        assert torch.allclose(losses[name], value, atol=1e-5), name
    wanted = torch.stack([semantic_target(one["semantic"], one["masks"], 4, (64, 96)) for one in targets()])
    alone = pixel_cross_entropy(model.logits(model.maps(images), (64, 96)), wanted)
    assert torch.allclose(losses["loss_semantic"], 0.5 * alone)
    sum(losses.values()).backward()
    assert all(one.grad is not None for one in model.semantic.parameters())
    model.zero_grad()


def test_the_pyramid_is_computed_once(model):
    calls = []
    handle = model.neck.register_forward_hook(lambda *_: calls.append(1))
    model.losses(torch.randn(2, 3, 64, 96), SIZES, targets())
    model.detect(torch.randn(1, 3, 64, 96), [(64, 96)])
    model(torch.randn(1, 3, 64, 96))
    handle.remove()
    assert len(calls) == 3


def test_each_image_has_its_detections_and_its_stuff(model):
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        model.eval()
        results = model.detect(images, SIZES)
        *found, logits = model(images)
        model.train()
    assert tuple(logits.shape) == (2, 5, 64, 96)
    assert tuple(found[3].shape) == (2, 5, 28, 28)
    for result, (height, width), one in zip(results, SIZES, logits, strict=True):
        assert torch.equal(result["semantic"], one[:, :height, :width])
        ids, segments = merge_segments(result, result["semantic"], (100, 130), score_threshold=0, stuff_area=10)
        assert tuple(ids.shape) == (100, 130)
        assert sorted(set(ids.flatten().tolist()) - {0}) == [one["id"] for one in segments]


def detections(boxes, scores, labels, masks=None):
    count = len(boxes)
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "scores": torch.tensor(scores, dtype=torch.float32),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "masks": torch.ones(count, 28, 28) if masks is None else masks,
    }


def semantic_of(classes, count):
    """Logits whose largest values are at those classes."""
    return LOGIT * F.one_hot(classes, count).permute(2, 0, 1).float()


def merged_pixel_by_pixel(found, semantic, score_threshold, overlap, stuff_area):
    """From the words of the paper: instances by confidence, what is left of each; then stuff, then small stuff away."""
    classes = semantic.argmax(0).tolist()
    height, width = len(classes), len(classes[0])
    owner = [[0] * width for _ in range(height)]
    segments = []
    masks = paste_masks_in_image(found["masks"][:, None], found["boxes"], (height, width))[:, 0].tolist()
    pixels = [(y, x) for y in range(height) for x in range(width)]
    for place in sorted(range(len(masks)), key=lambda place: -float(found["scores"][place])):
        if float(found["scores"][place]) < score_threshold:
            continue
        own = [(y, x) for y, x in pixels if masks[place][y][x] > 0.5]
        free = [(y, x) for y, x in own if not owner[y][x]]
        if not free or (len(own) - len(free)) / len(own) > overlap:
            continue
        segments.append((int(found["labels"][place]), True, len(free)))
        for y, x in free:
            owner[y][x] = len(segments)
    for label in range(len(semantic) - 1):
        own = [(y, x) for y, x in pixels if not owner[y][x] and classes[y][x] == label]
        if own and len(own) >= stuff_area:
            segments.append((label, False, len(own)))
            for y, x in own:
                owner[y][x] = len(segments)
    return owner, segments


def check_against_pixels(found, semantic, score_threshold=0.5, overlap=0.5, stuff_area=100):
    ids, segments = merge_segments(
        found, semantic, score_threshold=score_threshold, overlap=overlap, stuff_area=stuff_area
    )
    owner, expected = merged_pixel_by_pixel(found, semantic, score_threshold, overlap, stuff_area)
    assert ids.dtype == torch.int64
    assert ids.tolist() == owner
    assert [(one["label"], one["thing"], one["area"]) for one in segments] == expected
    assert [one["id"] for one in segments] == list(range(1, len(segments) + 1))
    return ids, segments


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 6), st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.sampled_from([0, 40, 200]))
def test_merging_is_that_of_the_paper(seed, count, overlap, stuff_area):
    draw = random.Random(seed)
    boxes = []
    for _ in range(count):
        left, top = draw.uniform(0, 30), draw.uniform(0, 20)
        boxes.append([left, top, left + draw.uniform(2, 30), top + draw.uniform(2, 25)])
    generator = torch.Generator().manual_seed(seed)
    blobs = F.interpolate(torch.rand(count, 1, 3, 3, generator=generator), 28, mode="bilinear")[:, 0] if count else None
    found = detections(
        boxes,
        [draw.random() for _ in range(count)],
        [draw.randrange(3) for _ in range(count)],
        torch.zeros(0, 28, 28) if blobs is None else blobs,
    )
    semantic = F.interpolate(torch.rand(1, 4, 4, 4, generator=generator), (32, 40), mode="bilinear")[0]
    check_against_pixels(found, semantic, 0.2, overlap, stuff_area)


def test_the_better_of_two_that_overlap_keeps_its_pixels():
    classes = torch.zeros(40, 60, dtype=torch.int64)
    boxes = [[0, 0, 30, 30], [20, 0, 50, 30], [2, 2, 32, 32]]
    ids, segments = check_against_pixels(detections(boxes, [0.8, 0.9, 0.7], [0, 1, 2]), semantic_of(classes, 3))
    assert [(one["label"], one["thing"]) for one in segments] == [(1, True), (0, True), (0, False)]
    assert ids[10, 25] == 1
    assert ids[10, 10] == 2
    assert ids[39, 59] == 3
    assert [one["score"] for one in segments[:2]] == pytest.approx([0.9, 0.8])
    certain = torch.tensor([LOGIT, 0, 0]).softmax(0)[0]
    assert segments[2]["score"] == pytest.approx(float(certain))


def test_without_detections_there_is_stuff_alone_and_small_stuff_is_void():
    classes = torch.zeros(40, 60, dtype=torch.int64)
    classes[:9, :9] = 1  # 81 pixels
    classes[30:, 40:] = 2  # taken for things, which nobody detected
    nothing = detections([], [], [], torch.zeros(0, 28, 28))
    ids, segments = check_against_pixels(nothing, semantic_of(classes, 3), stuff_area=82)
    assert [(one["label"], one["area"]) for one in segments] == [(0, 40 * 60 - 81 - 200)]
    assert (ids[:9, :9] == 0).all()
    assert (ids[30:, 40:] == 0).all()
    _, segments = check_against_pixels(nothing, semantic_of(classes, 3), stuff_area=81)
    assert len(segments) == 2


def test_a_image_can_be_all_void():
    classes = torch.full((20, 30), 2)
    found = detections([[0, 0, 20, 20]], [0.3], [0])
    ids, segments = check_against_pixels(found, semantic_of(classes, 3))
    assert (ids == 0).all()
    assert segments == []


def test_the_least_area_of_stuff_can_follow_the_size_of_the_image():
    nothing = detections([], [], [], torch.zeros(0, 28, 28))
    semantic = semantic_of(torch.zeros(48, 64, dtype=torch.int64), 2)  # a hundredth of an image of 640 x 480
    for area, scaled, count in [(4096, False, 0), (4096, True, 1), (307_200, True, 1), (307_201, True, 0)]:
        assert len(merge_segments(nothing, semantic, stuff_area=area, scaled=scaled)[1]) == count
    assert len(merge_segments(nothing, semantic, (480, 640))[1]) == 1


def test_segments_can_be_those_of_the_image_in_its_file():
    """Twice as large: boxes and the semantic map grow with it."""
    classes = torch.zeros(30, 40, dtype=torch.int64)
    classes[:, 20:] = 1
    found = detections([[5, 5, 15, 15]], [0.9], [0])
    ids, segments = merge_segments(found, semantic_of(classes, 3), (60, 80), stuff_area=10)
    mask = paste_masks_in_image(torch.ones(1, 1, 28, 28), torch.tensor([[10.0, 10, 30, 30]]), (60, 80))[0, 0] > 0.5
    assert torch.equal(ids == 1, mask)
    assert int((ids[:, :40] == 2).sum()) == 60 * 40 - int(mask.sum())
    assert (ids[:, 40:] == 3).all()
    assert [one["area"] for one in segments] == [int(mask.sum()), 2400 - int(mask.sum()), 2400]


def test_perfect_predictions_have_a_perfect_panoptic_quality():
    """By torchmetrics: things are its categories 0, 1, ..., stuff 10, 11, ..."""
    classes = torch.zeros(48, 64, dtype=torch.int64)
    classes[24:] = 1
    found = detections([[4, 4, 24, 24], [34, 10, 60, 40]], [0.9, 0.8], [0, 1])
    ids, segments = merge_segments(found, semantic_of(classes, 3), stuff_area=10)
    true = torch.where(classes == 0, 10, 11)
    for label, box in enumerate(found["boxes"]):
        true[paste_masks_in_image(torch.ones(1, 1, 28, 28), box[None], (48, 64))[0, 0] > 0.5] = label
    category = torch.tensor([0] + [one["label"] + 10 * (not one["thing"]) for one in segments])
    instance = torch.tensor([0] + [one["id"] if one["thing"] else 0 for one in segments])
    metric = PanopticQuality(things={0, 1}, stuffs={10, 11})
    metric.update(torch.stack([category[ids], instance[ids]], -1)[None], torch.stack([true, true], -1)[None])
    assert float(metric.compute()) == pytest.approx(1)


def test_it_learns_stuff():
    torch.manual_seed(0)
    branch = SemanticBranch(3, (4, 8), 3, channels=8)
    image = torch.randn(1, 3, 32, 32)
    image[:, :, :, 16:] += 3
    wanted = torch.zeros(1, 32, 32, dtype=torch.int64)
    wanted[:, :, 16:] = 1
    maps = [F.avg_pool2d(image, 4), F.avg_pool2d(image, 8)]
    optimizer = torch.optim.Adam(branch.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = pixel_cross_entropy(branch(maps, (32, 32)), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_what_does_not_fit_is_refused(model):
    with pytest.raises(InputError, match="finest first"):
        SemanticBranch(8, (8, 4), 3)
    with pytest.raises(InputError, match="finest first"):
        SemanticBranch(8, (4, 12), 3)
    with pytest.raises(InputError, match="classes of pixels"):
        SemanticBranch(8, (4, 8), 256)
    with pytest.raises(InputError, match="without masks"):
        PanopticFPN(build_detector("faster_rcnn", tiny_backbone(), 3, OPTIONS), 4)
    with pytest.raises(InputError, match="0 classes of stuff"):
        panoptic_fpn(tiny_backbone(), 3, 0, OPTIONS)
    thing = targets()[0]
    with pytest.raises(InputError, match="from 0 to 2: give 0 to 1"):
        semantic_target(thing["semantic"], thing["masks"], 2, (64, 96))
    with pytest.raises(InputError, match="same size"):
        semantic_target(thing["semantic"], thing["masks"], 4, (64, 64))
    with pytest.raises(InputError, match="same size"):
        semantic_target(thing["semantic"][:, :50], thing["masks"], 4, (64, 96))
    found = detections([[0, 0, 5, 5]], [0.9], [0])
    with pytest.raises(InputError, match="do not fit"):
        merge_segments(found | {"labels": torch.zeros(2).long()}, torch.zeros(3, 8, 8))
    with pytest.raises(InputError, match="do not fit"):
        merge_segments(found, torch.zeros(8, 8))
    with pytest.raises(InputError, match="overlap"):
        merge_segments(found, torch.zeros(3, 8, 8), overlap=2)
