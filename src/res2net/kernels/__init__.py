"""The Res2 chain as functions of tensors: a readable reference, and fast paths with the same signature."""

from res2net.kernels.chain import Layout, SplitOrder, chain, chain_backward
from res2net.kernels.folded import ChainOptions, folded_chain, tap_major
from res2net.kernels.folded_op import folded_chain_op
from res2net.kernels.recompute import BatchNorm, Convolution, interior, interior_recomputed

__all__ = [
    "BatchNorm",
    "ChainOptions",
    "Convolution",
    "Layout",
    "SplitOrder",
    "chain",
    "chain_backward",
    "folded_chain",
    "folded_chain_op",
    "interior",
    "interior_recomputed",
    "tap_major",
]
