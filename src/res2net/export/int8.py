"""Networks in whole numbers of 8 bits: ranges of values are measured on images, weights are not trained."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from res2net.errors import InputError
from res2net.optional import needs, quiet

__all__ = ["INT8_FORMATS", "Calibration", "quantized", "quantized_module"]

INT8_FORMATS = ("pt2", "onnx", "openvino")


@dataclass(frozen=True)
class Calibration:
    """How a network comes into int8."""

    images: Iterable[Tensor]
    """In batches `(N, C, H, W)`, on which ranges of values are measured."""
    optimized: bool
    """Whether splits and concatenations are brought into 8 bits where the runtime would leave them in 32."""


def quantized(model: Any, images: Iterable[Tensor], *, input_name: str | None = None) -> Any:
    """The same network of OpenVINO or ONNX with its convolutions and matrix products in int8, by NNCF.

    A range holds all values of all images. The mean over batches, NNCF's own choice, would leave out much of what
    batches of one image have.

    Args:
        model: as OpenVINO or ONNX has it.
        images: batches `(N, C, H, W)` of the network's own batch size, such as those that it will see.
        input_name: of an ONNX network.

    Raises:
        InputError: there are no images, or NNCF is not installed.
    """
    with needs("Int8", extra="export"):
        import nncf
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet
    arrays = [batch.numpy() for batch in some(images)]
    items = [{input_name: array} for array in arrays] if input_name else arrays
    ranges = nncf.AdvancedQuantizationParameters(activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX)
    with quiet(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return nncf.quantize(
            model,
            nncf.Dataset(items),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(items),
            advanced_parameters=ranges,
        )


def quantized_module(module: GraphModule, images: Iterable[Tensor]) -> GraphModule:
    """The same for the module of an exported program, by torchao's quantizer for processors.

    Weights become int8, and behind each of them, and around each layer, stands the arithmetic between whole numbers and
    fp32. Torch's compiler makes whole-number convolutions of these; run as they are, they compute the same in fp32.

    Args:
        module: `program.module()`; it is changed.
        images: as in `quantized`.

    Raises:
        InputError: there are no images, or torchao is not installed.
    """
    with needs("Int8 of pt2", extra="export"), quiet():
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
        from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86
    scheme = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    measured = prepare_pt2e(module, scheme)
    with torch.no_grad():
        for batch in some(images):
            measured(batch)
        made: GraphModule = convert_pt2e(measured)
    leave_out_unused(made)
    return made


def leave_out_unused(module: GraphModule) -> None:
    """Remove the tensors that no step of the graph uses: weights in fp32 whose place others have taken."""
    used = {node.target for node in module.graph.nodes if node.op == "get_attr"}
    for name in [name for name, _ in (*module.named_parameters(), *module.named_buffers()) if name not in used]:
        owner, _, last = name.rpartition(".")
        delattr(module.get_submodule(owner), last)


def some(images: Iterable[Tensor]) -> Iterator[Tensor]:
    """The same batches; `InputError` where there are none."""
    empty = True
    for batch in images:
        yield batch
        empty = False
    if empty:
        raise InputError("Int8 needs images to measure ranges of values on: give a folder with some (--calibrate).")
