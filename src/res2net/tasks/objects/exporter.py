"""How detectors are exported: images of one size, outputs of fixed shapes, and detections that are compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from res2net.errors import InputError
from res2net.export.exporter import Agreement, Exporter
from res2net.images.joint_transforms import object_eval_transform
from res2net.images.samples import SIDE_MULTIPLE
from res2net.images.shapes.dataset import Shapes
from res2net.tasks.objects.agreement import compare_detections
from res2net.tasks.objects.base import ObjectTask
from res2net.tasks.objects.heads.fixed import FixedDetector

__all__ = ["DetectorExporter"]

USUAL_SHAPE = 5 / 3
"""Longer by shorter side of the images that fit into the default size without being made smaller, as of 1333 by 800."""


class DetectorExporter(Exporter):
    """A detector: the image lies at the left and the top of the network's input, with zeros beside it."""

    outputs: ClassVar[Sequence[str]] = ("boxes", "scores", "labels")
    formats = ("pt2", "onnx", "openvino")
    int8 = False
    dynamic_batch = False
    compared = 8

    task: ObjectTask

    def set_size(self, size: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Take images of that size; by default a square that holds images of up to 5:3 in their size of evaluation.

        Raises:
            InputError: a side is no multiple of 32, which the maps of a pyramid need to lie on each other.
        """
        task = self.task
        if size is None:
            longest = min(task.options.max_size, math.ceil(task.preprocessing.size * USUAL_SHAPE))
            size = (math.ceil(longest / SIDE_MULTIPLE) * SIDE_MULTIPLE,) * 2
        height, width = size
        for side in size:
            if side < SIDE_MULTIPLE or side % SIDE_MULTIPLE:
                near = max(1, round(side / SIDE_MULTIPLE)) * SIDE_MULTIPLE
                raise InputError(
                    f"The sides of a detector's images are multiples of {SIDE_MULTIPLE}, and {side} is not: "
                    f"choose a --size such as {near}."
                )
        task.input_size = (height, width)
        return height, width

    def transform(self) -> Callable[[Any], Tensor]:
        """Resizing, and zeros around the image up to the size of the network's input."""
        task = self.task
        return object_eval_transform(task.preprocessing, task.options.max_size, task.input_size, padded=True)

    def examples(self, count: int) -> Iterable[Any]:
        """Synthetic scenes of two to five objects, of 256 x 256 pixels."""
        samples = Shapes(count, seed=0, size=256, things=(2, 5), sizes=(0.15, 0.6))
        return (samples[index][0] for index in range(count))

    def compare(self, exported: nn.Module, original: nn.Module, batches: Iterable[Tensor]) -> Agreement:
        """Compare the detections of both, whose order does not matter."""
        return compare_detections(exported, original, batches, self.outputs)

    def adapt(self, network: nn.Module, size: tuple[int, ...]) -> nn.Module:
        """A detector of images of any size up to that of the network's input."""
        return FixedDetector(network, (size[0], size[1]), len(self.task.class_names), self.outputs)
