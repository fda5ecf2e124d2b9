"""Compare the outputs of two networks on the same images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from res2net.errors import InputError

LIMIT = 1e-4
"""Largest accepted relative difference in fp32."""
INT8_LIMIT = 90.0
"""Smallest accepted share of images, in percent, for which int8 leaves the most likely class unchanged."""
INT8_FEATURES_LIMIT = 0.5
"""Largest accepted relative difference in int8 of outputs other than logits, such as features and heat maps."""


@dataclass(frozen=True)
class Agreement:
    """How closely the outputs of a network match those of a reference network."""

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

    def summary(self, images: str) -> str:
        """A one-line summary; `images` names the images that were compared, such as "synthetic images"."""
        line = f"{self.images} {images}: largest difference {self.largest:.2e}, relative {self.relative:.2e}"
        return line if self.top1 is None else f"{line}, same likeliest class {self.top1:.1f} %"

    def check(self, *, int8: bool) -> None:
        """Raise `InputError` if the outputs differ by more than rounding, or int8 quantization, explains."""
        if not int8 and self.relative > LIMIT:
            raise InputError(
                f"The file differs from the network by {self.relative:.1e} of the largest output, and {LIMIT:.0e} is "
                "allowed: nothing was written; try another format."
            )
        if int8 and self.top1 is None and self.relative > INT8_FEATURES_LIMIT:
            raise InputError(
                f"In int8 the outputs differ from those of the network by {self.relative:.1e} of the largest, and "
                f"{INT8_FEATURES_LIMIT} is allowed: nothing was written; calibrate on more images like those to come."
            )
        if int8 and self.top1 is not None and self.top1 < INT8_LIMIT:
            raise InputError(
                f"In int8 only {self.top1:.1f} % of the images keep their likeliest class, and {INT8_LIMIT:.0f} % are "
                "needed: nothing was written; calibrate on more images like those to come."
            )


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
