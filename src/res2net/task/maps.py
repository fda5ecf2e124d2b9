"""Maps with a value or a class for each pixel: their size, and the cross entropy of classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from res2net.images.samples import UNLABELLED

__all__ = ["hard_pixels", "pixel_cross_entropy", "resized"]


def pixel_cross_entropy(
    logits: Tensor,
    wanted: Tensor,
    *,
    weights: Sequence[float] = (),
    ohem: float = 0.0,
    ohem_kept: float = 1 / 16,
) -> Tensor:
    """The mean cross entropy of labelled pixels; 0 where there are none.

    Args:
        logits: `(N, K, H, W)`.
        wanted: `(N, H, W)`, classes from 0 to K - 1, and 255 where nothing is known.
        weights: of each class, by which the mean is weighted; none: all count the same.
        ohem: with a probability above 0, learn only from hard pixels, see `hard_pixels`.
        ohem_kept: least share of pixels that count then.
    """
    logits = logits.float()
    wanted = wanted.long()
    scale = None if not weights else torch.tensor(weights, device=logits.device, dtype=logits.dtype)
    losses = F.cross_entropy(logits, wanted, weight=scale, ignore_index=UNLABELLED, reduction="none")
    counted = wanted != UNLABELLED
    if ohem:
        counted = hard_pixels(logits.detach(), wanted, ohem, ohem_kept)
    # The mean of a weighted cross entropy is that of torch: by the weights, not by the pixels.
    share = counted.to(losses.dtype)
    if scale is not None:
        share = share * scale[wanted.masked_fill(~counted, 0)]
    return (losses * counted).sum() / share.sum().clamp(min=1e-12)


def hard_pixels(logits: Tensor, wanted: Tensor, probability: float, kept: float) -> Tensor:
    """Online hard example mining: the labelled pixels whose true class has at most that probability.

    Where these are fewer than the share `kept` of the labelled pixels, the hardest of that share are taken.

    Args:
        logits: `(N, K, H, W)`.
        wanted: `(N, H, W)` with 255 where nothing is known.
        probability: 0 to 1.
        kept: least share of labelled pixels, 0 to 1.

    Returns:
        `(N, H, W)`, bool.
    """
    labelled = wanted != UNLABELLED
    true = logits.softmax(1).gather(1, wanted.masked_fill(~labelled, 0)[:, None])[:, 0]
    true = true.masked_fill(~labelled, 2.0)
    count = int(labelled.sum())
    if not count:
        return labelled
    least = min(count, max(1, round(kept * count)))
    border = max(probability, float(true.flatten().kthvalue(least).values))
    return labelled & (true <= border)


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """`(N, C, h, w)` to `(N, C, *size)`, bilinearly, corners of the outer pixels on each other."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
