"""What is minimised of distances."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["root_log_loss", "scale_invariant_log_loss"]

ROOT_FACTOR = 10.0
LEAST_ROOT = 1e-6
"""What is taken the root of at least: at 0 a root has no gradient."""


def scale_invariant_log_loss(log_depth: Tensor, true: Tensor, weight: float = 0.5) -> Tensor:
    """The scale-invariant error in log space (Eigen et al., NeurIPS 2014, equation 4); the mean over images.

    With d the difference of logarithms, it is mean(d^2) - weight * mean(d)^2 over the known pixels of an image.

    Args:
        log_depth: natural logarithms of the distances found, `(N, H, W)`.
        true: distances, `(N, H, W)`, 0 where they are unknown.
        weight: 1 forgives an image that is too near or too far as a whole, 0 does not, and 0.5 is the paper's.

    Returns:
        A scalar; an image without a known pixel does not count, and 0 comes of none at all.
    """
    difference, known = _difference(log_depth, true)
    count = known.sum((1, 2))
    total, squares = difference.sum((1, 2)), difference.square().sum((1, 2))
    some = count.clamp(min=1)
    losses = squares / some - weight * (total / some).square()
    return torch.where(count > 0, losses, 0.0).sum() / (count > 0).sum().clamp(min=1)


def root_log_loss(log_depth: Tensor, true: Tensor, weight: float = 0.85) -> Tensor:
    """Ten times the root of the same over all known pixels of a batch (BTS, Lee et al., 2019).

    Args:
        log_depth: as of `scale_invariant_log_loss`.
        true: likewise.
        weight: likewise; 0.85 is the paper's.

    Returns:
        A scalar, 0 where nothing is known.
    """
    difference, known = _difference(log_depth, true)
    count = known.sum()
    some = count.clamp(min=1)
    squares = difference.square().sum() / some - weight * (difference.sum() / some).square()
    return torch.where(count > 0, ROOT_FACTOR * squares.clamp(min=LEAST_ROOT**2).sqrt(), 0.0)


def _difference(log_depth: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """The difference of logarithms, 0 where nothing is known, and where something is."""
    known = true > 0
    return (log_depth.float() - true.float().masked_fill(~known, 1.0).log()) * known, known
