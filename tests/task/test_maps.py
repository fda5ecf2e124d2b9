"""Cross entropy of labelled pixels, and of the hard ones among them."""

import pytest
import torch
import torch.nn.functional as F

from res2net.task.maps import hard_pixels, pixel_cross_entropy


@pytest.fixture
def pair():
    logits = torch.randn(2, 4, 6, 7)
    wanted = torch.randint(4, (2, 6, 7))
    wanted[0, :2] = 255
    return logits, wanted


@pytest.mark.parametrize("weights", [(), (1.0, 0.5, 2.0, 0.0)])
def test_it_is_torchs(pair, weights):
    logits, wanted = pair
    scale = torch.tensor(weights) if weights else None
    expected = F.cross_entropy(logits, wanted, weight=scale, ignore_index=255)
    torch.testing.assert_close(pixel_cross_entropy(logits, wanted, weights=weights), expected)


def test_nothing_labelled_is_no_loss(pair):
    logits = pair[0].requires_grad_()
    for ohem in (0.0, 0.7):
        loss = pixel_cross_entropy(logits, torch.full((2, 6, 7), 255), ohem=ohem)
        loss.backward()
        assert loss == 0
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(("probability", "kept"), [(0.3, 0.0), (0.01, 0.25), (1.0, 0.0)])
def test_hard_pixels_pixel_by_pixel(pair, probability, kept):
    logits, wanted = pair
    found = hard_pixels(logits, wanted, probability, kept)
    true = {
        (n, y, x): float(logits[n, :, y, x].softmax(0)[wanted[n, y, x]])
        for n in range(2)
        for y in range(6)
        for x in range(7)
        if wanted[n, y, x] != 255
    }
    least = sorted(true, key=true.get)[: max(1, round(kept * len(true)))]
    expected = {place for place, value in true.items() if value <= probability} | set(least)
    assert {tuple(place) for place in found.nonzero().tolist()} == expected
    losses = F.cross_entropy(logits, wanted, ignore_index=255, reduction="none")
    loss = pixel_cross_entropy(logits, wanted, ohem=probability, ohem_kept=kept)
    torch.testing.assert_close(loss, losses[found].mean())
