"""A network that ignores its input, as a baseline."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Constant"]


class Constant(nn.Module):
    """Predicts the same values for every pixel or voxel.

    Args:
        values: the values to predict, `(K,)`.
    """

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, *size)` to `(N, K, *size)`."""
        size = images.shape[2:]
        values = self.values.view(1, -1, *[1] * len(size)).expand(len(images), -1, *size)
        return values.contiguous()  # windows may be weighted in place
