"""Channel attention."""

from __future__ import annotations

from torch import Tensor, nn

from res2net.nn.layers import check_positive, conv

__all__ = ["SqueezeExcitation"]


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation: each channel is scaled by a gate computed from the means of all channels.

    Source: Hu et al., CVPR 2018. torchvision has this module for two dimensions only.

    Args:
        channels: number of input and of output channels.
        reduction: the hidden layer has `channels // reduction` channels, at least one.
        dims: number of dimensions of the signal: 1, 2 or 3.

    Shape: `(N, channels, *size)` to the same.

    Raises:
        InputError: the reduction is not a positive integer, or the number of dimensions is not 1, 2 or 3.
    """

    def __init__(self, channels: int, reduction: int = 16, *, dims: int = 2) -> None:
        super().__init__()
        check_positive("Reduction", reduction)
        hidden = max(1, channels // reduction)
        self.fc1 = conv(dims, channels, hidden, bias=True)
        self.act = nn.ReLU(inplace=True)
        self.fc2 = conv(dims, hidden, channels, bias=True)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """`(N, channels, *size)` to the same shape, each channel scaled by a factor between 0 and 1."""
        mean = x.mean(tuple(range(2, x.ndim)), keepdim=True)
        return x * self.gate(self.fc2(self.act(self.fc1(mean))))
