"""Dice and the 95 % Hausdorff distance of volumes, against formulas written out."""

import itertools
import math

import numpy as np
import pytest
import torch

from res2net.tasks.volumes.metric import VolumeScores, volume_dice, volume_hausdorff

SPACING = (3.0, 1.0, 0.5)
SHAPE = (6, 7, 8)
DIAGONAL = math.dist((0, 0, 0), [size * step for size, step in zip(SHAPE, SPACING, strict=True)])


def surface(mask):
    """The voxels of a mask that have a neighbour outside of it, or lie at the border of the volume."""
    padded = np.pad(mask, 1)
    inner = padded.copy()
    for axis, step in itertools.product(range(3), (-1, 1)):
        inner &= np.roll(padded, step, axis)
    return np.argwhere((padded & ~inner)[1:-1, 1:-1, 1:-1])


def naive_distance(found, truth, spacing):
    one, two = (surface(mask) * np.array(spacing) for mask in (found, truth))
    apart = np.linalg.norm(one[:, None] - two[None], axis=2)
    return max(np.percentile(apart.min(1), 95), np.percentile(apart.min(0), 95))


def box(start, size):
    labels = torch.zeros(SHAPE, dtype=torch.uint8)
    labels[tuple(slice(at, at + side) for at, side in zip(start, size, strict=True))] = 1
    return labels


CASES = {
    "full": (torch.ones(SHAPE, dtype=torch.uint8), torch.ones(SHAPE, dtype=torch.uint8)),
    "full and a part": (torch.ones(SHAPE, dtype=torch.uint8), box((1, 2, 3), (2, 3, 4))),
    "a voxel each": (box((1, 1, 1), (1, 1, 1)), box((4, 5, 6), (1, 1, 1))),
    "the same voxel": (box((1, 1, 1), (1, 1, 1)), box((1, 1, 1), (1, 1, 1))),
    "boxes that overlap": (box((0, 1, 2), (3, 3, 3)), box((1, 2, 2), (4, 3, 5))),
    "in the corner": (box((0, 0, 0), (2, 2, 2)), box((4, 5, 6), (2, 2, 2))),
}


@pytest.mark.parametrize("name", CASES)
def test_scores_of_simple_shapes(name):
    check(*CASES[name])


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_random_voxels(seed):
    found, truth = torch.randint(0, 4, (2, *SHAPE), generator=torch.Generator().manual_seed(seed))
    check(found, truth, classes=4)


def check(found, truth, classes=2):
    dice, distance = volume_dice(found, truth, classes), volume_hausdorff(found, truth, classes, SPACING)
    for label in range(1, classes):
        ours, theirs = (found == label).numpy(), (truth == label).numpy()
        assert dice[label - 1] == pytest.approx(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()), abs=1e-6)
        assert distance[label - 1] == pytest.approx(naive_distance(ours, theirs, SPACING), abs=1e-5)


def test_a_class_that_is_nowhere_does_not_count():
    empty = torch.zeros(SHAPE, dtype=torch.uint8)
    assert volume_dice(empty, empty, 3).isnan().all()
    assert volume_hausdorff(empty, empty, 3, SPACING).isnan().all()


@pytest.mark.parametrize("turned", [False, True])
def test_a_class_of_one_alone_has_the_worst_scores(turned):
    pair = [torch.zeros(SHAPE, dtype=torch.uint8), box((1, 1, 1), (2, 2, 2))]
    found, truth = reversed(pair) if turned else pair
    assert volume_dice(found, truth, 2).tolist() == [0]
    assert volume_hausdorff(found, truth, 2, SPACING).tolist() == pytest.approx([DIAGONAL])


def test_means_are_over_volumes_and_then_over_classes():
    metric = VolumeScores(("background", "a", "b"))
    one, two = box((0, 0, 0), (2, 2, 2)), 2 * box((4, 4, 4), (2, 2, 2))
    metric.update(one, one, SPACING)  # b is nowhere
    metric.update(two, one + two, SPACING)  # a is missed
    scores = {name: float(value) for name, value in metric.compute().items()}
    assert scores["dice_a"] == pytest.approx(0.5)
    assert scores["dice_b"] == pytest.approx(1.0)
    assert scores["dice"] == pytest.approx(0.75)
    assert scores["hd95_a"] == pytest.approx(DIAGONAL / 2)
    assert scores["hd95"] == pytest.approx(DIAGONAL / 4)


def test_nothing_found_where_nothing_is_is_right():
    metric = VolumeScores(("background", "a"))
    empty = torch.zeros(SHAPE, dtype=torch.uint8)
    metric.update(empty, empty, SPACING)
    scores = metric.compute()
    assert (scores["dice"], scores["hd95"]) == (1, 0)
    assert scores["dice_a"].isnan()
