"""The folded Res2 chain as one operator of torch, which `torch.export`, `torch.compile` and CUDA graphs keep whole."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal, TypeAlias, cast, get_args

import torch
from torch import Tensor

from res2net.errors import InputError, check_choice
from res2net.kernels.chain import Layout, SplitOrder
from res2net.kernels.folded import DEFAULTS, Act, ChainOptions, PassThrough, check_folded, folded_chain, output_shape

__all__ = ["BACKENDS", "Backend", "folded_chain_op", "triton_problem"]

Backend: TypeAlias = Literal["reference", "triton"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


def folded_chain_op(
    x: Tensor,
    weights: Tensor,
    biases: Tensor,
    layout: Layout,
    options: ChainOptions = DEFAULTS,
    *,
    backend: Backend = "reference",
    tf32: bool = False,
) -> Tensor:
    """Compute `folded_chain` as the operator `res2net::folded_chain`, with its output in channels-last memory.

    It is not differentiable.

    Args:
        x: as in `folded_chain`.
        weights: as in `folded_chain`.
        biases: as in `folded_chain`.
        layout: as in `folded_chain`.
        options: as in `folded_chain`.
        backend: "reference" computes anywhere, "triton" on a GPU where triton is installed.
        tf32: whether the Triton kernel rounds products of fp32 to tf32; the reference follows torch's own setting.

    Raises:
        InputError: an option or a shape does not fit, or the backend does not run here.
    """
    check_choice("Backend", backend, BACKENDS)
    check_folded(x, weights, biases, layout, options)
    splits = (layout.width, layout.scale, layout.hierarchical, layout.split_order, layout.passes)
    return torch.ops.res2net.folded_chain(x, weights, biases, *splits, *options, backend, tf32)


def triton_problem(device: torch.device) -> str | None:
    """Why `backend="triton"` does not run on a device; None on a GPU, and anywhere with TRITON_INTERPRET=1."""
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
    # The schema of an operator has numbers and strings only.
    layout = Layout(width, scale, hierarchical, cast(SplitOrder, split_order), passes)
    pass_through = cast(PassThrough | None, pass_through)
    options = ChainOptions(stride, dilation, groups, cast(Act, act), pass_through, pool_counts_padding)
    if backend == "reference":
        y = folded_chain(x, weights, biases, layout, options)
        return y.contiguous(memory_format=torch.channels_last)
    try:
        from res2net.kernels.triton_chain import folded_chain_triton
    except ImportError as missing:
        raise InputError(f"backend='triton' needs {missing.name}, which is not installed: use 'reference'.") from None
    return folded_chain_triton(x, weights, biases, layout, options, tf32=tf32)


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
