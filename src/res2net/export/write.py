"""Writers of exported networks, one for each format."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from res2net.errors import check_choice
from res2net.export.artefact import FORMATS
from res2net.export.concat_ranges import mark_concatenations
from res2net.export.core import openvino_core
from res2net.export.int8 import INT8_FORMATS, Calibration, quantized, quantized_module
from res2net.export.split_ranges import join_ranges
from res2net.optional import needs, quiet
from res2net.surgery import optimize

__all__ = ["export_network", "exported_program"]


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
    """Write a network to a file of a format.

    Args:
        network: from images to a tensor or a list of tensors; it is not changed.
        images: images `(N, C, H, W)`; their size is that of the exported network.
        path: of the file to write; OpenVINO's weights go beside it.
        format: one of `FORMATS`.
        names: of what comes out.
        dynamic_batch: take any number of images.
        calibration: images in batches like `images`: where given, the network is in int8, with the ranges of values
            that these have; only for `INT8_FORMATS`.
        optimized: rewrite the network first (`res2net.optimize`), and what is made of it in int8 (`join_ranges`,
            `mark_concatenations`).

    Raises:
        InputError: an unknown format, or one whose packages are not installed.
    """
    check_choice("Format", format, FORMATS)
    if calibration is not None:
        check_choice("Format with int8", format, INT8_FORMATS)
    if optimized:
        network = optimize(network, "export", example_input=images)
    with quiet():
        program = exported_program(network.eval(), images, dynamic_batch)
        measured = None if calibration is None else Calibration(calibration, optimized)
        WRITERS[format](program, path, names, measured)


def exported_program(network: nn.Module, images: Tensor, dynamic_batch: bool = False) -> ExportedProgram:
    """The network as torch exports it, for images of this size."""
    # A batch of one would be taken for a number that never changes.
    example = torch.cat([images, images])[:2] if dynamic_batch else images
    shapes = ({0: Dim("batch", min=1)},) if dynamic_batch else None
    with torch.no_grad():
        return torch.export.export(network, (example,), dynamic_shapes=shapes)


def write_pt2(program: ExportedProgram, path: Path, _names: Sequence[str], calibration: Calibration | None) -> None:
    """An exported program of torch."""
    if calibration is not None:
        made = quantized_module(program.module(check_guards=False), calibration.images)
        images = program.example_inputs[0][0]
        program = exported_program(made, images, dynamic_batch=bool(program.range_constraints))
    # Images and paths of this machine are nobody else's business, and take their place.
    program.example_inputs = None
    for node in program.graph.nodes:
        for name in ("stack_trace", "nn_module_stack", "from_node"):
            node.meta.pop(name, None)
    torch.export.save(program, path)


def write_aoti(program: ExportedProgram, path: Path, _names: Sequence[str], _calibration: Calibration | None) -> None:
    """A library that torch compiled for this machine."""
    torch._inductor.aoti_compile_and_package(program, package_path=str(path))


def write_onnx(program: ExportedProgram, path: Path, names: Sequence[str], calibration: Calibration | None) -> None:
    """ONNX, in one file."""
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

    model = quantized(made.model_proto, calibration.images, input_name="images")
    if calibration.optimized:
        mark_concatenations(model)
    onnx.save(model, str(path))


def write_openvino(program: ExportedProgram, path: Path, names: Sequence[str], calibration: Calibration | None) -> None:
    """OpenVINO's two files."""
    with needs("OpenVINO", extra="export"):
        import openvino
    model = openvino_model(program, names)
    if calibration is not None:
        openvino_core()  # before NNCF makes one, so that ours outlives it
        model = quantized(model, calibration.images)
        if calibration.optimized:
            join_ranges(model)
    openvino.save_model(model, str(path), compress_to_fp16=False)


def openvino_model(program: ExportedProgram, names: Sequence[str]) -> Any:
    """The network as OpenVINO has it."""
    import openvino

    if has_suppression(program):
        # OpenVINO has a rule for it in ONNX alone.
        with tempfile.TemporaryDirectory() as folder:
            between = Path(folder, "between.onnx")
            write_onnx(program, between, names, None)
            return openvino.convert_model(str(between))
    model = openvino.convert_model(program)
    model.inputs[0].get_tensor().set_names({"images"})
    model.reshape(input_shape(program))  # which it leaves open, and so plans for any
    for output, name in zip(model.outputs, names, strict=True):
        output.get_tensor().set_names({name})
    return model


def has_suppression(program: ExportedProgram) -> bool:
    """Whether boxes are suppressed by torchvision in it, as detectors do."""
    return any("torchvision" in str(node.target) for node in program.graph.nodes if node.op == "call_function")


def input_shape(program: ExportedProgram) -> list[int]:
    """The shape of the images, with -1 for a size that may change."""
    (images,) = (node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs)
    return [size if isinstance(size, int) else -1 for size in images.meta["val"].shape]


WRITERS: dict[str, Callable[[ExportedProgram, Path, Sequence[str], Calibration | None], None]] = {
    "pt2": write_pt2,
    "onnx": write_onnx,
    "openvino": write_openvino,
    "aoti": write_aoti,
}
