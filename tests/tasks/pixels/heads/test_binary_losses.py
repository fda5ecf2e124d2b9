"""Losses of masks and outlines, beside what their formulas give pixel by pixel."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, binary_erosion

from res2net.tasks.pixels.heads.binary_losses import edge_cross_entropy, iou_loss, mask_cross_entropy, outline


def drawn(seed=0, unknown=True):
    """Logits and masks of two images, the second without an object, with pixels of which nothing is known."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 1, 12, 16, generator=generator)
    wanted = torch.zeros(2, 12, 16, dtype=torch.uint8)
    wanted[0, 3:8, 4:11] = 1
    if unknown:
        wanted[0, :, 14:] = 255
        wanted[1, 9:] = 255
    return logits, wanted


def by_pixel(logit, true):
    probability = 1 / (1 + math.exp(-logit))
    return -math.log(probability if true else 1 - probability)


def test_the_cross_entropy_is_a_mean_over_known_pixels_or_a_sum_in_each_image():
    logits, wanted = drawn()
    pairs = list(zip(logits.flatten().tolist(), wanted.flatten().tolist(), strict=True))
    losses = [by_pixel(logit, true) for logit, true in pairs if true != 255]
    assert mask_cross_entropy(logits, wanted).item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert mask_cross_entropy(logits, wanted, summed=True).item() == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_an_outline_is_on_both_sides_of_a_border():
    _, wanted = drawn(unknown=False)
    edge, known = outline(wanted)
    assert known.all()
    square = np.ones((3, 3), bool)
    mask = wanted[0].numpy() == 1
    np.testing.assert_array_equal(edge[0], binary_dilation(mask, square) ^ binary_erosion(mask, square))
    assert not edge[1].any()
    wanted[0, :, 12:] = 255
    edge, known = outline(wanted)
    assert not known[0, :, 11:].any()
    assert known[0, :, :11].all()
    assert not edge[~known].any()


def test_edges_and_other_pixels_are_balanced():
    logits, wanted = drawn()
    edge, known = outline(wanted)
    share = (edge.sum() / known.sum()).item()
    assert 0 < share < 0.5
    expected = sum(
        by_pixel(logit, true) * (1 - share if true else 1.1 * share)
        for logit, true, counts in zip(logits.flatten().tolist(), edge.flatten(), known.flatten(), strict=True)
        if counts
    )
    assert edge_cross_entropy(logits, wanted, summed=True).item() == pytest.approx(expected / 2, rel=1e-5)
    assert edge_cross_entropy(logits, wanted).item() == pytest.approx(expected / known.sum().item(), rel=1e-5)


def test_the_overlap_is_that_of_each_image():
    logits, wanted = drawn()
    losses = []
    for logit, mask in zip(logits[:, 0].sigmoid().double(), wanted, strict=True):
        found, true = logit[mask != 255], mask[mask != 255].double()
        shared = (found * true).sum()
        losses.append(1 - (shared + 1) / (found.sum() + true.sum() - shared + 1))
    assert iou_loss(logits, wanted).item() == pytest.approx(sum(losses).item() / 2, rel=1e-5)
    perfect = torch.where(wanted == 1, 40.0, -40.0)[:, None]
    assert iou_loss(perfect, wanted).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", [mask_cross_entropy, edge_cross_entropy, iou_loss])
def test_where_nothing_is_known_nothing_is_learnt(loss):
    logits = torch.randn(2, 1, 5, 6, requires_grad=True)
    value = loss(logits, torch.full((2, 5, 6), 255, dtype=torch.uint8))
    assert value.item() == 0
    value.backward()
    assert not logits.grad.any()


def test_an_empty_mask_teaches_to_find_nothing():
    logits = torch.zeros(1, 1, 5, 6, requires_grad=True)
    iou_loss(logits, torch.zeros(1, 5, 6, dtype=torch.uint8)).backward()
    assert (logits.grad > 0).all()
