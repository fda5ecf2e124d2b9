"""Runtimes for exported networks: programs that run them, all with the same call, images in and tensors out."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from res2net.errors import InputError, check_choice, listed
from res2net.export.artefact import MOST_VALUES, Artefact, check_hashes, read_artefact, sidecar
from res2net.export.settings import RUNS_CODE
from res2net.optional import needs
from res2net.registry import Registry

Run: TypeAlias = Callable[[Tensor], Sequence[Tensor]]
"""A network: images `(N, C, H, W)` to its outputs."""
Precision = Literal["fp32", "bf16"]
"""The precision of what is not in int8; only OpenVINO has bf16."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Shape: TypeAlias = tuple[int | None, ...]
"""The sizes of a tensor, None where the network takes or gives any."""


@dataclass(frozen=True)
class Network:
    """A network that was opened, and the shapes of its inputs and outputs; None where its format does not say."""

    run: Run
    inputs: Sequence[Shape] | None = None
    outputs: Sequence[Shape] | None = None


RUNTIMES: Registry[Callable[[Path, Precision, int | None], Network]] = Registry("Runtime")
"""Functions that open the file of a network for a runtime, by name. All but OpenVINO run their own format only."""


class Runtime(nn.Module):
    """An exported network that takes the place of the original module.

    Shape: images `(N, C, H, W)` to the output, or to a list of several. A network for batches of a fixed size is run
    as often as needed, with zeros to fill up the last batch.
    """

    def __init__(self, network: Network, artefact: Artefact, path: str | Path) -> None:
        super().__init__()
        self.network = network
        self.artefact = artefact
        self.path = path
        self.num_classes = len(artefact.class_names)

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Run the network on images."""
        wanted = tuple(self.artefact.input_shape[1:])
        if tuple(images.shape[1:]) != wanted:
            raise InputError(
                f"Images of {tuple(images.shape[1:])} do not fit the exported network: give images of {wanted}."
            )
        try:
            pieces = [self.network.run(batch) for batch in self.batches(images.float().cpu())]
        except Exception as error:  # each runtime has its own exceptions
            raise InputError(f"{self.path} cannot be run ({_reason(error)}): export again.") from error
        outputs = [torch.cat(parts)[: len(images)] for parts in zip(*pieces, strict=True)]
        return outputs if len(outputs) > 1 else outputs[0]

    def batches(self, images: Tensor) -> Iterator[Tensor]:
        """Split the images into batches of the size that the network takes."""
        if self.artefact.dynamic_batch:
            yield images
            return
        size = self.artefact.input_shape[0]
        for batch in images.split(size):
            if len(batch) < size:
                batch = torch.cat([batch, batch.new_zeros(size - len(batch), *batch.shape[1:])])
            yield batch


def load_runtime(
    path: str | Path,
    runtime: str | None = None,
    *,
    precision: Precision = "fp32",
    threads: int | None = None,
    trust: bool = False,
) -> Runtime:
    """Load an exported network.

    Args:
        path: the file that `res2net export` wrote, with its description in a JSON file beside it.
        runtime: a name of `RUNTIMES`, by default the one of the file's format.
        precision: precision of what is not in int8.
        threads: CPU threads, by default all.
        trust: open the file even if that can run code that is in it, as with "pt2" and "aoti": only for files that you
            made yourself or whose author you trust.

    Raises:
        InputError: the files are missing or damaged, are not for this runtime or precision, or need `trust`.
    """
    artefact = read_artefact(path)
    chosen, runtime = runtime, runtime or artefact.format
    open_network = RUNTIMES[runtime]
    check_choice("precision of a runtime", precision, Precision)
    # OpenVINO reads ONNX too.
    if runtime != artefact.format and (runtime, artefact.format) != ("openvino", "onnx"):
        raise InputError(f"{path} is for {artefact.format} and not for {runtime}: choose --runtime {artefact.format}.")
    if runtime in RUNS_CODE and not trust:
        raise InputError(
            f"Opening {path} can run any code that is in it, as with all files of torch's {runtime}: if you trust its "
            "author, add --trust (in Python trust=True); ONNX and OpenVINO files need no trust."
        )
    if runtime == "aoti" and not chosen:
        raise InputError(f"{path} is machine code, which only an explicit --runtime aoti opens.")
    if precision != "fp32" and runtime != "openvino":
        raise InputError(f"{runtime} has no {precision}: choose --runtime openvino, or --precision fp32.")
    check_hashes(Path(path), artefact)
    try:
        network = open_network(Path(path), precision, threads)
    except InputError:
        raise
    except Exception as error:  # each runtime has its own exceptions for damaged files
        raise InputError(
            f"{path} is damaged or not for this version of {runtime} ({_reason(error)}): export again."
        ) from error
    _check(network, artefact, path)
    return Runtime(network, artefact, path)


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _check(network: Network, artefact: Artefact, path: str | Path) -> None:
    """Raise `InputError` unless a network has the inputs and outputs that its description states."""
    wanted: Shape = tuple(artefact.input_shape)
    if artefact.dynamic_batch:
        wanted = (None, *wanted[1:])
    for what, shapes, described in (
        ("takes", network.inputs, [wanted]),
        ("returns", network.outputs, [None] * len(artefact.outputs)),
    ):
        if shapes is None:
            continue
        fits = len(shapes) == len(described) and all(
            other is None or (len(one) == len(other) and all(a in (None, b) for a, b in zip(one, other, strict=True)))
            for one, other in zip(shapes, described, strict=True)
        )
        if not fits:
            raise InputError(
                f"{path} {what} {_shown(shapes)}, and {sidecar(Path(path))} says {_shown(described)}: export again."
            )
        if any(math.prod(size or 1 for size in shape) > MOST_VALUES for shape in shapes):
            raise InputError(f"{path} {what} {_shown(shapes)}, which is more than any machine holds: export again.")


def _shown(shapes: Sequence[Shape | None]) -> str:
    """Describe tensors by their number, and their shapes where they are known."""
    sizes = [" x ".join("any" if size is None else f"{size:,}" for size in shape) for shape in shapes if shape]
    return f"{len(shapes)} {'tensor' if len(shapes) == 1 else 'tensors'}{f' of {listed(sizes)}' if sizes else ''}"


@functools.cache
def openvino_core() -> Any:
    """The `openvino.Core` of this process, with its CPU plugin loaded. It is never destroyed.

    The plugin installs an alternate signal stack for the thread, and restores the previous one when it is destroyed.
    If two plugins are not destroyed in the reverse order of their creation, the thread is left with a stack that no
    longer exists, and the next signal, such as the end of a child process, crashes the program.
    """
    with needs("OpenVINO", extra="export"):
        import openvino
    core = openvino.Core()
    core.get_property("CPU", "FULL_DEVICE_NAME")  # loads the plugin
    return core


def openvino_hints(precision: Precision, threads: int | None) -> dict[str, Any]:
    """The settings of OpenVINO for low latency, with all threads if `threads` is None.

    The precision is set explicitly, since OpenVINO uses bf16 by default on some CPUs.
    """
    hints: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
    }
    return hints if threads is None else hints | {"INFERENCE_NUM_THREADS": threads}


@RUNTIMES.register("openvino")
def open_openvino(path: Path, precision: Precision, threads: int | None) -> Network:
    """Open a network with OpenVINO on the CPU."""
    model = openvino_core().read_model(str(path))
    network = openvino_core().compile_model(model, "CPU", openvino_hints(precision, threads))
    request = network.create_infer_request()

    def run(images: Tensor) -> list[Tensor]:
        found = request.infer([images.contiguous().numpy()], share_inputs=True, share_outputs=False)
        return [torch.from_numpy(found[port]) for port in request.model_outputs]

    inputs, outputs = (
        [tuple(None if size.is_dynamic else size.get_length() for size in port.get_partial_shape()) for port in ports]
        for ports in (model.inputs, model.outputs)
    )
    return Network(run, inputs, outputs)


@RUNTIMES.register("onnx")
def open_onnx(path: Path, _precision: Precision, threads: int | None) -> Network:
    """Open a network with ONNX Runtime on the CPU."""
    with needs("ONNX", extra="export"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs, outputs = session.get_inputs(), session.get_outputs()

    def run(images: Tensor) -> list[Tensor]:
        return [torch.from_numpy(found) for found in session.run(None, {inputs[0].name: images.numpy()})]

    shapes = (
        [tuple(size if isinstance(size, int) else None for size in one.shape) for one in ports]
        for ports in (inputs, outputs)
    )
    return Network(run, *shapes)


@RUNTIMES.register("pt2")
def open_pt2(path: Path, _precision: Precision, _threads: int | None) -> Network:
    """Open an exported program with torch, which can run any code that is in the file."""
    import torch.ao.quantization.fx._decomposed  # registers the operators of int8
    import torchvision  # noqa: F401 # and those of detectors

    return torch_network(torch.export.load(path).module(check_guards=False))


@RUNTIMES.register("aoti")
def open_aoti(path: Path, _precision: Precision, _threads: int | None) -> Network:
    """Open a compiled library with torch: machine code."""
    return torch_network(torch._inductor.aoti_load_package(str(path)))


def torch_network(call: Callable[[Tensor], Any]) -> Network:
    """Wrap a callable of torch, which returns one tensor or several."""

    def run(images: Tensor) -> Sequence[Tensor]:
        with torch.no_grad():
            found = call(images)
        return [found] if isinstance(found, Tensor) else list(found)

    return Network(run)
