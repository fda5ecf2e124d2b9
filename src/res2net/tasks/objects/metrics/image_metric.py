"""Base class of metrics that collect detections and ground truth per image, and are computed over all images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from res2net.errors import InputError

__all__ = ["Field", "ImageMetric", "check_labels", "entry", "of_objects", "pairs"]

Field = tuple[torch.dtype, tuple[int, ...]]
"""The type of a stored tensor, and its shape after the first dimension."""


class ImageMetric(Metric):
    """The state of a metric that can only be computed from all images at once.

    A subclass defines its fields, adds an image with `keep`, and reads all images with `kept` or `columns`. Images are
    identified by their `image_id`: an image that is added twice counts once, since distributed samplers repeat images
    to fill up the last batch. The order of the images does not matter.

    The state consists of tensors, which torchmetrics gathers over processes, also if these have different numbers of
    images.

    Args:
        fields: type and shape of the values to store for each image, by name.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    images: list[Tensor]
    """For each image `(1, 1 + fields)`: its `image_id` and the length of each field."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        super().__init__()
        self.fields = dict(fields)
        for name in ("images", *self.fields):
            self.add_state(name, [], dist_reduce_fx="cat")

    def keep(self, image_id: int, values: Mapping[str, Tensor]) -> None:
        """Add an image with a value for each field."""
        lengths = []
        for name, (dtype, shape) in self.fields.items():
            value = values[name].detach().to(self.device, dtype).reshape(-1, *shape)
            _append(getattr(self, name), value)
            lengths.append(len(value))
        _append(self.images, torch.tensor([[image_id, *lengths]], device=self.device))

    def kept(self) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Yield each image once, in the order of `image_id`: the id and the fields, on the CPU."""
        images = self._joined("images")
        columns = {
            name: self._joined(name).split(images[:, 1 + index].tolist()) for index, name in enumerate(self.fields)
        }
        indices: dict[int, int] = {}
        for index, image_id in enumerate(images[:, 0].tolist()):
            indices.setdefault(image_id, index)
        for image_id, index in sorted(indices.items()):
            yield image_id, {name: column[index] for name, column in columns.items()}

    def columns(self) -> dict[str, Tensor]:
        """Each field, concatenated over all images in the order of `image_id`, on the CPU."""
        images = [image for _, image in self.kept()]
        return {name: torch.cat([self._empty(name).cpu(), *(image[name] for image in images)]) for name in self.fields}

    def _joined(self, name: str) -> Tensor:
        state = getattr(self, name)  # a single tensor if it was gathered from several processes
        if not isinstance(state, Tensor):
            state = torch.cat(state or [self._empty(name)])
        return state.cpu()

    def _empty(self, name: str) -> Tensor:
        dtype, shape = (torch.int64, (1 + len(self.fields),)) if name == "images" else self.fields[name]
        return torch.empty(0, *shape, dtype=dtype, device=self.device)

    def _sync_dist(
        self, dist_sync_fn: Callable[..., Any] = gather_all_tensors, process_group: Any | None = None
    ) -> None:
        # A process without images would send tensors of another type and shape than the others.
        for name in ("images", *self.fields):
            if isinstance(getattr(self, name), list) and not getattr(self, name):
                setattr(self, name, [self._empty(name)])
        super()._sync_dist(dist_sync_fn, process_group)


def _append(state: list[Tensor], value: Tensor) -> None:
    """Append rows to a state, merging tensors so that each is more than twice as long as the next.

    Thousands of small tensors, scattered between the large temporary blocks of each image, would fragment the memory:
    2 GB instead of 25 MB after a thousand images with masks.
    """
    state.append(value)
    while len(state) > 1 and 2 * len(state[-1]) >= len(state[-2]):
        state[-2:] = [torch.cat(state[-2:])]


def pairs(
    results: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield the `image_id`, the result and the target of each image.

    Raises:
        InputError: the numbers of results and targets differ, or a target has no `image_id`.
    """
    if len(results) != len(targets):
        raise InputError(f"There are {len(results)} results for {len(targets)} targets: give one for each image.")
    for result, target in zip(results, targets, strict=True):
        if "image_id" not in target:
            raise InputError("A target has no 'image_id': give each image a number of its own.")
        yield int(target["image_id"]), result, target


def entry(of: Mapping[str, Any], name: str, what: str, shape: tuple[int, ...]) -> Tensor:
    """The entry `name` of a result or a target as a plain tensor; -1 in `shape` means any number of objects.

    Raises:
        InputError: the entry is missing or has a wrong shape.
    """
    if name not in of:
        raise InputError(f"A {what} has no {name!r}: it has {', '.join(of) or 'nothing'}.")
    value = torch.as_tensor(of[name]).as_subclass(Tensor)
    if value.ndim != len(shape) or any(
        size not in (-1, length) for size, length in zip(shape, value.shape, strict=True)
    ):
        expected = ", ".join("objects" if size == -1 else str(size) for size in shape)
        raise InputError(f"{name!r} of a {what} has shape {tuple(value.shape)}: give ({expected}).")
    return value


def of_objects(of: Mapping[str, Any], name: str, what: str, count: int, shape: tuple[int, ...] = ()) -> Tensor:
    """As `entry`, for exactly `count` objects; a wrong number of objects has a message of its own."""
    value = entry(of, name, what, (-1, *shape))
    if len(value) != count:
        raise InputError(f"A {what} has {len(value)} {name!r} for {count} labels: give one for each object.")
    return value


def check_labels(labels: Tensor, class_names: Sequence[str], what: str) -> None:
    """Raise `InputError` if a label is out of range."""
    wrong = labels[(labels < 0) | (labels >= len(class_names))]
    if len(wrong):
        raise InputError(f"A {what} has label {int(wrong[0])}: labels go from 0 to {len(class_names) - 1}.")
