"""What export needs to know of a task: sizes, outputs, and how an exported network takes the place of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from res2net.errors import InputError
from res2net.export.verify import compare_outputs
from res2net.images.shapes.dataset import Shapes
from res2net.registry import Registry
from res2net.task import task_modules
from res2net.task.base import Task

__all__ = ["EXPORTERS", "Agreement", "Exporter"]


class Agreement(Protocol):
    """How an exported network agrees with the network it was made from."""

    def to_dict(self) -> dict[str, float]:
        """All numbers, ready for JSON."""

    def summary(self, images: str) -> str:
        """One line about it; `images` says what was compared, such as "synthetic images"."""

    def check(self, *, int8: bool) -> None:
        """Raise `InputError` where the two differ by more than rounding, or than int8 explains."""


class Exporter:
    """How a task's network is exported, and how the task runs on an exported network.

    Args:
        task: with its trained network; or with an exported one as its `model`, before `adapt`.
    """

    outputs: ClassVar[Sequence[str]] = ("logits",)
    """Names of what the network returns."""
    required_facts: ClassVar[Sequence[str]] = ()
    """The facts of the task without which an exported network cannot be used."""
    may_lack_options: ClassVar[bool] = False
    """Whether an exported file need not state the options of its task, since they are of the training alone."""
    formats: ClassVar[Sequence[str]] = ("pt2", "onnx", "openvino", "aoti")
    """The formats that the network can be written in."""
    int8: ClassVar[bool] = True
    """Whether it may be quantized."""
    dynamic_batch: ClassVar[bool] = True
    """Whether it may take any number of images."""
    compared: ClassVar[int] = 32
    """Synthetic images on which the exported network is compared, where no others are given."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def set_size(self, size: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Fix the size of the network's input.

        Args:
            size: height and width; by default what suits the task.

        Returns:
            Height and width, and before them the slices of volumes.

        Raises:
            InputError: the network cannot have that size.
        """
        raise NotImplementedError

    def transform(self) -> Callable[[Any], Tensor]:
        """After `set_size`, the transform from an image alone to what the exported network sees, `(C, H, W)`."""
        raise NotImplementedError

    @property
    def in_channels(self) -> int:
        """Channels of the network's input: those of an image, and those that the task adds."""
        return len(self.task.preprocessing.mean)

    def examples(self, count: int) -> Iterable[Any]:
        """Synthetic inputs, as `Inputs.read` returns them, on which the exported network can be compared."""
        samples = Shapes(count, seed=0)
        return (samples[index][0] for index in range(count))

    def compare(self, exported: nn.Module, original: nn.Module, batches: Iterable[Tensor]) -> Agreement:
        """Compare an exported network with the original on batches of images."""
        return compare_outputs(exported, original, batches, logits=list(self.outputs) == ["logits"])

    def adapt(self, network: nn.Module, size: tuple[int, ...]) -> nn.Module:
        """The exported network, whose input has that size, in the form in which the task uses its model."""
        return network

    def restore(self, network: nn.Module, outputs: Sequence[str], size: tuple[int, ...]) -> None:
        """Put an exported network into the place of the task's model.

        Raises:
            InputError: the network returns something else, or its file does not state a fact that the task needs.
        """
        if tuple(outputs) != tuple(self.outputs):
            raise InputError(
                f"The exported network returns {', '.join(outputs)}, and {self.task.name} needs "
                f"{', '.join(self.outputs)}: export it again."
            )
        for name in self.required_facts:
            if not self.task.facts.get(name):
                raise InputError(f"The file of the exported network does not state its {name}: export it again.")
        self.task.model = self.adapt(network, size)
        self.set_size(size)
        self.task.eval()


EXPORTERS: Registry[Callable[[Task], Exporter]] = Registry(
    "Task that can be exported", modules=lambda: {name: f"{module}.task" for name, module in task_modules().items()}
)
"""What makes the `Exporter` of a task, by the name of the task."""
