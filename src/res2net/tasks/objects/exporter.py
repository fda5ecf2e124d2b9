"""How detectors are exported: images of one size, outputs of fixed shapes, and detections that are compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from res2net.errors import InputError
from res2net.export.exporter import Agreement, Exporter
from res2net.images.joint_transforms import object_eval_transform
from res2net.images.samples import SIDE_MULTIPLE
from res2net.images.shapes.dataset import Shapes
from res2net.tasks.objects.base import ObjectTask
from res2net.tasks.objects.heads.fixed import MAPS, FixedDetector

TOLERANCE = 1e-3
"""How far two numbers of the same detection may lie apart: boxes as a share of the image's longer side, scores and
masks as they are, from 0 to 1, and scores of keypoints as a share of the largest in the image."""
EQUAL = 99.0
"""Least share of equal detections, in percent: rounding may drop one that is as good as another."""
MAP_LIMIT = 1e-4
"""Largest relative difference of an output that is of the whole image."""
PIXELS = 1.01
"""How far two keypoints of the same detection may lie apart, at least: they are middles of pixels, and of two values
that are almost equal rounding may make the one or the other the largest."""
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

        Sides are multiples of 32, which the maps of a pyramid need to lie on each other.
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
        task.model.set_thresholds(task.options.head)
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
        return FixedDetector(
            network, (size[0], size[1]), len(self.task.class_names), self.outputs, self.task.options.head
        )


@dataclass(frozen=True)
class DetectionAgreement:
    """How the detections of a network agree with those of another."""

    images: int
    detections: int
    """In all images, of the other network."""
    equal: float
    """Share of the detections of both that have an equal one in the other, in percent; 0 where there are none."""
    largest: Mapping[str, float] = field(default_factory=dict)
    """By the name of the output, the largest difference of two numbers of equal detections, boxes and keypoints in
    pixels; and of logits of pixels ("semantic") that of all, as a share of the largest logit."""

    def to_dict(self) -> dict[str, float]:
        """All numbers, ready for JSON."""
        numbers = asdict(self)
        return {**{f"largest_{name}": value for name, value in numbers.pop("largest").items()}, **numbers}

    def summary(self, images: str) -> str:
        """One line about it; `images` says what was compared, such as "synthetic images"."""
        differences = ", ".join(f"{name} {difference:.1e}" for name, difference in self.largest.items())
        line = f"{self.images} {images}, {self.detections} detections: {self.equal:.1f} % equal"
        return f"{line}, largest differences {differences}"

    def check(self, *, int8: bool) -> None:
        """Raise `InputError` where the exported network finds something else than the detector."""
        if not self.detections:
            raise InputError(
                "The detector finds nothing in these images, so that nothing can be compared: give a folder of images "
                "in which it finds something (--images)."
            )
        if self.equal < EQUAL:
            raise InputError(
                f"Only {self.equal:.1f} % of the detections of the file and the detector are equal, and {EQUAL:.0f} "
                "% are needed: nothing was written; try another format."
            )
        difference = self.largest.get("semantic", 0.0)
        if difference > MAP_LIMIT:
            raise InputError(
                f"The file's logits of pixels differ from those of the network by {difference:.1e} of the largest, and "
                f"{MAP_LIMIT:.0e} is allowed: nothing was written; try another format."
            )


def compare_detections(
    network: nn.Module, other: nn.Module, batches: Iterable[Tensor], names: Sequence[str]
) -> DetectionAgreement:
    """Compare what a detector finds in batches of images with what another finds, which is right.

    Detections are equal when they have the same label and all their numbers agree within `TOLERANCE`. Their order does
    not matter, since that of almost equal scores depends on rounding. Both detectors have outputs of fixed shapes as of
    `Detector.forward`, with the `names` of `FixedDetector`.
    """
    images = detections = alone = paired = 0
    largest = {name: 0.0 for name in names if name != "labels"}
    numbers = [name for name in largest if name not in MAPS]
    with torch.no_grad():
        for batch in batches:
            side = float(max(batch.shape[-2:]))
            outputs = zip(*network(batch), strict=True), zip(*other(batch), strict=True)
            for ours, theirs in zip(*outputs, strict=True):
                maps = map_differences(names, ours, theirs)
                largest |= {name: max(largest[name], difference) for name, difference in maps.items()}
                one, two = (found(names, values) for values in (ours, theirs))
                tolerances = dict.fromkeys(numbers, TOLERANCE) | {"boxes": TOLERANCE * side}
                if "keypoints" in numbers:
                    tolerances["keypoints"] = max(PIXELS, TOLERANCE * side)
                    tolerances["keypoint_scores"] = TOLERANCE * largest_of(two["keypoint_scores"])
                pairs = equal_pairs(one, two, tolerances)
                images += 1
                detections += len(two["scores"])
                paired += len(pairs)
                alone += len(one["scores"]) + len(two["scores"]) - 2 * len(pairs)
                for name in numbers:
                    for first, second in pairs:
                        difference = (one[name][first] - two[name][second]).abs().max().item()
                        largest[name] = max(largest[name], difference)
    return DetectionAgreement(images, detections, 100 * 2 * paired / max(1, 2 * paired + alone), largest)


def found(names: Sequence[str], outputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """The detections of an image by the name of the output, each a row `(m, numbers)`, without empty rows."""
    by_name = {name: output.float() for name, output in zip(names, outputs, strict=True) if name not in MAPS}
    here = by_name["scores"] > 0
    return {name: output[here][:, None].flatten(1) for name, output in by_name.items()}


def map_differences(names: Sequence[str], ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> dict[str, float]:
    """The largest difference of each output that is of the whole image, as a share of their largest number."""
    differences = {}
    for name, one, two in zip(names, ours, theirs, strict=True):
        if name in MAPS:
            share = (one.float() - two.float()).abs().max().item() / max(largest_of(two), 1e-30)
            # A number that is not finite must not get lost in a maximum.
            differences[name] = share if share == share else float("inf")
    return differences


def largest_of(numbers: Tensor) -> float:
    """The largest in size; 0 of none."""
    return numbers.float().abs().max().item() if numbers.numel() else 0.0


def equal_pairs(
    one: Mapping[str, Tensor], two: Mapping[str, Tensor], tolerances: Mapping[str, float]
) -> list[tuple[int, int]]:
    """Indices of equal detections in both, each index once; that of the nearest boxes where there are several."""
    pairs = []
    free = torch.ones(len(two["labels"]), dtype=torch.bool)
    for index in range(len(one["labels"])):
        equal = free & (two["labels"] == one["labels"][index])[:, 0]
        for name, tolerance in tolerances.items():
            equal &= ((two[name] - one[name][index]).abs() <= tolerance).all(1)
        if equal.any():
            apart = (two["boxes"] - one["boxes"][index]).abs().amax(1)
            partner = int(apart.masked_fill(~equal, float("inf")).argmin())
            free[partner] = False
            pairs.append((index, partner))
    return pairs
