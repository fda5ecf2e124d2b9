"""Layers with dilation in the place of layers with strides."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.measure import ReceptiveField, field_of
from res2net.nn.layers import MAX_POOL

__all__ = ["DilatedAvgPool", "DilatedMaxPool", "dilate"]


class DilatedMaxPool(nn.Module):
    """The maximum of some positions in each dimension, `dilation` apart, at stride 1; what lies outside does not count.

    It takes the place of a pooling with a stride where dilation replaces that stride: of the positions that the pooling
    would keep, it gives the same maxima.

    Args:
        dims: dimensions of the signal.
        dilation: between the positions that are compared.
        kernel_size: how many they are in each dimension.
        padding: how many of them come before the position itself.

    Shape: `(N, C, *size)` to the same.
    """

    def __init__(self, dims: int, dilation: int, kernel_size: int = 2, padding: int = 0) -> None:
        super().__init__()
        self.padding = (padding * dilation, (kernel_size - 1 - padding) * dilation) * dims
        self.pool = MAX_POOL[dims](kernel_size, stride=1, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, *size)` to the same shape."""
        return self.pool(F.pad(x, self.padding, value=-torch.inf))


class DilatedAvgPool(nn.Module):
    """The mean of 2 positions in each dimension, `dilation` apart, at stride 1; what lies outside does not count.

    It takes the place of an average pooling of kernel and stride 2, as `DilatedMaxPool` that of the maximum.

    Shape: `(N, C, *size)` to the same.
    """

    def __init__(self, dims: int, dilation: int) -> None:
        super().__init__()
        self.dims = dims
        self.dilation = dilation

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, *size)` to the same shape."""
        for axis in range(-self.dims, 0):
            both = max(0, x.shape[axis] - self.dilation)
            alone = x.shape[axis] - both
            mean = (x.narrow(axis, 0, both) + x.narrow(axis, alone, both)) / 2
            x = torch.cat((mean, x.narrow(axis, both, alone)), axis)
        return x


def dilate(network: nn.Module, names: Iterable[str], output_stride: int) -> None:
    """Replace, in place, the strides beyond `output_stride` by dilation; weights and their names stay.

    Args:
        network: whose layers work one after the other, in their order.
        names: of its parts, in turn, that are changed.
        output_stride: a stride that one of its layers has in the image.
    """
    stride, dilation = 1, 1
    for name in names:
        for path, layer in list(network.get_submodule(name).named_modules(prefix=name)):
            if not isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
                continue
            step = layer.stride[0] if isinstance(layer.stride, tuple) else layer.stride
            stride *= step
            beyond = step > 1 and stride > output_stride
            if isinstance(layer, nn.Conv2d):
                assert isinstance(layer.padding, tuple)
                layer.dilation = (dilation, dilation)
                layer.padding = (layer.padding[0] * dilation, layer.padding[1] * dilation)
                layer.stride = (1, 1) if beyond else layer.stride
            elif beyond and isinstance(layer, nn.MaxPool2d):
                assert isinstance(layer.kernel_size, int)
                assert isinstance(layer.padding, int)
                network.set_submodule(path, DilatedMaxPool(2, dilation, layer.kernel_size, layer.padding))
            elif beyond:
                assert (layer.kernel_size, step) == (2, 2), "only this average is known with dilation"
                network.set_submodule(path, DilatedAvgPool(2, dilation))
            dilation *= step if beyond else 1


@field_of.register
def _(module: DilatedAvgPool, axis: int) -> ReceptiveField:
    del axis
    return ReceptiveField(0, module.dilation, module.dilation + 1)
