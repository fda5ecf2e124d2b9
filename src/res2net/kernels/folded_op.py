"""The folded Res2 chain as one operator of torch, which `torch.export`, `torch.compile` and CUDA graphs keep whole."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from res2net.errors import InputError, check_choice
from res2net.kernels.chain import Layout
from res2net.kernels.folded import DEFAULTS, ChainOptions, check_folded, folded_chain, output_shape

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

    It is not differentiable. The backend "reference" computes anywhere, "triton" on a GPU where triton is installed.
    With `tf32` the Triton kernel rounds products of fp32 to tf32; the reference follows torch's own setting.

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


SCHEMA = (
    "(Tensor x, Tensor weights, Tensor biases, "
    "SymInt width, SymInt scale, bool hierarchical, str split_order, bool passes, "
    "SymInt stride, SymInt dilation, SymInt groups, str act, str? pass_through, bool pool_counts_padding, "
    "str backend, bool tf32) -> Tensor"
)
"""The fields of a layout and of the options one by one, since operators take numbers and strings only."""


@torch.library.custom_op("res2net::folded_chain", mutates_args=(), schema=SCHEMA)
def _folded_chain(x: Tensor, weights: Tensor, biases: Tensor, *numbers: Any) -> Tensor:
    layout, options, (backend, tf32) = Layout(*numbers[:5]), ChainOptions(*numbers[5:11]), numbers[11:]
    if backend == "reference":
        y = folded_chain(x, weights, biases, layout, options)
        return y.contiguous(memory_format=torch.channels_last)
    try:
        from res2net.kernels.triton_chain import folded_chain_triton
    except ImportError as missing:
        raise InputError(f"backend='triton' needs {missing.name}, which is not installed: use 'reference'.") from None
    return folded_chain_triton(x, weights, biases, layout, options, tf32=tf32)


@_folded_chain.register_fake
def _(x: Tensor, weights: Tensor, biases: Tensor, *numbers: Any) -> Tensor:
    stride = numbers[5]
    return torch.empty(output_shape(x, stride), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
