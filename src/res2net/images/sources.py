"""`open_source`: from a name or a path to images for training and validation, whatever their format."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from torch.utils.data import Subset

from res2net.errors import InputError, check_choice, nearest
from res2net.images.cifar import Cifar, cifar_preprocessing, find_cifar
from res2net.images.decode import DECODES
from res2net.images.layouts import open_folder
from res2net.images.samples import BAD_IMAGES, Samples, Transformed
from res2net.images.transforms import TrainAugment, Transform
from res2net.tasks.objects.formats import Keypoints, open_objects
from res2net.tasks.pixels.formats import LABELS as PIXEL_LABELS
from res2net.tasks.pixels.formats import open_pixels
from res2net.tasks.roads.data.folder import ROAD_CLASSES, open_roads
from res2net.tasks.translate.data import PAIR_NAMES, open_pairs
from res2net.tasks.volumes.data.folders import open_volumes
from res2net.weights.records import Preprocessing

__all__ = ["SOURCES", "DataSource", "SourceBuilder", "open_source", "register_source", "source_names"]


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
    """Of its objects, where they have any."""
    decode: str = "full"
    """How JPEG files are decoded for the transforms: "full" or "scaled"."""
    stuff_names: Sequence[str] = ()
    """The classes of `semantic` in the targets of objects, where there is any stuff: what has no instances."""
    category_ids: Sequence[int] = ()
    """The data set's own numbers of its classes, as COCO's files have them."""
    stuff_category_ids: Sequence[int] = ()
    """The same of its classes of stuff."""

    def overfit(self, count: int) -> DataSource:
        """The first `count` images of the training, both to train and to validate on."""
        few = _subset(self.train, range(min(count, len(self.train))))
        return replace(self, train=few, val=few)

    def alone(self, index: int) -> DataSource:
        """One image of the validation, both to train and to validate on."""
        one = _subset(self.val, [index])
        return replace(self, train=one, val=one)

    def transformed(self, train: Transform, evaluate: Transform) -> tuple[Transformed, Transformed]:
        """The training and the validation samples through their transforms, for a DataLoader with `collate`."""
        return (
            Transformed(self.train, train, self.bad_images, self.decode),
            Transformed(self.val, evaluate, self.bad_images, self.decode),
        )


def _subset(samples: Samples, chosen: Sequence[int]) -> Samples:
    """Some samples; files know how to be fewer, and stay files."""
    fewer: Callable[[Sequence[int]], Samples] | None = getattr(samples, "subset", None)
    return fewer(chosen) if fewer else Subset(samples, chosen)  # type: ignore[arg-type]


SourceBuilder = Callable[[tuple[str, ...]], DataSource]
"""Makes a source whose targets have these entries."""

SOURCES: dict[str, SourceBuilder] = {}
"""The sources that have a name, by `register_source`."""


def register_source(name: str) -> Callable[[SourceBuilder], SourceBuilder]:
    """Decorator for a function in a file of this folder: `open_source(name)` then calls it."""

    def register(build: SourceBuilder) -> SourceBuilder:
        if name in SOURCES:
            raise ValueError(f"source {name!r} is registered twice")
        SOURCES[name] = build
        return build

    return register


@cache
def _all_sources() -> Mapping[str, SourceBuilder]:
    for module in (
        "images.shapes.dataset",
        "images.shapes.masks",
        "tasks.roads.drawn.scenes",
        "tasks.volumes.drawn.bodies",
    ):
        importlib.import_module(f"res2net.{module}")
    return SOURCES


def source_names() -> list[str]:
    """The names that `open_source` knows beside paths."""
    return sorted(_all_sources())


def open_source(
    source: str | Path,
    *,
    val_fraction: float = 0.2,
    seed: int = 0,
    bad_images: str = "stop",
    decode: str = "full",
    labels: Sequence[str] = ("label",),
    bad_annotations: str = "stop",
) -> DataSource:
    """Open a source by what it is: a name such as "shapes", a CIFAR folder, or a folder of images.

    A name goes before a folder of the same name, for which `./name` or a `Path` may be given. `open_folder` tells
    which layouts a folder of images may have.

    Args:
        source: a name or a path.
        val_fraction: share of the validation in a folder that is not split yet.
        seed: of that split.
        bad_images: "stop" raises `BadImage` at a broken image, "skip" leaves it out of its batch.
        decode: "scaled" decodes no more detail of a JPEG than its transform needs, which is faster for large photos
            and changes pixels a little; "full" decodes all.
        labels: the entries of a target that are needed, such as "label", "boxes" or "masks".
        bad_annotations: "stop" raises `InputError` where annotations of objects or label maps have faults, "skip"
            leaves those out.

    Raises:
        InputError: there is no such source, or it is in no known format.
    """
    check_choice("Treatment of bad images", bad_images, BAD_IMAGES)
    check_choice("Way to decode", decode, DECODES)
    wanted = tuple(labels)
    if isinstance(source, str) and source in _all_sources():
        opened = _all_sources()[source](wanted)
    elif "label" in wanted:
        opened = _open_images(_existing(source), val_fraction, seed)
    elif "boxes" not in wanted and set(wanted) & set(PIXEL_LABELS):
        opened = _open_pixels(_existing(source), wanted, val_fraction, seed, bad_annotations, bad_images)
    elif "label_map" in wanted:
        path = _existing(source)
        scans, held_out = open_volumes(path, val_fraction=val_fraction, seed=seed)
        usual = Preprocessing(size=96, crop=1.0, mean=(0.5,), std=(0.25,))
        opened = DataSource(path.absolute().name, scans, held_out, scans.class_names, usual)
    elif "graph" in wanted:
        path = _existing(source)
        roads = open_roads(path, val_fraction=val_fraction, seed=seed, bad_images=bad_images)
        opened = DataSource(path.absolute().name, *roads, ROAD_CLASSES)
    elif wanted == PAIR_NAMES:
        path = _existing(source)
        pairs = open_pairs(
            path, val_fraction=val_fraction, seed=seed, bad_annotations=bad_annotations, bad_images=bad_images
        )
        opened = DataSource(path.absolute().name, *pairs, PAIR_NAMES)
    else:
        path = _existing(source)
        train, val = open_objects(path, wanted, val_fraction=val_fraction, seed=seed, bad_annotations=bad_annotations)
        opened = DataSource(
            path.absolute().name,
            train,
            val,
            train.class_names,
            keypoints=train.keypoints,
            stuff_names=train.stuff_names,
            category_ids=train.annotations.category_ids,
            stuff_category_ids=train.annotations.stuff_category_ids,
        )
    return replace(opened, bad_images=bad_images, decode=decode)


def _existing(source: str | Path) -> Path:
    path = Path(source)
    if not path.exists():
        names = source_names()
        raise InputError(
            f"There is no file or folder {str(source)!r}, and no data of that name: "
            f"{nearest(str(source), names) or 'give a path'} (names: {', '.join(names)})."
        )
    return path


def _open_pixels(
    path: Path, wanted: Sequence[str], val_fraction: float, seed: int, bad_annotations: str, bad_images: str
) -> DataSource:
    if len(wanted) > 1:
        raise InputError(f"A data set of files has one label for each pixel, and not {' and '.join(wanted)}: name one.")
    train, val = open_pixels(
        path,
        wanted[0],
        val_fraction=val_fraction,
        seed=seed,
        bad_annotations=bad_annotations,
        bad_images=bad_images,
    )
    return DataSource(path.absolute().name, train, val, train.class_names)


def _open_images(path: Path, val_fraction: float, seed: int) -> DataSource:
    cifar = find_cifar(path)
    if cifar is not None:
        return _open_cifar(*cifar)
    if path.is_file():
        raise InputError(f"{path} is a file: give a folder that has a folder of images for each class.")
    train, val = open_folder(path, val_fraction=val_fraction, seed=seed)
    return DataSource(path.absolute().name, train, val, train.class_names)


def _open_cifar(root: Path, classes: int) -> DataSource:
    train, val = (Cifar(root, classes=classes, train=train) for train in (True, False))
    augment = TrainAugment(pad=4)
    return DataSource(f"cifar{classes}", train, val, train.class_names, cifar_preprocessing(classes), augment)
