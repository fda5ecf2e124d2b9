"""A network that looks at nothing, to compare trained ones with."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Constant"]


class Constant(nn.Module):
    """Gives every pixel, or voxel, the same values.

    Args:
        values: `(K,)`.
    """

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, *size)` to `(N, K, *size)`."""
        size = images.shape[2:]
        values = self.values.view(1, -1, *[1] * len(size)).expand(len(images), -1, *size)
        return values.contiguous()  # windows may be weighted in place
