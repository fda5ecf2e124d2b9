"""Open a data source, given by a name or a path, as training and validation samples."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Protocol

from torch.utils.data import Subset

from res2net.errors import InputError, check_choice, nearest
from res2net.images.cifar import Cifar, cifar_preprocessing, find_cifar
from res2net.images.decode import DECODES
from res2net.images.keypoints import Keypoints
from res2net.images.layouts import open_folder
from res2net.images.samples import BAD_IMAGES, Samples, Transformed
from res2net.images.transforms import TrainAugment, Transform
from res2net.registry import Registry, task_modules
from res2net.weights.records import Preprocessing


@dataclass(frozen=True)
class DataSource:
    """A data set: untransformed training and validation samples, their classes, and default settings."""

    name: str
    train: Samples
    val: Samples
    class_names: Sequence[str]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    """Preprocessing for networks that are trained from scratch; published weights come with their own."""
    augment: TrainAugment = field(default_factory=TrainAugment)
    """The usual data augmentation for this data set."""
    bad_images: str = "stop"
    """How to handle broken images: "stop" or "skip"."""
    keypoints: Keypoints | None = None
    """The keypoints of its objects; None if they have none."""
    decode: str = "full"
    """How JPEG files are decoded for the transforms: "full" or "scaled"."""
    stuff_names: Sequence[str] = ()
    """Names of the stuff classes of the `semantic` maps, if the data set has stuff (regions without instances)."""
    category_ids: Sequence[int] = ()
    """The ids of its classes in the files of the data set, as in COCO."""
    stuff_category_ids: Sequence[int] = ()
    """The ids of its stuff classes in the files of the data set."""
    notes: Sequence[str] = ()
    """What was assumed or left out when it was read, a sentence each, which every command that uses it prints."""

    def overfit(self, count: int) -> DataSource:
        """A source with the first `count` training images as both training and validation images."""
        few = subset_of(self.train, range(min(count, len(self.train))))
        return replace(self, train=few, val=few)

    def single(self, index: int) -> DataSource:
        """A source with a single validation image as both training and validation image."""
        one = subset_of(self.val, [index])
        return replace(self, train=one, val=one)

    def transformed(self, train: Transform, evaluate: Transform) -> tuple[Transformed, Transformed]:
        """The transformed training and validation samples, for a DataLoader that uses `collate`."""
        return (
            Transformed(self.train, train, self.bad_images, self.decode),
            Transformed(self.val, evaluate, self.bad_images, self.decode),
        )


def subset_of(samples: Samples, chosen: Sequence[int]) -> Samples:
    """The samples with these indices; a data set with a method `subset`, such as those of files, keeps its type."""
    own_subset: Callable[[Sequence[int]], Samples] | None = getattr(samples, "subset", None)
    return own_subset(chosen) if own_subset else Subset(samples, chosen)  # type: ignore[arg-type]


@dataclass(frozen=True)
class DataSettings:
    """How to open a source.

    Raises:
        InputError: a value is unknown.
    """

    val_fraction: float = 0.2
    """Share of the samples kept for validation if the data have no split."""
    seed: int = 0
    """Seed of that split."""
    bad_images: str = "stop"
    """An image that cannot be read: "stop" raises `BadImage`, "skip" leaves it out of its batch."""
    bad_annotations: str = "stop"
    """Annotations or label maps with faults: "stop" raises `InputError`, "skip" leaves those out."""
    decode: str = "full"
    """JPEG files: "full" decodes at full resolution; "scaled" only as much detail as the transform needs, which is
    faster for large photos and changes pixels slightly."""

    def __post_init__(self) -> None:
        check_choice("bad_images", self.bad_images, BAD_IMAGES)
        check_choice("Way to decode", self.decode, DECODES)


Counts = tuple[int, int]
"""Numbers of training and validation samples."""


class SourceReader(Protocol):
    """Reads the data set at an existing path into a source whose targets have the entries `labels`."""

    def __call__(self, path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
        """Read the data set."""


@cache
def _task_sources() -> dict[str, str]:
    """The module of each source that only one task can use; the package of the task lists them in `SOURCES`."""
    return {
        name: f"{package}.{module}"
        for package in task_modules().values()
        for name, module in getattr(importlib.import_module(package), "SOURCES", {}).items()
    }


SOURCES: Registry[Callable[[tuple[str, ...], Counts | None], DataSource]] = Registry("Source", modules=_task_sources)
"""Named sources, such as "shapes": functions of the required target entries and of the numbers of samples, or None."""


def open_source(
    source: str | Path,
    settings: DataSettings | None = None,
    *,
    labels: Sequence[str] = ("label",),
    reader: SourceReader | None = None,
) -> DataSource:
    """Open a data source, given by a registered name such as "shapes" or by a path.

    A name may be followed by the numbers of training and validation samples, as in "shapes:400,100". Names take
    precedence over folders of the same name; for such a folder, give `./name` or a `Path`.

    Args:
        source: a name or a path.
        settings: how to open it.
        labels: the required target entries, such as "label", "boxes" or "masks".
        reader: a function that reads a path; by default `read_classes`, for classification.

    Raises:
        InputError: there is no such source, its format is not supported, or the numbers of samples are invalid.
    """
    settings = settings or DataSettings()
    name, counts = split_counts(source) if isinstance(source, str) else ("", None)
    if name in SOURCES:
        opened = SOURCES[name](tuple(labels), counts)
    else:
        path = Path(source)
        if not path.exists():
            raise InputError(
                f"There is no file or folder {str(source)!r}, and no data set of that name: "
                f"{nearest(str(source), SOURCES) or 'give a path'} (names: {', '.join(sorted(SOURCES))})."
            )
        opened = (reader or read_classes)(path, tuple(labels), settings)
    return replace(opened, bad_images=settings.bad_images, decode=settings.decode)


def split_counts(source: str) -> tuple[str, Counts | None]:
    """Split off the numbers of samples that may follow a registered name after a colon."""
    name, colon, numbers = source.partition(":")
    if not colon or name not in SOURCES:
        return source, None
    if not re.fullmatch(r"0*[1-9][0-9]{0,8},0*[1-9][0-9]{0,8}", numbers):
        raise InputError(
            f"{source!r} does not state how many samples {name} has: give two numbers above 0, to train and to "
            f"validate on, as in {name}:400,100."
        )
    train, val = map(int, numbers.split(","))
    return name, (train, val)


def read_classes(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read a classification data set: a CIFAR folder, or one of the layouts of `open_folder`."""
    cifar = find_cifar(path)
    if cifar is not None:
        root, classes = cifar
        train, val = (Cifar(root, classes=classes, train=train) for train in (True, False))
        augment = TrainAugment(pad=4)
        return DataSource(f"cifar{classes}", train, val, train.class_names, cifar_preprocessing(classes), augment)
    if path.is_file():
        raise InputError(f"{path} is a file: give a folder that has a folder of images for each class.")
    training, validation = open_folder(path, val_fraction=settings.val_fraction, seed=settings.seed)
    return DataSource(path.absolute().name, training, validation, training.class_names)
