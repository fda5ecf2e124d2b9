"""Open a data source, given by a name or a path, as training and validation samples."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from res2net.errors import InputError, nearest
from res2net.files import assumed_encodings, encodings_note
from res2net.images.cifar import Cifar, cifar_preprocessing, find_cifar
from res2net.images.keypoints import Keypoints
from res2net.images.layouts import data_folder, nested_classes, open_folder, split_folders
from res2net.images.samples import Samples, Transformed
from res2net.images.splits import DataSettings, choose_splits, hashed_split, stratified_split, subset_of
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
    teacher: Any = None
    """The network that labels the training samples softly, of tasks that can learn from one."""
    val_about: str = ""
    """What `val` is: the name of its split, "all", or a part such as "val: 20% by hash"."""

    def overfit(self, count: int) -> DataSource:
        """A source with the first `count` training images as both training and validation images."""
        few = subset_of(self.train, range(min(count, len(self.train))))
        return replace(self, train=few, val=few, val_about=f"the first {len(few)} to train")

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
        opened = _with_splits(SOURCES[name](tuple(labels), counts), settings)
    else:
        path = Path(source)
        if not path.exists():
            raise InputError(
                f"There is no file or folder {str(source)!r}, and no data set of that name: "
                f"{nearest(str(source), SOURCES) or 'give a path'} (names: {', '.join(sorted(SOURCES))})."
            )
        with assumed_encodings() as assumed:
            opened = (reader or read_classes)(path, tuple(labels), settings)
        opened = replace(opened, notes=[*opened.notes, *encodings_note(assumed)])
    return replace(opened, bad_images=settings.bad_images, decode=settings.decode)


def _with_splits(source: DataSource, settings: DataSettings) -> DataSource:
    """A generated source, whose splits are train and val, with those that the settings choose."""
    splits = {"train": source.train, "val": source.val}

    def halve(samples: Samples) -> tuple[list[int], list[int]]:
        return hashed_split([str(index) for index in range(len(samples))], settings.val_fraction, settings.seed)

    train, val, about = choose_splits(splits, settings, source.name).arrange(splits, halve)
    return replace(source, train=train, val=val, val_about=about)


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


def split_names(path: Path) -> list[str]:
    """The names of the splits of a classification data set, or `WHOLE` alone."""
    return ["train", "test"] if find_cifar(path) else list(split_folders(data_folder(path)))


def read_classes(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read a classification data set: a CIFAR folder, or one of the layouts of `open_folder`."""
    cifar = find_cifar(path)
    if cifar is not None:
        root, classes = cifar
        choice = choose_splits(("train", "test"), settings, path)
        splits = {name: Cifar(root, classes=classes, train=name == "train") for name in choice.names}
        train, val, about = choice.arrange(
            splits,
            lambda images: stratified_split(
                images, [str(index) for index in range(len(images))], settings.val_fraction, settings.seed
            ),
        )
        names, augment = splits[choice.val].class_names, TrainAugment(pad=4)
        return DataSource(f"cifar{classes}", train, val, names, cifar_preprocessing(classes), augment, val_about=about)
    if path.is_file():
        raise InputError(f"{path} is a file: give a folder that has a folder of images for each class.")
    train, val, about = open_folder(path, settings)
    note = nested_classes(data_folder(path))
    return DataSource(path.absolute().name, train, val, val.class_names, val_about=about, notes=[note] if note else [])
