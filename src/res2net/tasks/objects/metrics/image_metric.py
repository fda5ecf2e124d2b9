"""Base class of metrics that collect detections and ground truth per image, and are computed over all images."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from res2net.errors import InputError

Numbers = np.ndarray[Any, np.dtype[Any]]


class ImageMetric(Metric):
    """The state of a metric that can only be computed from all images at once.

    A subclass adds an image with `keep`, and reads all images with `kept`. Images are identified by their `image_id`:
    an image that is added twice counts once, since distributed samplers repeat images to fill up the last batch. The
    order of the images does not matter.

    The state is text in bytes, a line per image, since torchmetrics only gathers tensors over processes. These may have
    different numbers of images.
    """

    full_state_update = False

    lines: Any
    """Tensors of bytes, or one if gathered from processes: a line per image, its `image_id`, a tab and JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.add_state("lines", [], dist_reduce_fx="cat")

    def keep(self, image_id: int, record: Mapping[str, Any]) -> None:
        """Add an image with its record of values that JSON can hold, and of tensors and arrays, which become lists."""
        text = json.dumps(record, default=lambda value: value.tolist())
        line = torch.frombuffer(bytearray(f"{image_id}\t{text}\n".encode()), dtype=torch.uint8).to(self.device)
        # Merge tensors so that each is more than twice as long as the next. Thousands of small ones, scattered between
        # the large temporary blocks of each image, would fragment the memory: 2 GB after a thousand images with masks.
        self.lines.append(line)
        while len(self.lines) > 1 and 2 * len(self.lines[-1]) >= len(self.lines[-2]):
            self.lines[-2:] = [torch.cat(self.lines[-2:])]

    def kept(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield each image once, in the order of `image_id`: the id and the record."""
        parts = [self.lines] if isinstance(self.lines, Tensor) else self.lines
        records: dict[int, bytes] = {}
        for line in b"".join(part.cpu().numpy().tobytes() for part in parts).splitlines():
            image_id, _, record = line.partition(b"\t")
            records.setdefault(int(image_id), record)
        for number in sorted(records):
            yield number, json.loads(records[number])

    def columns(self, *names: str) -> list[Numbers]:
        """The lists of each of these names in the records, joined over all images in the order of `image_id`."""
        records = [record for _, record in self.kept()]
        return [np.array([value for record in records for value in record[name]]) for name in names]

    def _sync_dist(
        self, dist_sync_fn: Callable[..., Any] = gather_all_tensors, process_group: Any | None = None
    ) -> None:
        # A process without images would send a tensor of another type than the others.
        if isinstance(self.lines, list) and not self.lines:
            self.lines = [torch.empty(0, dtype=torch.uint8, device=self.device)]
        super()._sync_dist(dist_sync_fn, process_group)


def pairs(
    results: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield the `image_id`, the result and the target of each image; `InputError` if any of these is missing."""
    if len(results) != len(targets):
        raise InputError(f"There are {len(results)} results for {len(targets)} targets: give one for each image.")
    for result, target in zip(results, targets, strict=True):
        if "image_id" not in target:
            raise InputError("A target has no 'image_id': give each image a number of its own.")
        yield int(target["image_id"]), result, target


def entry(of: Mapping[str, Any], name: str, what: str, shape: tuple[int, ...]) -> Tensor:
    """The entry `name` of a result or a target as a plain tensor; -1 in `shape` means any number of objects."""
    if name not in of:
        raise InputError(f"A {what} has no {name!r}: it has {', '.join(of) or 'nothing'}.")
    value = torch.as_tensor(of[name]).as_subclass(Tensor)
    if value.ndim != len(shape) or any(
        size not in (-1, length) for size, length in zip(shape, value.shape, strict=True)
    ):
        expected = ", ".join("objects" if size == -1 else str(size) for size in shape)
        raise InputError(f"{name!r} of a {what} has shape {tuple(value.shape)}: give ({expected}).")
    return value


def objects_entry(of: Mapping[str, Any], name: str, what: str, count: int, shape: tuple[int, ...] = ()) -> Tensor:
    """As `entry`, for exactly `count` objects; a wrong number of objects has a message of its own."""
    value = entry(of, name, what, (-1, *shape))
    if len(value) != count:
        raise InputError(f"A {what} has {len(value)} {name!r} for {count} labels: give one for each object.")
    return value


def object_entries(
    of: Mapping[str, Any], what: str, class_names: Collection[Any], shapes: Mapping[str, tuple[int, ...]] | None = None
) -> dict[str, Tensor]:
    """The `labels` of a result or a target and its other entries of objects; for a target also `crowd`, bool.

    `what` is "result" or "target", and `shapes` has the shape of each further entry for one object. `InputError` if an
    entry is missing or has a wrong shape, or a label is out of range.
    """
    labels = entry(of, "labels", what, (-1,))
    wrong = labels[(labels < 0) | (labels >= len(class_names))]
    if len(wrong):
        raise InputError(f"A {what} has label {int(wrong[0])}: labels go from 0 to {len(class_names) - 1}.")
    found = {"labels": labels}
    found |= {name: objects_entry(of, name, what, len(labels), shape) for name, shape in (shapes or {}).items()}
    if what == "target":
        crowd = objects_entry(of, "crowd", what, len(labels)) if "crowd" in of else torch.zeros_like(labels)
        found["crowd"] = crowd.bool()
    return found
