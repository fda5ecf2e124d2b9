"""What is minimised of maps that say yes or no of each pixel: a mask, and its outline."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from res2net.images.samples import UNLABELLED

__all__ = ["edge_cross_entropy", "iou_loss", "mask_cross_entropy", "outline"]

EDGE_FACTOR = 1.1
"""Weight of pixels that are no edge, beside the share of those that are (published code of PoolNet)."""


def mask_cross_entropy(logits: Tensor, wanted: Tensor, *, summed: bool = False) -> Tensor:
    """The binary cross entropy of pixels of which something is known.

    Args:
        logits: `(N, 1, H, W)`.
        wanted: `(N, H, W)`, 0, 1, and 255 where nothing is known.
        summed: the sum of each image and the mean over images, as in papers on salient objects; else the mean
            over pixels, 0 where nothing is known.
    """
    known = wanted != UNLABELLED
    return _reduced(_cross_entropy(logits, (wanted == 1) & known) * known, known, summed)


def edge_cross_entropy(logits: Tensor, wanted: Tensor, *, summed: bool = False) -> Tensor:
    """The same of the outline of a mask, edges and other pixels balanced within the batch (Xie and Tu, ICCV 2015).

    An edge's weight is the share of the others, and theirs is 1.1 times the share of edges.

    Args:
        logits: `(N, 1, H, W)`.
        wanted: the mask `(N, H, W)`, 0, 1, and 255 where nothing is known.
        summed: as in `mask_cross_entropy`.
    """
    edge, known = outline(wanted)
    share = (edge & known).sum() / known.sum().clamp(min=1)
    weights = torch.where(edge, 1 - share, EDGE_FACTOR * share) * known
    return _reduced(_cross_entropy(logits, edge) * weights, known, summed)


def iou_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """One less the intersection over union of probabilities and mask, the mean over images.

    Both are a pixel larger than they are, so that an empty mask teaches to find nothing.

    Args:
        logits: `(N, 1, H, W)`.
        wanted: `(N, H, W)`, 0, 1, and 255 where nothing is known.
    """
    known = wanted != UNLABELLED
    found = logits[:, 0].float().sigmoid() * known
    true = ((wanted == 1) & known).to(found.dtype)
    shared, both = (found * true).flatten(1).sum(1), (found + true).flatten(1).sum(1)
    return (1 - (shared + 1) / (both - shared + 1)).mean()


def outline(wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels on either side of the border of a mask, and those of which it is known whether they are such.

    Args:
        wanted: `(N, H, W)`, 0, 1, and 255 where nothing is known.

    Returns:
        Two of `(N, H, W)`, bool.
    """
    values = wanted[:, None].float()
    most = F.max_pool2d(values, 3, 1, 1)
    least = -F.max_pool2d(-values, 3, 1, 1)
    known = most != UNLABELLED
    return ((most != least) & known)[:, 0], known[:, 0]


def _cross_entropy(logits: Tensor, true: Tensor) -> Tensor:
    values = logits[:, 0].float()
    return F.binary_cross_entropy_with_logits(values, true.to(values.dtype), reduction="none")


def _reduced(losses: Tensor, known: Tensor, summed: bool) -> Tensor:
    return losses.sum() / len(losses) if summed else losses.sum() / known.sum().clamp(min=1)
