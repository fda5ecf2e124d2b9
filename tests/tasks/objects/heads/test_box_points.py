"""Keypoints read off heat maps in fixed shapes: as torchvision reads them, which enlarges each map to its box."""

import math

import pytest
import torch
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

from res2net.tasks.objects.heads.box_points import points_in_boxes


def bells(count, points, *, height=10.0):
    """Logits of heat maps with one smooth peak each, of any width, also at the border and a bit outside."""
    place = torch.arange(56.0)
    centre = torch.rand(count, points, 2) * 58 - 1
    width = 1.5 + 4 * torch.rand(count, points, 1)
    across, down = (torch.exp(-((place - centre[..., axis, None]) ** 2) / (2 * width**2)) for axis in (0, 1))
    return height * down[..., :, None] * across[..., None, :] - 5


def boxes_in(count, side):
    """Boxes of any size in an image of that side: the first fills it, the second is smaller than a pixel."""
    extent = torch.rand(count, 2) * side
    extent[0], extent[1] = side, 0.3
    corner = torch.rand(count, 2) * (side - extent)
    return torch.cat([corner, corner + extent], 1)


@pytest.mark.parametrize("side", [32, 200, 700, 1344])
def test_points_are_those_of_torchvision(side):
    maps, boxes = bells(12, 5), boxes_in(12, side)
    points, scores = points_in_boxes(maps, boxes, side)
    expected, expected_scores = heatmaps_to_keypoints(maps, boxes)
    torch.testing.assert_close(scores, expected_scores, atol=1e-4, rtol=0)
    # Of two pixels that are almost equal, rounding may make either the largest.
    apart = (points - expected[..., :2]).abs()
    assert apart.max() < 1.01
    assert (apart.amax(-1) < 1e-3).float().mean() > 0.95


def test_the_highest_of_several_peaks_is_found():
    """Of four in each map, whose neighbours are all higher than the other peaks would be alone on a coarse grid."""
    maps = sum(bells(20, 5, height=8 + 2 * step) for step in torch.rand(4).tolist())
    boxes = boxes_in(20, 640)
    points, scores = points_in_boxes(maps, boxes, 640)
    expected, expected_scores = heatmaps_to_keypoints(maps, boxes)
    assert ((points - expected[..., :2]).abs().amax(-1) < 1.01).float().mean() >= 0.99
    assert (expected_scores - scores).max() < 0.05


def test_any_map_is_read_exactly_in_small_boxes():
    """Where all pixels are looked at: also noise."""
    maps, boxes = torch.randn(30, 4, 56, 56), boxes_in(30, 100)
    _, scores = points_in_boxes(maps, boxes, 100)
    torch.testing.assert_close(scores, heatmaps_to_keypoints(maps, boxes)[1], atol=1e-4, rtol=0)


def test_maps_need_not_be_square():
    maps = bells(6, 3)[..., 10:50, :]
    boxes = boxes_in(6, 80)
    points, _ = points_in_boxes(maps, boxes, 80)
    torch.testing.assert_close(points, heatmaps_to_keypoints(maps, boxes)[0][..., :2], atol=1.01, rtol=0)


def test_places_without_a_detection_have_numbers_too():
    points, scores = points_in_boxes(torch.randn(2, 3, 56, 56), torch.zeros(2, 4), 64)
    assert points.shape == (2, 3, 2)
    assert math.isfinite(points.sum() + scores.sum())
