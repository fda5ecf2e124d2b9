"""`open_source`: from a name or a path to the samples of training and validation."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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
from res2net.registry import Registry
from res2net.weights.records import Preprocessing

__all__ = [
    "SOURCES",
    "DataSettings",
    "DataSource",
    "SourceBuilder",
    "SourceReader",
    "open_source",
    "read_classes",
    "subset_of",
]


@dataclass(frozen=True)
class DataSource:
    """Images with their labels, split into training and validation, before any transform."""

    name: str
    train: Samples
    val: Samples
    class_names: Sequence[str]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    """What suits a network that is trained from scratch on it; one with published weights brings its own."""
    augment: TrainAugment = field(default_factory=TrainAugment)
    """The usual random changes for it."""
    bad_images: str = "stop"
    """What a broken image does: "stop" or "skip"."""
    keypoints: Keypoints | None = None
    """The key points of its objects, where they have any."""
    decode: str = "full"
    """How JPEG files are decoded for the transforms: "full" or "scaled"."""
    stuff_names: Sequence[str] = ()
    """The classes of `semantic` in the targets of objects, where there is any stuff: what has no instances."""
    category_ids: Sequence[int] = ()
    """The data set's own numbers of its classes, as COCO's files have them."""
    stuff_category_ids: Sequence[int] = ()
    """The data set's own numbers of its classes of stuff."""

    def overfit(self, count: int) -> DataSource:
        """The first `count` training images, both to train and to validate on."""
        few = subset_of(self.train, range(min(count, len(self.train))))
        return replace(self, train=few, val=few)

    def alone(self, index: int) -> DataSource:
        """One validation image, both to train and to validate on."""
        one = subset_of(self.val, [index])
        return replace(self, train=one, val=one)

    def transformed(self, train: Transform, evaluate: Transform) -> tuple[Transformed, Transformed]:
        """The training and the validation samples through their transforms, for a DataLoader with `collate`."""
        return (
            Transformed(self.train, train, self.bad_images, self.decode),
            Transformed(self.val, evaluate, self.bad_images, self.decode),
        )


def subset_of(samples: Samples, chosen: Sequence[int]) -> Samples:
    """The samples of these indices; a data set that has `subset`, as those of files do, stays what it is."""
    fewer: Callable[[Sequence[int]], Samples] | None = getattr(samples, "subset", None)
    return fewer(chosen) if fewer else Subset(samples, chosen)  # type: ignore[arg-type]


@dataclass(frozen=True)
class DataSettings:
    """How a source is opened.

    Raises:
        InputError: a value is not known.
    """

    val_fraction: float = 0.2
    """Share of the validation in data that are not split yet."""
    seed: int = 0
    """Seed of that split."""
    bad_images: str = "stop"
    """An image that cannot be read: "stop" raises `BadImage`, "skip" leaves it out of its batch."""
    bad_annotations: str = "stop"
    """Annotations or label maps with faults: "stop" raises `InputError`, "skip" leaves those out."""
    decode: str = "full"
    """JPEG files: "full" decodes every detail; "scaled" decodes no more than the transform needs, which is faster for
    large photos and changes pixels a little."""

    def __post_init__(self) -> None:
        check_choice("Treatment of bad images", self.bad_images, BAD_IMAGES)
        check_choice("Way to decode", self.decode, DECODES)


Counts = tuple[int, int]
"""How many training and validation samples a named source is to have."""
SourceBuilder = Callable[[tuple[str, ...], Counts | None], DataSource]
"""Makes a named source whose targets have these entries, by default with its usual number of samples."""


class SourceReader(Protocol):
    """Reads the data set at an existing path into a source whose targets have the entries `labels`.

    Raises:
        InputError: the data set is in no known format.
    """

    def __call__(self, path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
        """Read the data set."""


SOURCES: Registry[SourceBuilder] = Registry("Source")
"""The sources that have a name, such as "shapes"; a task registers those that only it can use."""


def open_source(
    source: str | Path,
    settings: DataSettings | None = None,
    *,
    labels: Sequence[str] = ("label",),
    reader: SourceReader | None = None,
) -> DataSource:
    """Open a source by what it is: a registered name such as "shapes", or a path.

    A name may state how many samples there are to train and to validate on, as "shapes:400,100" does. It takes
    precedence over a folder of the same name, for which `./name` or a `Path` may be given.

    Args:
        source: a name or a path.
        settings: how it is opened.
        labels: the entries of a target that are needed, such as "label", "boxes" or "masks".
        reader: reads what is at a path; by default `read_classes`, folders of images for classification.

    Raises:
        InputError: there is no such source, it is in no known format, or its numbers of samples are wrong.
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
    """The name of a source, and the numbers that follow a registered one after a colon.

    Raises:
        InputError: something else than two numbers above 0 follows.
    """
    name, colon, stated = source.partition(":")
    if not colon or name not in SOURCES:
        return source, None
    if not re.fullmatch(r"0*[1-9][0-9]{0,8},0*[1-9][0-9]{0,8}", stated):
        raise InputError(
            f"{source!r} does not state how many samples {name} has: give two numbers above 0, to train and to "
            f"validate on, as in {name}:400,100."
        )
    train, val = map(int, stated.split(","))
    return name, (train, val)


def read_classes(path: Path, labels: tuple[str, ...], settings: DataSettings) -> DataSource:
    """Read images with a class each: a CIFAR folder, or one of the layouts of `open_folder`."""
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
