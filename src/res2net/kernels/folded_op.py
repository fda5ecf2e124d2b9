"""The folded Res2 chain as one operator of torch: `torch.export`, `torch.compile` and CUDA graphs take it whole."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from res2net.errors import InputError, check_choice
from res2net.kernels.chain import Layout
from res2net.kernels.folded import check_folded, folded_chain, output_shape

__all__ = ["BACKENDS", "folded_chain_op", "triton_problem"]

BACKENDS = ("reference", "triton")


def folded_chain_op(
    x: Tensor,
    weights: Tensor,
    biases: Tensor,
    layout: Layout,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    act: str = "relu",
    pass_through: str | None = None,
    pool_counts_padding: bool = True,
    backend: str = "reference",
    tf32: bool = False,
) -> Tensor:
    """`folded_chain` by a backend, as the operator `res2net::folded_chain`; the output is in channels-last memory.

    `backend="reference"` computes anywhere, `"triton"` on a GPU where triton is installed. With `tf32` the latter
    rounds products of fp32 to tf32, while the reference follows torch's own setting. The other arguments are those of
    `folded_chain`. There is no gradient.

    Raises:
        InputError: an option or a shape does not fit, or the backend does not run here.
    """
    check_choice("Backend", backend, BACKENDS)
    check_folded(x, weights, biases, layout, stride, dilation, groups, act, pass_through)
    splits = (layout.width, layout.scale, layout.hierarchical, layout.split_order, layout.passes)
    steps = (stride, dilation, groups, act, pass_through, pool_counts_padding)
    return torch.ops.res2net.folded_chain(x, weights, biases, *splits, *steps, backend, tf32)


def triton_problem(device: torch.device) -> str | None:
    """Why `backend="triton"` does not compute there; None on a GPU, and anywhere with TRITON_INTERPRET=1."""
    if find_spec("triton") is None:
        return "triton is not installed"
    import triton

    return None if device.type == "cuda" or triton.knobs.runtime.interpret else f"the network is on {device}"


@torch.library.custom_op("res2net::folded_chain", mutates_args=())
def _folded_chain(
    x: Tensor,
    weights: Tensor,
    biases: Tensor,
    width: int,
    scale: int,
    hierarchical: bool,
    split_order: str,
    passes: bool,
    stride: int,
    dilation: int,
    groups: int,
    act: str,
    pass_through: str | None,
    pool_counts_padding: bool,
    backend: str,
    tf32: bool,
) -> Tensor:
    layout = Layout(width, scale, hierarchical, split_order, passes)
    options: dict[str, Any] = {
        "stride": stride,
        "dilation": dilation,
        "groups": groups,
        "act": act,
        "pass_through": pass_through,
        "pool_counts_padding": pool_counts_padding,
    }
    if backend == "reference":
        y = folded_chain(x, weights, biases, layout, **options)
        return y.contiguous(memory_format=torch.channels_last)
    try:
        from res2net.kernels.triton_chain import folded_chain_triton
    except ImportError as missing:
        raise InputError(f"backend='triton' needs {missing.name}, which is not installed: use 'reference'.") from None
    return folded_chain_triton(x, weights, biases, layout, **options, tf32=tf32)


@_folded_chain.register_fake
def _(
    x: Tensor,
    weights: Tensor,
    biases: Tensor,
    width: int,
    scale: int,
    hierarchical: bool,
    split_order: str,
    passes: bool,
    stride: int,
    *options: object,
) -> Tensor:
    return torch.empty(output_shape(x, stride), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
