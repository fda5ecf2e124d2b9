"""The kernels of an optimised network, and the memory format of its weights."""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from res2net.errors import InputError, check_choice
from res2net.kernels.folded_op import triton_problem
from res2net.surgery.kinds import CHANNELS_LAST

__all__ = ["Kernels", "Target", "channels_last", "device_of", "usable_kernels"]

Kernels = Literal["onednn", "torch", "triton", "reference"]
Target = Literal["eager", "export"]


def device_of(model: nn.Module) -> torch.device:
    """The device of the first tensor of a model."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def usable_kernels(kernels: Kernels | None, target: Target, device: torch.device) -> Kernels:
    """The given kernels, or the default ones; raises `InputError` if they do not run on the device."""
    packs_here = device.type == "cpu" and torch.backends.mkldnn.is_available()
    if kernels is None:
        return "onednn" if packs_here and target == "eager" else "torch"
    check_choice("kernels", kernels, Kernels)
    if kernels == "onednn" and target == "export":
        raise InputError("kernels='onednn' cannot be exported: use kernels='torch', or target='eager'.")
    if kernels == "onednn" and not packs_here:
        raise InputError(f"kernels='onednn' needs oneDNN and a CPU, and the network is on {device}: use 'torch'.")
    problem = triton_problem(device) if kernels == "triton" else None
    if problem is not None:
        raise InputError(f"kernels='triton' needs triton and a GPU, and {problem}: use 'torch'.")
    return kernels


def channels_last(model: nn.Module) -> None:
    """Convert the weights of convolutions to channels-last memory, in place, and with them their outputs."""
    for module in model.modules():
        if isinstance(module, _ConvNd) and module.weight.ndim in CHANNELS_LAST:
            weight = module.weight.data
            # The strides of a 1x1 kernel fit both formats, so `to` would not change them.
            module.weight.data = torch.empty_like(weight, memory_format=CHANNELS_LAST[weight.ndim]).copy_(weight)
