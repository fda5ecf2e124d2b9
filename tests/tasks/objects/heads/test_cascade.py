"""Cascade R-CNN, held against its steps written out box by box."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import box_iou

WEIGHTS = [(10, 10, 5, 5), (20, 20, 10, 10), (30, 30, 15, 15)]
THRESHOLDS = [0.5, 0.6, 0.7]
HEIGHT, WIDTH = 64, 96


def moved(box, change, weights):
    """A box with the change that was predicted, within the image (Girshick et al., CVPR 2014, appendix C)."""
    left, top, right, bottom = box
    dx, dy, dw, dh = (value / weight for value, weight in zip(change, weights, strict=True))
    x, y = (left + right) / 2 + dx * (right - left), (top + bottom) / 2 + dy * (bottom - top)
    most = math.log(1000 / 16)
    half_width = (right - left) * math.exp(min(dw, most)) / 2
    half_height = (bottom - top) * math.exp(min(dh, most)) / 2
    inside = [x - half_width, y - half_height, x + half_width, y + half_height]
    return [min(max(value, 0), most) for value, most in zip(inside, [WIDTH, HEIGHT] * 2, strict=True)]


def change(box, target, weights):
    """The inverse: what makes a box the target."""
    width, height = box[2] - box[0], box[3] - box[1]
    return [
        weights[0] * ((target[0] + target[2]) / 2 - (box[0] + box[2]) / 2) / width,
        weights[1] * ((target[1] + target[3]) / 2 - (box[1] + box[3]) / 2) / height,
        weights[2] * math.log((target[2] - target[0]) / width),
        weights[3] * math.log((target[3] - target[1]) / height),
    ]


def one_step(step, maps, boxes):
    """Logits and changes of each box."""
    regions = step.box_roi_pool(maps, [torch.tensor(boxes)], [(HEIGHT, WIDTH)])
    return step.box_predictor(step.box_head(regions))


def some_regions():
    """Boxes around the two objects of the tests, and elsewhere."""
    objects = torch.tensor([[4.0, 4.0, 40.0, 50.0], [10.0, 20.0, 60.0, 60.0]])
    near = objects.repeat(6, 1) + torch.randn(12, 4) * 4
    corner = torch.rand(8, 2) * 40
    far = torch.cat([corner, corner + 4 + torch.rand(8, 2) * 20], 1)
    return torch.cat([near, far]).clamp(min=0).minimum(torch.tensor([WIDTH, HEIGHT] * 2))


def maps_of(detector, count=1):
    return detector.neck(detector.backbone.features(torch.rand(count, 3, HEIGHT, WIDTH)))


@torch.no_grad()
def test_evaluation_takes_boxes_through_all_steps_and_means_the_scores(small_detector):
    detector = small_detector("cascade_rcnn")
    maps, regions = maps_of(detector), some_regions()
    scores, boxes = detector.roi_heads.classify(maps, regions[None], [(HEIGHT, WIDTH)])
    means, here = torch.zeros(20, 3), regions.tolist()
    for step, weights in zip(detector.roi_heads.steps, WEIGHTS, strict=True):
        logits, changes = one_step(step, maps, here)
        assert changes.shape == (20, 4)
        means += logits.softmax(1)[:, 1:] / 3
        here = [moved(box, delta, weights) for box, delta in zip(here, changes.tolist(), strict=True)]
    torch.testing.assert_close(scores[0], means, atol=1e-5, rtol=1e-4)
    clipped = boxes[0, :, 0].clamp(min=0).minimum(torch.tensor([WIDTH, HEIGHT] * 2))
    torch.testing.assert_close(clipped, torch.tensor(here), atol=1e-3, rtol=1e-4)
    assert not torch.allclose(regions, clipped, atol=1)


@torch.no_grad()
def test_each_step_learns_from_the_boxes_of_the_one_before(small_detector, objects):
    # So many that all regions are sampled.
    detector = small_detector("cascade_mask_rcnn", rois_per_image=400)
    target = {**objects[0], "labels": objects[0]["labels"] + 1}
    maps, regions = maps_of(detector), some_regions()
    nothing, losses = detector.roi_heads(maps, [regions], [(HEIGHT, WIDTH)], [target])
    assert nothing == []
    here = regions.tolist()
    positives = []
    for number, (step, threshold, weights) in enumerate(
        zip(detector.roi_heads.steps, THRESHOLDS, WEIGHTS, strict=True), 1
    ):
        here += target["boxes"].tolist()
        logits, changes = one_step(step, maps, here)
        overlaps = box_iou(target["boxes"], torch.tensor(here))
        labels, box_loss, masks = [], 0.0, []
        for place, box in enumerate(here):
            best = int(overlaps[:, place].argmax())
            positive = overlaps[best, place] >= threshold
            labels.append(int(target["labels"][best]) if positive else 0)
            if positive:
                right = torch.tensor(change(box, target["boxes"][best].tolist(), weights))
                box_loss += F.smooth_l1_loss(changes[place], right, beta=1 / 9, reduction="sum") / len(here)
                logit = step.mask_predictor(
                    step.mask_head(step.mask_roi_pool(maps, [torch.tensor([box])], [(HEIGHT, WIDTH)]))
                )[0, labels[-1]]
                masks.append((logit, best, box))
        weight = [1, 0.5, 0.25][number - 1]
        class_loss = F.cross_entropy(logits, torch.tensor(labels))
        torch.testing.assert_close(losses[f"loss_classifier_{number}"], weight * class_loss, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(losses[f"loss_box_reg_{number}"], weight * box_loss, atol=1e-5, rtol=1e-4)
        mask_loss = weight * mask_loss_of(masks, target["masks"])
        torch.testing.assert_close(losses[f"loss_mask_{number}"], mask_loss, atol=1e-5, rtol=1e-4)
        positives.append(sum(label > 0 for label in labels))
        here = [moved(box, delta, weights) for box, delta in zip(here, changes.tolist(), strict=True)]
        here = [box for box in here if box[2] - box[0] >= 0.01 and box[3] - box[1] >= 0.01]
    assert min(positives) >= 2  # the objects themselves
    assert positives[0] > 4


def mask_loss_of(masks, truth):
    """Binary cross entropy with the part of the truth that lies in each box."""
    from torchvision.ops import roi_align

    losses = []
    for logit, best, box in masks:
        region = roi_align(truth[best][None, None].float(), [torch.tensor([box])], 28)[0, 0]
        losses.append(F.binary_cross_entropy_with_logits(logit, region))
    return torch.stack(losses).mean()


@torch.no_grad()
def test_masks_are_the_mean_of_all_steps(small_detector):
    heads = (detector := small_detector("cascade_mask_rcnn")).roi_heads
    maps, regions = maps_of(detector), [some_regions()]
    each = [step.masks(maps, regions, [(HEIGHT, WIDTH)]) for step in heads.steps]
    torch.testing.assert_close(heads.masks(maps, regions, [(HEIGHT, WIDTH)]), sum(each) / 3)
    assert not torch.allclose(each[0], each[1], atol=0.01)


@pytest.mark.parametrize("name", ["cascade_rcnn", "cascade_mask_rcnn"])
def test_there_are_three_steps_of_their_own(small_detector, name):
    heads = small_detector(name).roi_heads
    assert len(heads.steps) == 3
    assert [step.proposal_matcher.high_threshold for step in heads.steps] == THRESHOLDS
    assert len({id(parameter) for parameter in heads.parameters()}) == 3 * len(list(heads.steps[0].parameters()))
    assert heads.has_mask() == ("mask" in name)
    assert not heads.has_keypoint()
