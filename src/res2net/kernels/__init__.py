"""The Res2 chain as functions of tensors: the readable reference, and fast paths with the same signature."""

from res2net.kernels.chain import Layout, chain, chain_backward
from res2net.kernels.recompute import BatchNorm, Convolution, interior, interior_recomputed

__all__ = [
    "BatchNorm",
    "Convolution",
    "Layout",
    "chain",
    "chain_backward",
    "interior",
    "interior_recomputed",
]
