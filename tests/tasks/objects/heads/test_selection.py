"""The best boxes of many, held against suppression as its definition says it."""

import math

import pytest
import torch

from res2net.tasks.objects.heads.selection import best_detections, best_of, clipped, suppressed


def overlap(a, b):
    """Intersection over union of two boxes."""
    (a_left, a_top, a_right, a_bottom), (b_left, b_top, b_right, b_bottom) = a.tolist(), b.tolist()
    width = min(a_right, b_right) - max(a_left, b_left)
    height = min(a_bottom, b_bottom) - max(a_top, b_top)
    shared = max(width, 0) * max(height, 0)
    return shared / ((a_right - a_left) * (a_bottom - a_top) + (b_right - b_left) * (b_bottom - b_top) - shared)


def naive(boxes, scores, labels, threshold):
    """Places that are kept, the best first."""
    kept = []
    for place in scores.argsort(descending=True).tolist():
        if scores[place] > -math.inf and not any(
            labels[place] == labels[other] and overlap(boxes[place], boxes[other]) > threshold for other in kept
        ):
            kept.append(place)
    return kept


def some_boxes(count, classes=3):
    corner = torch.rand(count, 2) * 20
    scores = torch.rand(count)
    scores[::5] = -math.inf
    return torch.cat([corner, corner + 5 + torch.rand(count, 2) * 20], 1), scores, torch.randint(classes, (count,))


@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_suppression_within_each_class(threshold):
    boxes, scores, labels = some_boxes(100)
    kept = naive(boxes, scores, labels, threshold)
    assert 5 < len(kept) < int(scores.isfinite().sum())
    left = suppressed(boxes, scores, threshold, labels)
    assert torch.where(left.isfinite())[0].tolist() == sorted(kept)
    assert torch.equal(left[kept], scores[kept])
    alone = suppressed(boxes, scores, threshold)
    assert torch.where(alone.isfinite())[0].tolist() == sorted(naive(boxes, scores, torch.zeros(100), threshold))


@pytest.mark.parametrize("count", [4, 50])
def test_the_best_detections_and_nothing_behind_them(count):
    boxes, scores, labels = some_boxes(100)
    kept = naive(boxes, scores, labels, 0.5)[:count]
    found, found_scores, found_labels = best_detections(boxes, scores, labels, nms_threshold=0.5, count=count)
    assert found.shape == (count, 4)
    assert torch.equal(found[: len(kept)], boxes[kept])
    assert torch.equal(found_scores[: len(kept)], scores[kept])
    assert torch.equal(found_labels[: len(kept)], labels[kept])
    assert not any(rest[len(kept) :].any() for rest in (found, found_scores, found_labels))
    assert found_labels.dtype == torch.int64


def test_looking_at_fewer_candidates_keeps_the_best():
    boxes, scores, labels = some_boxes(200)
    every = best_detections(boxes, scores, labels, nms_threshold=0.5, count=10)
    fewer = best_detections(boxes, scores, labels, nms_threshold=0.5, count=10, candidates=60)
    for found, right in zip(fewer, every, strict=True):
        assert torch.equal(found, right)


def test_nothing_to_be_found():
    boxes, scores, labels = some_boxes(8)
    found = best_detections(boxes, scores - math.inf, labels, nms_threshold=0.5, count=5)
    assert [tuple(tensor.shape) for tensor in found] == [(5, 4), (5,), (5,)]
    assert not any(tensor.any() for tensor in found)


def test_fewer_than_asked_for():
    scores, places = best_of(torch.tensor([1.0, 3.0, 2.0]), 9, torch.arange(3))
    assert scores.tolist() == [3, 2, 1]
    assert places.tolist() == [1, 2, 0]


def test_clipping_to_each_image():
    boxes = torch.tensor([[[-5.0, 2.0, 50.0, 9.0], [20.0, 0.0, 30.0, 9.0]]] * 2)
    inside, large = clipped(boxes, [(8, 20), (100, 25)], 1.0)
    assert inside[0].tolist() == [[0, 2, 20, 8], [20, 0, 20, 8]]
    assert inside[1].tolist() == [[0, 2, 25, 9], [20, 0, 25, 9]]
    assert large.tolist() == [[True, False], [True, True]]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_an_exported_program_may_keep_one_box_or_none():
    class Suppress(torch.nn.Module):
        def forward(self, boxes, scores):
            return suppressed(boxes, scores, 0.5)

    alike = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.1], [0.0, 0.0, 10.0, 10.2]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    apart = alike + 20 * torch.arange(3)[:, None]
    program = torch.export.export(Suppress(), (apart, scores)).module()
    assert program(apart, scores).tolist() == scores.tolist()
    assert program(alike, scores).isfinite().tolist() == [True, False, False]
    assert not program(alike, torch.full((3,), -math.inf)).isfinite().any()
