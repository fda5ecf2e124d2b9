"""The activation map of an image as a result: what the network saw, where, and as which class."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from res2net.backbones.base import Backbone
from res2net.engine.inputs import list_inputs
from res2net.engine.predict import InputSamples, accelerator_device
from res2net.errors import InputError, check_choice, nearest
from res2net.explain.maps import class_activation_maps
from res2net.explain.options import Method, View
from res2net.explain.splits import split_activations
from res2net.images.samples import Samples, Skipped, Transformed
from res2net.images.transforms import LONGEST, Normalise, Transform, denormalise, eval_transform
from res2net.report import Column
from res2net.report.images import overlay
from res2net.report.tables import Cell
from res2net.task.base import Task, backbone_of
from res2net.task.result import Result, write_png
from res2net.weights import Preprocessing, atomic_write

BATCH = 16
"""Images at once, where they have one size."""
SHARP = 480
"""Pixels of the shorter side of an image that a map is drawn on, if the image has as many."""
Choose = Callable[[Tensor, Sequence[Mapping[str, Any]]], Sequence[Sequence[int]]]
"""From logits `(N, classes)` and the targets of images to the classes of each, of which there can be none."""


@dataclass(eq=False)
class ActivationMap(Result):
    """Where a network saw a class in one image."""

    heat: Tensor
    """`(H, W)`, 0..1, in the pixels of `view`."""
    view: Tensor
    """What the network saw, uint8 `(C, H, W)`."""
    index: int
    """The class of the map, as its index among those of the network, whose names need not differ."""
    class_name: str
    """Its name."""
    probability: float
    """Its probability, 0..1."""
    predicted: str
    """The likeliest class."""
    predicted_index: int
    """Its index."""
    sharpen: Callable[[Any], Tensor] | None = None
    """Shows the same part of the input in more detail than the network saw, uint8 `(C, h, w)`."""

    columns = (Column("map of"), Column("probability", "%", digits=1), Column("predicted"))
    files: ClassVar[str] = "maps"
    formats: ClassVar[Sequence[str]] = ("npy", "png")

    def to_dict(self) -> dict[str, Any]:
        """`class`, `probability` and `predicted`, and the size of the map."""
        return {
            "class": self.class_name,
            "probability": self.probability,
            "predicted": self.predicted,
            "size": list(self.heat.shape),
        }

    def rows(self) -> Sequence[Sequence[Cell]]:
        """A single row."""
        return [(self.class_name, 100 * self.probability, self.predicted)]

    @property
    def caption(self) -> str:
        """The class and its probability in percent."""
        return f"{self.class_name}  {100 * self.probability:.1f} %"

    def draw(self, image: Any = None) -> Image.Image:
        """The map over the part of the image that the network saw, in the detail of the image where it is known."""
        sharp = self.sharp_view(image)
        heat = F.interpolate(self.heat[None, None], sharp.shape[1:], mode="bilinear")[0, 0]
        return overlay(sharp, heat)

    def sharp_view(self, image: Any = None) -> Tensor:
        """The part of the image that the network saw, uint8 `(C, h, w)`, by default of its own input."""
        image = self.image if image is None and self._read is not None else image
        return self.view if image is None or self.sharpen is None else self.sharpen(image)

    def save_as(self, kind: str, stem: str | Path) -> list[Path]:
        """Write the map as `npy`, float32 `(H, W)`, or drawn over the image as `png`."""
        if kind == "npy":
            buffer = io.BytesIO()
            np.save(buffer, self.heat.cpu().float().numpy())
            path = Path(f"{stem}.npy")
            atomic_write(path, buffer.getvalue())
            return [path]
        if kind == "png":
            return [write_png(Path(f"{stem}.png"), self.draw())]
        return super().save_as(kind, stem)

    def save(self, stem: str | Path) -> list[Path]:
        """Write the map as `npy` and as `png`."""
        return [*self.save_as("npy", stem), *self.save_as("png", stem)]


def activation_maps(
    model: Any,
    samples: Samples,
    *,
    method: Method = "gradcam",
    layer: str | None = None,
    target: str | int = "predicted",
    view: View = "crop",
    bad_images: str = "stop",
    accelerator: str = "auto",
) -> Iterator[tuple[ActivationMap | None, str]]:
    """Yield the activation map of each image of a data set, or None and the reason why it was skipped.

    Args:
        model: a trained classifier: what `res2net.load` returned, or its task.
        samples: the images, such as `DataSource.val`.
        method: "gradcam", "gradcam++" or "eigen"; see `class_activation_maps`.
        layer: name of a layer of the network; by default its last stage.
        target: the class of the maps: "predicted", or the name or index of a class.
        view: "crop" shows the network what `predict` does, "whole" the whole image at the same scale.
        bad_images: "stop" raises `BadImage` at an image that cannot be read, "skip" skips it.
        accelerator: "cpu", "gpu", "mps" or "auto".

    Raises:
        InputError: the model is no classifier, or there is no such class, layer, method or view.
    """
    task = classifier_of(model)
    chosen = class_index(task, target)

    def choose(logits: Tensor, _: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        return [[int(one.argmax()) if chosen is None else chosen] for one in logits]

    for one, _ in explained(
        task,
        samples,
        choose,
        method=method,
        layer=layer,
        view=view,
        bad_images=bad_images,
        accelerator=accelerator,
    ):
        yield (None, one.reason) if isinstance(one, Skipped) else (one[0], "")


def explain_inputs(model: Any, what: Any, accelerator: str, **options: Any) -> list[ActivationMap]:
    """The maps of inputs as `Model.predict` takes them, which know their inputs; see `activation_maps`."""
    task = classifier_of(model)
    samples = InputSamples(task, list_inputs(task, what))
    kept = []
    for index, (one, reason) in enumerate(activation_maps(model, samples, accelerator=accelerator, **options)):
        samples.prediction(index, one, reason)  # which lets the map know its input
        kept += [one] if one is not None else []
    return kept


def explained(
    task: Task,
    samples: Samples,
    choose: Choose,
    *,
    method: Method,
    layer: str | None,
    view: View,
    bad_images: str = "stop",
    accelerator: str = "auto",
) -> Iterator[tuple[list[ActivationMap] | Skipped, Mapping[str, Any]]]:
    """Yield the maps of each sample for the classes that `choose` takes, with its transformed target.

    The other arguments are those of `activation_maps`.
    """
    device = accelerator_device(accelerator)
    task = task.eval().to(device)
    prepared = Transformed(samples, view_transform(task, view), bad_images)
    sharpen = partial(_sharp, task.preprocessing, view)
    for batch in _batches(prepared):
        if isinstance(batch, Skipped):
            yield batch, {}
            continue
        images = torch.stack([image.as_subclass(Tensor) for image, _ in batch]).to(device)
        targets = [target for _, target in batch]
        with torch.inference_mode():
            logits = task(images).float().cpu()
        shares = logits.sigmoid() if task.facts.get("multi_label") else logits.softmax(1)
        views = denormalise(images.cpu(), task.preprocessing)
        pairs = [(index, label) for index, labels in enumerate(choose(logits, targets)) for label in labels]
        found: list[list[ActivationMap]] = [[] for _ in batch]
        for start in range(0, len(pairs), BATCH):
            part = pairs[start : start + BATCH]
            rows, labels = ([pair[place] for pair in part] for place in range(2))
            heats = class_activation_maps(task.model, images[rows], labels, layer, method).cpu()
            for heat, row, label in zip(heats, rows, labels, strict=True):
                predicted = int(logits[row].argmax())
                found[row].append(
                    ActivationMap(
                        heat,
                        views[row],
                        label,
                        task.class_names[label],
                        float(shares[row, label]),
                        task.class_names[predicted],
                        predicted,
                        sharpen,
                    )
                )
        yield from zip(found, targets, strict=True)


def split_maps(
    model: Any, samples: Samples, block: str, *, view: View = "crop", accelerator: str = "auto"
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Yield for each image what the network saw, uint8 `(C, H, W)`, and the activation of each split of a Res2 block.

    A map `(H, W)` is the mean over the channels of the split, in the unit of the activations, enlarged to the view. The
    other arguments are those of `activation_maps`; the errors also those of `split_activations`.
    """
    task = classifier_of(model)
    device = accelerator_device(accelerator)
    task = task.eval().to(device)
    transform = view_transform(task, view)
    for index in range(len(samples)):
        image, _ = transform(samples[index][0], {})
        found = split_activations(task.model, image.as_subclass(Tensor)[None].to(device), block)
        maps = [F.interpolate(one[None], image.shape[1:], mode="bilinear")[0, 0].cpu() for one in found]
        yield denormalise(image.as_subclass(Tensor), task.preprocessing), maps


