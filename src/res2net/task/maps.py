"""Maps with a value or a class for each pixel: their size, and the cross entropy of classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.images.samples import UNLABELLED


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
        wanted: the target classes `(N, H, W)`, from 0 to K - 1, and 255 for unlabelled pixels.
        weights: weight of each class in the mean; empty for equal weights.
        ohem: a probability above 0 to learn only from hard pixels, see `hard_pixels`.
        ohem_kept: minimum share of the labelled pixels that counts as hard.
    """
    logits, wanted = logits.float(), wanted.long()
    class_weights = None if not weights else torch.tensor(weights, device=logits.device, dtype=logits.dtype)
    losses = F.cross_entropy(logits, wanted, weight=class_weights, ignore_index=UNLABELLED, reduction="none")
    counted = wanted != UNLABELLED
    if ohem:
        counted = hard_pixels(logits.detach(), wanted, ohem, ohem_kept)
    # As in torch, the weighted mean divides by the sum of the weights, not by the number of pixels.
    pixel_weights = counted.to(losses.dtype)
    if class_weights is not None:
        pixel_weights = pixel_weights * class_weights[wanted.masked_fill(~counted, 0)]
    return (losses * counted).sum() / pixel_weights.sum().clamp(min=1e-12)


def hard_pixels(logits: Tensor, wanted: Tensor, probability: float, kept: float) -> Tensor:
    """Online hard example mining: the labelled pixels whose true class has at most the given probability, `(N, H, W)`.

    If these are less than the share `kept` of the labelled pixels, the hardest pixels are selected up to that share.
    """
    labelled = wanted != UNLABELLED
    confidence = logits.softmax(1).gather(1, wanted.masked_fill(~labelled, 0)[:, None])[:, 0]
    confidence = confidence.masked_fill(~labelled, 2.0)
    count = int(labelled.sum())
    if not count:
        return labelled
    minimum = min(count, max(1, round(kept * count)))
    threshold = max(probability, float(confidence.flatten().kthvalue(minimum).values))
    return labelled & (confidence <= threshold)


def resized(x: Tensor, size: Sequence[int], *, align_corners: bool = False) -> Tensor:
    """Resize `(N, C, h, w)` to `(N, C, *size)` by bilinear interpolation."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=align_corners)


class Constant(nn.Module):
    """Predicts the same values `(K,)` for every pixel or voxel."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, *size)` to `(N, K, *size)`."""
        size = images.shape[2:]
        values = self.values.view(1, -1, *[1] * len(size)).expand(len(images), -1, *size)
        return values.contiguous()  # windows may be weighted in place
