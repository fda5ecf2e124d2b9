"""Losses of binary maps: masks and their outlines.

Logits are `(N, 1, H, W)`; a target mask `wanted` is `(N, H, W)`: 0, 1, and 255 for unlabelled pixels. With `summed`, a
loss is summed over the pixels of each image and averaged over images, as in papers on salient objects; otherwise it is
averaged over labelled pixels, 0 if there are none.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from res2net.images.samples import UNLABELLED

EDGE_FACTOR = 1.1
"""Factor of the weight of pixels that are not on an edge (published code of PoolNet)."""


def mask_cross_entropy(logits: Tensor, wanted: Tensor, *, summed: bool = False) -> Tensor:
    """The binary cross entropy of labelled pixels."""
    known = wanted != UNLABELLED
    return _reduced(pixel_losses(logits, wanted == 1) * known, known, summed)


def edge_cross_entropy(logits: Tensor, wanted: Tensor, *, summed: bool = False) -> Tensor:
    """The cross entropy of the outline of a mask, balanced within the batch (Xie and Tu, ICCV 2015).

    The weight of edge pixels is the share of the other pixels, and the weight of these is 1.1 times the share of edges.
    """
    edge, known = outline(wanted)
    share = (edge & known).sum() / known.sum().clamp(min=1)
    weights = torch.where(edge, 1 - share, EDGE_FACTOR * share) * known
    return _reduced(pixel_losses(logits, edge) * weights, known, summed)


def iou_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """One minus the intersection over union of probabilities and mask, averaged over images.

    One pixel is added to the intersection and to the union, so that an empty mask penalises predictions, too.
    """
    known = wanted != UNLABELLED
    found = logits[:, 0].float().sigmoid() * known
    true = ((wanted == 1) & known).to(found.dtype)
    intersection, total = (found * true).flatten(1).sum(1), (found + true).flatten(1).sum(1)
    return (1 - (intersection + 1) / (total - intersection + 1)).mean()


def outline(wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Masks `(N, H, W)` of the pixels on either side of the border, and of those for which this can be determined."""
    values = wanted[:, None].float()
    most = F.max_pool2d(values, 3, 1, 1)
    least = -F.max_pool2d(-values, 3, 1, 1)
    known = most != UNLABELLED
    return ((most != least) & known)[:, 0], known[:, 0]


def pixel_losses(logits: Tensor, true: Tensor) -> Tensor:
    """The binary cross entropy of each pixel `(N, H, W)`, of logits `(N, 1, H, W)` and a mask `(N, H, W)`."""
    values = logits[:, 0].float()
    return F.binary_cross_entropy_with_logits(values, true.to(values.dtype), reduction="none")


def _reduced(losses: Tensor, known: Tensor, summed: bool) -> Tensor:
    return losses.sum() / len(losses) if summed else losses.sum() / known.sum().clamp(min=1)
