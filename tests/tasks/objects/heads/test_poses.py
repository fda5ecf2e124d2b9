"""Poses that were found twice, compared with the formula written out and the greedy loop of the published code."""

import math

import pytest
import torch

from res2net.tasks.objects.keypoints.poses import SAME_POSE, oks_nms, pose_similarity

SIGMAS = (0.05, 0.08, 0.1, 0.03)


def crowd(count, seed, steps=1000):
    """Poses around few places, so that many are alike, with `steps` different scores."""
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.rand(*shape, generator=random)  # noqa: E731
    centres = 200 * draw(4, len(SIGMAS), 2)
    points = centres[torch.randint(4, (count,), generator=random)] + 12 * draw(count, len(SIGMAS), 2)
    scores = (draw(count) * steps).floor() / steps
    return points, scores, 2000 + 4000 * draw(count), torch.randint(2, (count,), generator=random)


def naive_similarity(one, two, area_one, area_two):
    total = 0.0
    for (x, y), (u, v), sigma in zip(one, two, SIGMAS, strict=True):
        variance = (2 * sigma) ** 2
        total += math.exp(-((x - u) ** 2 + (y - v) ** 2) / variance / ((area_one + area_two) / 2) / 2)
    return total / len(SIGMAS)


def naive_nms(points, scores, areas, labels, threshold):
    points, areas = points.tolist(), areas.tolist()
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    kept = []
    while order:
        best, *rest = order
        kept.append(best)
        order = [
            one
            for one in rest
            if labels[one] != labels[best]
            or naive_similarity(points[best], points[one], areas[best], areas[one]) <= threshold
        ]
    return sorted(kept)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("threshold", "steps"), [(SAME_POSE, 1000), (0.5, 1000), (0.7, 3)])
def test_those_stay_that_the_greedy_loop_keeps(seed, threshold, steps):
    points, scores, areas, labels = crowd(40, seed, steps)
    for classes in (labels, torch.zeros(40).long()):
        stay = oks_nms(points, scores, areas, SIGMAS, classes, threshold)
        assert stay.nonzero()[:, 0].tolist() == naive_nms(points, scores, areas, classes, threshold)
        assert 4 <= stay.sum() < 40
    assert torch.equal(stay, oks_nms(points, scores, areas, SIGMAS, threshold=threshold))


def test_similarity_is_the_formula():
    points, _, areas, _ = crowd(6, 0)
    found = pose_similarity(points, areas, SIGMAS)
    for one in range(6):
        for two in range(6):
            arguments = [points[one].tolist(), points[two].tolist(), areas[one].item(), areas[two].item()]
            assert found[one, two].item() == pytest.approx(naive_similarity(*arguments), abs=1e-12)
    assert torch.equal(found.diagonal(), torch.ones(6).double())


def test_a_pose_that_is_gone_suppresses_nothing():
    """Of three in a row the middle goes, and the last, which is only like the middle, stays."""
    step = torch.tensor([[0.0], [7.0], [14.0]])[..., None]
    points = torch.cat([step, torch.zeros(3, 1, 1)], -1).expand(3, 4, 2)
    areas = torch.full((3,), 5000.0)
    similarity = pose_similarity(points, areas, (0.1,) * 4)
    assert similarity[0, 1] > 0.8 > similarity[0, 2]
    stay = oks_nms(points, torch.tensor([0.9, 0.8, 0.7]), areas, (0.1,) * 4, threshold=0.8)
    assert stay.tolist() == [True, False, True]


def test_nobody():
    assert oks_nms(torch.empty(0, 4, 2), torch.empty(0), torch.empty(0), SIGMAS).shape == (0,)