def classifier_of(model: Any) -> Task:
    """The task of a loaded model, or the task itself; `InputError` if its network cannot be looked into."""
    task = getattr(model, "task", model)
    if not isinstance(task, Task):
        raise InputError(f"A {type(model).__name__} is no trained task: give what res2net.load returns.")
    if getattr(model, "exported", False):
        raise InputError(f"{model.path} is an exported network without layers: give the checkpoint it was made from.")
    if not isinstance(task.model, Backbone) or not task.model.num_classes or task.model.dims != 2:
        raise InputError(f"A network for {task.name} is no classifier of images: give one of `res2net train`.")
    return task


def class_index(task: Task, target: str | int) -> int | None:
    """The index of a class of a task by its name or index; None for "predicted"."""
    names = list(task.class_names)
    if target == "predicted":
        return None
    if target in names:
        return names.index(str(target))
    if str(target).isdecimal() and int(target) < len(names):
        return int(target)
    hint = nearest(str(target), names) or "give predicted, a name or an index."
    raise InputError(f"There is no class {target!r} among the {len(names)} of the network: {hint}")


def view_transform(task: Task, view: View) -> Transform:
    """The transform of images, and of masks with them, to the input of a network."""
    check_choice("view", view, View)
    if view == "crop":
        return eval_transform(task.preprocessing)
    return WholeView(task.preprocessing, getattr(backbone_of(task), "size_multiple", 1))


