"""Agreement of two networks on the same images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

__all__ = ["Agreement", "compare_outputs"]


@dataclass(frozen=True)
class Agreement:
    """How far the outputs of a network agree with those of a reference network."""

    images: int
    """Number of images."""
    largest: float
    """Largest absolute difference of two values."""
    relative: float
    """`largest` divided by the largest absolute value of the reference."""
    top1: float | None
    """Share of the images, or of their pixels, with the same most likely class, in percent; None without logits."""

    def to_dict(self) -> dict[str, float]:
        """All values that are not None, as a dictionary for JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def compare_outputs(network: nn.Module, other: nn.Module, batches: Iterable[Tensor], *, logits: bool) -> Agreement:
    """Compare the outputs of two networks.

    Args:
        network: the network to check.
        other: the reference network.
        batches: batches of images `(N, C, H, W)`.
        logits: whether the only output is logits, so that classes are compared as well.
    """
    count = 0
    same = largest = size = 0.0
    with torch.no_grad():
        for images in batches:
            ours, theirs = as_list(network(images)), as_list(other(images))
            for one, two in zip(ours, theirs, strict=True):
                # `max` would drop a NaN.
                difference = (one.float() - two.float()).abs().max().item()
                largest = max(largest, difference if difference == difference else float("inf"))
                size = max(size, two.float().abs().max().item())
            count += len(images)
            if logits:  # of images `(N, K)`, or of their pixels `(N, K, H, W)`
                same += float((ours[0].argmax(1) == theirs[0].argmax(1)).double().view(len(images), -1).mean(1).sum())
    return Agreement(count, largest, largest / max(size, 1e-30), 100 * same / count if logits else None)


def as_list(outputs: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """Wrap a single output in a list."""
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)
