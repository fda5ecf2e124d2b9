"""What is minimised of distances."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["scale_invariant_log_loss"]


def scale_invariant_log_loss(log_depth: Tensor, true: Tensor, weight: float = 0.5) -> Tensor:
    """The scale-invariant error in log space (Eigen et al., NeurIPS 2014, equation 4); the mean over pictures.

    With d the difference of logarithms, it is mean(d^2) - weight * mean(d)^2 over the known pixels of a picture.

    Args:
        log_depth: natural logarithms of the distances found, `(N, H, W)`.
        true: distances, `(N, H, W)`, 0 where they are unknown.
        weight: 1 forgives a picture that is too near or too far as a whole, 0 does not, and 0.5 is the paper's.

    Returns:
        A scalar; a picture without a known pixel does not count, and 0 comes of none at all.
    """
    known = true > 0
    count = known.sum((1, 2))
    difference = (log_depth.float() - true.float().masked_fill(~known, 1.0).log()) * known
    total, squares = difference.sum((1, 2)), difference.square().sum((1, 2))
    some = count.clamp(min=1)
    losses = squares / some - weight * (total / some).square()
    return torch.where(count > 0, losses, 0.0).sum() / (count > 0).sum().clamp(min=1)
