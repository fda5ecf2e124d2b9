"""Post-training quantization to int8, with activation ranges measured on images."""

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


@dataclass(frozen=True)
class Calibration:
    """How a network is quantized to int8."""

    images: Iterable[Tensor]
    """Batches `(N, C, H, W)` on which the ranges of activations are measured."""
    optimized: bool
    """Whether splits and concatenations are kept in 8 bits where the runtime would compute them in 32."""


def quantize(model: Any, images: Iterable[Tensor], *, input_name: str | None = None) -> Any:
    """Quantize the convolutions and matrix products of an OpenVINO or ONNX model to int8 with NNCF.

    The range of an activation covers all its values on all images, given in batches `(N, C, H, W)` of the model's batch
    size. NNCF's default, the mean over batches, would clip many values when batches have one image. ONNX needs
    `input_name`.
    """
    with needs("Int8", extra="export"):
        import nncf
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet
    arrays = [batch.numpy() for batch in nonempty(images)]
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


def quantize_module(module: GraphModule, images: Iterable[Tensor]) -> GraphModule:
    """Quantize the module of an exported program to int8 with torchao's quantizer for x86 CPUs; it is changed.

    Weights are stored in int8, with dequantization after each of them and quantization around each layer. Torch's
    compiler turns these into int8 convolutions; without it, the same values are computed in fp32. The images are
    batches `(N, C, H, W)` of the program's batch size.
    """
    with needs("Int8 of pt2", extra="export"), quiet():
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
        from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86
    scheme = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    measured = prepare_pt2e(module, scheme)
    with torch.no_grad():
        for batch in nonempty(images):
            measured(batch)
        made: GraphModule = convert_pt2e(measured)
    remove_unused_tensors(made)
    return made


def remove_unused_tensors(module: GraphModule) -> None:
    """Remove the tensors that no node of the graph uses, such as fp32 weights that were replaced by int8 ones."""
    used = {node.target for node in module.graph.nodes if node.op == "get_attr"}
    for name in [name for name, _ in (*module.named_parameters(), *module.named_buffers()) if name not in used]:
        owner, _, last = name.rpartition(".")
        delattr(module.get_submodule(owner), last)


def nonempty(images: Iterable[Tensor]) -> Iterator[Tensor]:
    """Pass on the batches; raise `InputError` if there are none."""
    batches = iter(images)
    first = next(batches, None)
    if first is None:
        raise InputError("Int8 needs images to measure the ranges of activations: give some with --calibrate.")
    yield first
    yield from batches
