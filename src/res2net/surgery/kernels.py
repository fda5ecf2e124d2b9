"""What computes the convolutions and chains of an optimised network, and in which memory."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from res2net.errors import InputError, check_choice
from res2net.kernels.folded_op import triton_problem
from res2net.surgery.kinds import CHANNELS_LAST

__all__ = ["KERNELS", "channels_last", "device_of", "usable_kernels"]

KERNELS = ("onednn", "torch", "triton", "reference")


def device_of(model: nn.Module) -> torch.device:
    """Where the first of its tensors is."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def usable_kernels(kernels: str | None, target: str, device: torch.device) -> str:
    """The given kernels or the default ones; `InputError` where they do not run."""
    packs_here = device.type == "cpu" and torch.backends.mkldnn.is_available()
    if kernels is None:
        return "onednn" if packs_here and target == "eager" else "torch"
    check_choice("Kernels", kernels, KERNELS)
    if kernels == "onednn" and target == "export":
        raise InputError("kernels='onednn' does not fit target='export', whose layers are plain: use 'torch'.")
    if kernels == "onednn" and not packs_here:
        raise InputError(f"kernels='onednn' needs oneDNN and a CPU, and the network is on {device}: use 'torch'.")
    problem = triton_problem(device) if kernels == "triton" else None
    if problem is not None:
        raise InputError(f"kernels='triton' needs triton and a GPU, and {problem}: choose 'torch', or go to a GPU.")
    return kernels


def channels_last(model: nn.Module) -> None:
    """Bring, in place, weights of convolutions into channels-last memory, in which their outputs are then, too."""
    for module in model.modules():
        if isinstance(module, _ConvNd) and module.weight.ndim in CHANNELS_LAST:
            weight = module.weight.data
            # A kernel of one pixel is in both memories at once: only new strides tell which is meant.
            module.weight.data = torch.empty_like(weight, memory_format=CHANNELS_LAST[weight.ndim]).copy_(weight)
