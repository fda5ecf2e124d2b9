"""How the networks of a task are exported, and how the task runs on an exported network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

import torch
from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.export.artefact import Artefact
from res2net.export.runtimes import Precision, Runtime, load_runtime
from res2net.export.verify import compare_outputs
from res2net.images.decode import read_image
from res2net.images.folder import ReadFiles
from res2net.images.samples import Skipped, Transformed
from res2net.images.shapes.dataset import Shapes
from res2net.options import from_dict
from res2net.registry import Registry
from res2net.task import task_modules
from res2net.task.base import TASKS, Task


class Agreement(Protocol):
    """How closely the outputs of an exported network match those of the original."""

    def to_dict(self) -> dict[str, float]:
        """All numbers as a dictionary for JSON."""

    def summary(self, images: str) -> str:
        """A one-line summary; `images` names the images that were compared, such as "synthetic images"."""

    def check(self, *, int8: bool) -> None:
        """Raise `InputError` if the outputs differ by more than rounding, or int8 quantization, explains."""


class Exporter:
    """How a task's network is exported, and how the task runs on an exported network.

    The model of the task is its trained network; or, before `restore`, the exported one.
    """

    outputs: ClassVar[Sequence[str]] = ("logits",)
    """Names of the network's outputs."""
    required_facts: ClassVar[Sequence[str]] = ()
    """The facts of the task that the metadata of an exported network must contain."""
    may_lack_options: ClassVar[bool] = False
    """Whether the metadata may omit the options of the task, because they only affect training."""
    formats: ClassVar[Sequence[str]] = ("pt2", "onnx", "openvino", "aoti")
    """The formats that the network can be exported to."""
    int8: ClassVar[bool] = True
    """Whether the network can be quantized."""
    dynamic_batch: ClassVar[bool] = True
    """Whether the exported network can accept batches of any size."""
    compared: ClassVar[int] = 32
    """Number of synthetic images to compare the exported network on, if the user gives no images."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def set_size(self, size: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Fix the size of the network's input.

        Args:
            size: height and width; by default what suits the task.

        Returns:
            Height and width; for volumes the number of slices, height and width.

        Raises:
            InputError: the network does not support that size.
        """
        raise NotImplementedError

    def transform(self) -> Callable[[Any], Tensor]:
        """The transform from an image to the input of the exported network, `(C, H, W)`; call `set_size` first."""
        raise NotImplementedError

    @property
    def in_channels(self) -> int:
        """Number of input channels: those of an image and any that the task adds."""
        return len(self.task.preprocessing.mean)

    def examples(self, count: int) -> Iterable[Any]:
        """Synthetic inputs to compare the exported network on, of the type that `Inputs.read` returns."""
        samples = Shapes(count, seed=0)
        return (samples[index][0] for index in range(count))

    def compare(self, exported: nn.Module, original: nn.Module, batches: Iterable[Tensor]) -> Agreement:
        """Compare an exported network with the original on batches of images."""
        return compare_outputs(exported, original, batches, logits=list(self.outputs) == ["logits"])

    def adapt(self, network: nn.Module, size: tuple[int, ...]) -> nn.Module:
        """Wrap an exported network of this input size so that the task can use it as its model."""
        return network

    @property
    def channels(self) -> int | None:
        """Number of channels of the first output; None if it does not depend on the classes."""
        return None

    def restore(self, network: nn.Module, outputs: Sequence[str], size: tuple[int, ...]) -> None:
        """Replace the task's model by an exported network.

        Raises:
            InputError: the network has other outputs, or its metadata lack a fact that the task needs.
        """
        if tuple(outputs) != tuple(self.outputs):
            raise InputError(
                f"The exported network returns {', '.join(outputs)}, and {self.task.name} needs "
                f"{', '.join(self.outputs)}: export it again."
            )
        opened = network.network if isinstance(network, Runtime) else None
        (found, *_) = (opened and opened.outputs) or [()]
        if self.channels is not None and len(found) > 1 and found[1] not in (None, self.channels):
            raise InputError(f"The exported network has {found[1]} outputs for {self.channels} classes: export again.")
        for name in self.required_facts:
            if not self.task.facts.get(name):
                raise InputError(f"The file of the exported network does not state its {name}: export it again.")
        self.task.model = self.adapt(network, size)
        self.set_size(size)
        self.task.eval()


EXPORTERS: Registry[Callable[[Task], Exporter]] = Registry(
    "Task that can be exported", modules=lambda: {name: f"{module}.task" for name, module in task_modules().items()}
)
"""Functions that create the `Exporter` of a task, by the name of the task."""


def restore_exported(
    path: str | Path,
    runtime: str | None = None,
    precision: str = "fp32",
    name: str | None = None,
    *,
    trust: bool = False,
) -> tuple[Task, Artefact]:
    """Restore the task of an exported network, with the network as the task's model, and return it with the metadata.

    The arguments are those of `load_runtime`, and the expected task. Raises `InputError` if the network cannot be
    loaded, belongs to another task, or returns features instead of the outputs of the task.
    """
    network = load_runtime(path, runtime, precision=cast("Precision", precision), trust=trust)
    artefact = network.artefact
    if not artefact.class_names:
        raise InputError(f"{path} returns features and no results: export the network without --features.")
    if name is not None and artefact.task != name:
        raise InputError(
            f"{path} was trained for {artefact.task}, not for {name}: name the task {artefact.task} instead."
        )
    kind = TASKS[artefact.task]
    make_exporter = EXPORTERS[artefact.task]
    default: dict[str, Any] | None = {} if getattr(make_exporter, "may_lack_options", False) else None
    task_options = artefact.task_metadata.get("task_options", default)
    options = from_dict(kind.Options, task_options, f"The task options of {path}")
    facts = {**artefact.task_metadata, "class_names": list(artefact.class_names)}
    task = kind(network, artefact.preprocessing, options, facts)
    make_exporter(task).restore(network, artefact.outputs, tuple(artefact.input_shape[2:]))
    return task, artefact


Prepare = Callable[[Any], Tensor]
"""A function that turns an image into the input of a network, `(C, H, W)`."""


class Pyramid(nn.Module):
    """A backbone whose outputs are its features: `(N, C, H, W)` to one map per stage, finest first."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute the pyramid."""
        return self.backbone.features(images)


def file_batches(
    prepare: Prepare,
    paths: Sequence[Path],
    batch: int,
    bad_images: str = "stop",
    *,
    read: Callable[[str | Path], Any] = read_image,
) -> Iterator[Tensor]:
    """Batches of images from files, which `read` opens."""
    files = Transformed(ReadFiles(paths, read), None, bad_images)
    samples = (files[index] for index in range(len(files)))
    return whole_batches((sample[0] for sample in samples if not isinstance(sample, Skipped)), prepare, batch)


def whole_batches(images: Iterable[object], prepare: Prepare, batch: int) -> Iterator[Tensor]:
    """Batches of exactly `batch` images; the last is filled up by repeating its own images."""
    prepared = map(prepare, images)
    part = list(itertools.islice(prepared, batch))
    if not part:
        raise InputError("None of the images can be read: give other images.")
    while part:
        yield torch.stack(list(itertools.islice(itertools.cycle(part), batch)))
        part = list(itertools.islice(prepared, batch))
