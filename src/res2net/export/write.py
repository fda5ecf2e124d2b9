"""Writers of exported networks, one per format."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from res2net.errors import check_choice
from res2net.export.int8 import Calibration, quantize, quantize_module
from res2net.export.runtimes import openvino_core
from res2net.export.settings import Int8Format
from res2net.export.split_ranges import join_ranges, mark_concatenations
from res2net.optional import needs, quiet
from res2net.registry import Registry
from res2net.surgery import optimize

Writer: TypeAlias = Callable[[ExportedProgram, Path, Sequence[str], Calibration | None], None]
"""A function that writes a program to a file, with the names of its outputs, in int8 if a calibration is given."""
WRITERS: Registry[Writer] = Registry("Format")
"""The writers by name of the format."""


def export_network(
    network: nn.Module,
    images: Tensor,
    path: Path,
    format: str,  # noqa: A002
    *,
    names: Sequence[str] = ("logits",),
    dynamic_batch: bool = False,
    calibration: Iterable[Tensor] | None = None,
    optimized: bool = True,
) -> None:
    """Write a network to a file.

    Args:
        network: the network, from images to a tensor or a list of tensors; it is not changed.
        images: example images `(N, C, H, W)`; the exported network takes images of their size.
        path: the file to write; OpenVINO's weights go into a second file beside it.
        format: a name of `FORMATS`.
        names: the names of the outputs.
        dynamic_batch: let the exported network take any number of images.
        calibration: batches of images of the shape of `images`. If given, the network is quantized to int8 with the
            ranges of activations on these images; only for `INT8_FORMATS`.
        optimized: rewrite the network before export (`res2net.optimize`), and the quantized one after it
            (`join_ranges`, `mark_concatenations`).

    Raises:
        InputError: the format is unknown, or its packages are not installed.
    """
    write = WRITERS[format]
    measured = None if calibration is None else Calibration(calibration, optimized)
    if measured:
        check_choice("format with int8", format, Int8Format)
    if optimized:
        network = optimize(network, "export", example_input=images)
    with quiet():
        write(exported_program(network.eval(), images, dynamic_batch), path, names, measured)


def exported_program(network: nn.Module, images: Tensor, dynamic_batch: bool = False) -> ExportedProgram:
    """Export a network with `torch.export`, for images of this size."""
    # Torch would treat a batch size of one as a constant.
    example = torch.cat([images, images])[:2] if dynamic_batch else images
    shapes = ({0: Dim("batch", min=1)},) if dynamic_batch else None
    with torch.no_grad():
        return torch.export.export(network, (example,), dynamic_shapes=shapes)


@WRITERS.register("pt2")
def write_pt2(program: ExportedProgram, path: Path, _names: Sequence[str], calibration: Calibration | None) -> None:
    """Write an exported program of torch."""
    if calibration is not None:
        made = quantize_module(program.module(check_guards=False), calibration.images)
        images = program.example_inputs[0][0]
        program = exported_program(made, images, dynamic_batch=bool(program.range_constraints))
    # The example images and the paths of this machine are private, and take up space.
    program.example_inputs = None
    for node in program.graph.nodes:
        for name in ("stack_trace", "nn_module_stack", "from_node"):
            node.meta.pop(name, None)
    torch.export.save(program, path)


@WRITERS.register("aoti")
def write_aoti(program: ExportedProgram, path: Path, _names: Sequence[str], _calibration: Calibration | None) -> None:
    """Compile a library for this machine with torch."""
    torch._inductor.aoti_compile_and_package(program, package_path=str(path))


@WRITERS.register("onnx")
def write_onnx(program: ExportedProgram, path: Path, names: Sequence[str], calibration: Calibration | None) -> None:
    """Write an ONNX model in one file."""
    with needs("ONNX", extra="export"):
        import onnxscript  # noqa: F401
    with redirect_stdout(io.StringIO()):
        made = torch.onnx.export(
            program, input_names=["images"], output_names=list(names), dynamo=True, verbose=False, optimize=True
        )
    assert made is not None
    if calibration is None:
        made.save(str(path), external_data=False)
        return
    import onnx

    model = quantize(made.model_proto, calibration.images, input_name="images")
    if calibration.optimized:
        mark_concatenations(model)
    onnx.save(model, str(path))


@WRITERS.register("openvino")
def write_openvino(program: ExportedProgram, path: Path, names: Sequence[str], calibration: Calibration | None) -> None:
    """Write the two files of an OpenVINO model."""
    with needs("OpenVINO", extra="export"):
        import openvino
    model = openvino_model(program, names)
    if calibration is not None:
        openvino_core()  # created before NNCF's, so that it outlives that
        model = quantize(model, calibration.images)
        if calibration.optimized:
            join_ranges(model)
    openvino.save_model(model, str(path), compress_to_fp16=False)


def openvino_model(program: ExportedProgram, names: Sequence[str]) -> Any:
    """Convert an exported program to an OpenVINO model."""
    import openvino

    operators = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    if any("torchvision" in name for name in operators):
        # OpenVINO converts torchvision's non-maximum suppression from ONNX only.
        with tempfile.TemporaryDirectory() as folder:
            between = Path(folder, "between.onnx")
            write_onnx(program, between, names, None)
            return openvino.convert_model(str(between))
    model = openvino.convert_model(program)
    model.inputs[0].get_tensor().set_names({"images"})
    (images,) = (node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs)
    # The conversion leaves all sizes dynamic.
    model.reshape([size if isinstance(size, int) else -1 for size in images.meta["val"].shape])
    for output, name in zip(model.outputs, names, strict=True):
        output.get_tensor().set_names({name})
    return model