class WholeView:
    """Resizes the shorter side of an image as `eval_transform` does, and crops nothing; normalises it.

    Both sides become multiples of `multiple`.
    """

    def __init__(self, preprocessing: Preprocessing, multiple: int = 1) -> None:
        self.shorter = math.floor(preprocessing.size / preprocessing.crop)
        self.interpolation = v2.InterpolationMode(preprocessing.interpolation)
        self.normalise, self.multiple = Normalise(preprocessing), multiple

    def __call__(self, image: Any, target: Mapping[str, Any]) -> Any:
        """Transform an image and the masks of its target."""
        width, height = image.size if isinstance(image, Image.Image) else (image.shape[-1], image.shape[-2])
        scale = self.shorter / min(width, height)
        sides = [min(side * scale, LONGEST * self.shorter) for side in (height, width)]
        size = [max(1, round(side / self.multiple)) * self.multiple for side in sides]
        return self.normalise(*v2.Resize(size, interpolation=self.interpolation)(image, dict(target)))


def _sharp(preprocessing: Preprocessing, view: View, image: Any) -> Tensor:
    """The view of an image, uint8 `(C, h, w)`, enlarged by a whole number as far as the image has detail for it."""
    shorter = min(image.size if isinstance(image, Image.Image) else image.shape[-2:])
    factor = max(1, round(min(shorter, SHARP) / math.floor(preprocessing.size / preprocessing.crop)))
    larger = replace(preprocessing, size=preprocessing.size * factor)
    shown = (eval_transform(larger) if view == "crop" else WholeView(larger))(image, {})[0]
    return denormalise(shown.as_subclass(Tensor), larger)


def _batches(prepared: Transformed) -> Iterator[Skipped | list[tuple[Tensor, Mapping[str, Any]]]]:
    """Group consecutive samples of one size, at most `BATCH`; a skipped one is on its own."""
    batch: list[tuple[Tensor, Mapping[str, Any]]] = []
    for index in range(len(prepared)):
        sample = prepared[index]
        if batch and (isinstance(sample, Skipped) or len(batch) == BATCH or sample[0].shape != batch[0][0].shape):
            yield batch
            batch = []
        if isinstance(sample, Skipped):
            yield sample
        else:
            batch.append(sample)
    if batch:
        yield batch
