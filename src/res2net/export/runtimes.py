"""Programs that run exported networks, all with the same call: images in, tensors out."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from res2net.errors import InputError, check_choice
from res2net.export.artefact import Artefact, read_artefact
from res2net.export.core import openvino_core, openvino_hints
from res2net.optional import needs

__all__ = ["PRECISIONS", "RUNTIMES", "SAFE_RUNTIMES", "Runtime", "load_runtime"]

Run = Callable[[Tensor], Sequence[Tensor]]

PRECISIONS = ("fp32", "bf16")
"""In which a runtime computes what is not in whole numbers; only OpenVINO has bf16."""
WORDS = (
    r"Symbol\('[su]\d+'|(positive|nonnegative|negative|integer)=|True|False|(Floor|Clean|Ceil)Div|Mod|Max|Min|[su]?\d+|"
    r"(Strict)?(Greater|Less)Than|(Une|E)quality|Integer"
)
HARMLESS = re.compile(rf"({WORDS}|[\s+\-*/%(),<>=])*")
"""Arithmetic of sizes in an exported program. Torch has Python evaluate it, so nothing else may be there."""


class Runtime(nn.Module):
    """An exported network that stands in the place of the network.

    Shape: images `(N, C, H, W)` to its output, or to a list where it has several. A network for a fixed number of
    images is run as often as needed, the last time with zeros.
    """

    def __init__(self, run: Run, artefact: Artefact) -> None:
        super().__init__()
        self.run = run
        self.artefact = artefact
        self.num_classes = len(artefact.class_names)

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Images to what the network makes of them."""
        wanted = tuple(self.artefact.input_shape[1:])
        if tuple(images.shape[1:]) != wanted:
            raise InputError(f"The exported network takes images of {wanted}, not of {tuple(images.shape[1:])}.")
        pieces = [self.run(batch) for batch in self.batches(images.float().cpu())]
        outputs = [torch.cat(parts)[: len(images)] for parts in zip(*pieces, strict=True)]
        return outputs if len(outputs) > 1 else outputs[0]

    def batches(self, images: Tensor) -> Iterator[Tensor]:
        """The images in batches that the network takes."""
        if self.artefact.dynamic_batch:
            yield images
            return
        size = self.artefact.input_shape[0]
        for batch in images.split(size):
            if len(batch) < size:
                batch = torch.cat([batch, batch.new_zeros(size - len(batch), *batch.shape[1:])])
            yield batch


def load_runtime(
    path: str | Path, runtime: str | None = None, *, precision: str = "fp32", threads: int | None = None
) -> Runtime:
    """Make an exported network ready to run.

    Args:
        path: of the file that `res2net export` wrote, with its description beside it.
        runtime: one of `RUNTIMES`; by default the one that the file is for.
        precision: one of `PRECISIONS`.
        threads: of the processor; by default all.

    Raises:
        InputError: the files are missing or damaged, or do not fit the runtime.
    """
    artefact = read_artefact(path)
    runtime = runtime or artefact.format
    check_choice("Runtime", runtime, RUNTIMES)
    check_choice("Precision of a runtime", precision, PRECISIONS)
    # OpenVINO reads ONNX too.
    if runtime != artefact.format and (runtime, artefact.format) != ("openvino", "onnx"):
        raise InputError(f"{path} is for {artefact.format} and not for {runtime}: choose --runtime {artefact.format}.")
    if precision != "fp32" and runtime != "openvino":
        raise InputError(f"{runtime} computes in fp32 here: choose --runtime openvino for {precision}.")
    try:
        return Runtime(RUNTIMES[runtime](Path(path), precision, threads), artefact)
    except InputError:
        raise
    except Exception as error:  # each program has its own ways to say that a file is damaged
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is damaged or not for this {runtime} ({reason}): export again.") from error


def openvino_runner(path: Path, precision: str, threads: int | None) -> Run:
    """OpenVINO on the processor."""
    network = openvino_core().compile_model(str(path), "CPU", openvino_hints(precision, threads))
    request = network.create_infer_request()

    def run(images: Tensor) -> list[Tensor]:
        found = request.infer([images.contiguous().numpy()], share_inputs=True, share_outputs=False)
        return [torch.from_numpy(found[port]) for port in request.model_outputs]

    return run


def onnx_runner(path: Path, _precision: str, threads: int | None) -> Run:
    """ONNX Runtime on the processor."""
    with needs("ONNX", extra="export"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: [torch.from_numpy(found) for found in session.run(None, {name: images.numpy()})]


def pt2_runner(path: Path, _precision: str, _threads: int | None) -> Run:
    """The exported program in torch."""
    import torch.ao.quantization.fx._decomposed  # makes the steps of int8 known
    import torchvision  # noqa: F401 # and those of detectors

    check_program(path)
    with only_weights():
        program = torch.export.load(path)
    return torch_runner(program.module(check_guards=False))  # guards are code


def aoti_runner(path: Path, _precision: str, _threads: int | None) -> Run:
    """The compiled library. It is machine code: only what was made here is run."""
    return torch_runner(torch._inductor.aoti_load_package(str(path)))


def torch_runner(call: Callable[[Tensor], Any]) -> Run:
    """A callable of torch."""

    def run(images: Tensor) -> Sequence[Tensor]:
        with torch.no_grad():
            found = call(images)
        return [found] if isinstance(found, Tensor) else list(found)

    return run


def check_program(path: Path) -> None:
    """`InputError` where an exported program has expressions that are more than arithmetic."""

    def check(value: Any) -> None:
        if isinstance(value, dict):
            text = value.get("expr_str", "")
            if not isinstance(text, str) or not HARMLESS.fullmatch(text):
                raise InputError(f"{path} has an expression that is no arithmetic ({text!r}): do not use this file.")
            for part in value.values():
                check(part)
        elif isinstance(value, list):
            for part in value:
                check(part)

    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".json"):
                check(json.loads(archive.read(name)))


@contextmanager
def only_weights() -> Iterator[None]:
    """Lets torch read tensors and nothing else, also where it asks for more."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


RUNTIMES: dict[str, Callable[[Path, str, int | None], Run]] = {
    "openvino": openvino_runner,
    "onnx": onnx_runner,
    "pt2": pt2_runner,
    "aoti": aoti_runner,
}
"""Each runtime by name; all but OpenVINO run files of their own format only."""
SAFE_RUNTIMES = ("openvino", "onnx", "pt2")
"""Those whose files hold no machine code, and so may come from elsewhere."""
