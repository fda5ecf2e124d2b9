"""Dilated layers in place of strided ones."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res2net.measure import ReceptiveField, field_of
from res2net.nn.layers import layer_class


class DilatedMaxPool(nn.Module):
    """A dilated maximum pooling at stride 1, in which positions outside of the signal do not count.

    It replaces a strided pooling where dilation replaces the stride: at the positions that the strided pooling would
    keep, it gives the same maxima.

    Shape: `(N, C, *size)` to the same.
    """

    def __init__(self, dims: int, dilation: int, kernel_size: int = 2, padding: int = 0) -> None:
        super().__init__()
        self.padding = (padding * dilation, (kernel_size - 1 - padding) * dilation) * dims
        self.pool = layer_class("MaxPool", dims)(kernel_size, stride=1, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, *size)` to the same shape."""
        return self.pool(F.pad(x, self.padding, value=-torch.inf))


class DilatedAvgPool(nn.Module):
    """A dilated average pooling of 2 positions in each dimension at stride 1, without positions outside of the signal.

    It replaces an average pooling of kernel and stride 2 as `DilatedMaxPool` replaces a maximum pooling.

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
    """Replace, in place, the strides beyond `output_stride` by dilation in the parts with these names, in order.

    Weights and their names stay. The layers of the network must run in the order of their definition.
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
                assert (layer.kernel_size, step) == (2, 2), "only an average of kernel and stride 2 can be dilated"
                network.set_submodule(path, DilatedAvgPool(2, dilation))
            dilation *= step if beyond else 1


@field_of.register
def _(module: DilatedAvgPool, axis: int) -> ReceptiveField:
    del axis
    return ReceptiveField(0, module.dilation, module.dilation + 1)
