"""Convert object masks to label maps: class maps, or saliency masks of the large objects."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from res2net.errors import InputError, check_choice, check_range
from res2net.images.decode import EXTENSIONS, BadImage, image_header
from res2net.images.samples import UNLABELLED
from res2net.tasks.objects.formats import BAD_ANNOTATIONS, ObjectImages, open_objects
from res2net.tasks.pixels.formats.classes import numbered

__all__ = ["MADE", "Prepared", "prepare_pixels"]

MADE = ("semantic", "saliency")
"""The labels that object masks can be converted to."""


@dataclass(frozen=True)
class Prepared:
    """What `prepare_pixels` wrote: numbers of images, class names, and the number of images that were left out."""

    train: int
    val: int
    class_names: tuple[str, ...]
    left_out: int


def prepare_pixels(
    path: str | Path,
    label: str,
    out: str | Path,
    *,
    classes: Sequence[str] = (),
    least: float = 0.03,
    val_fraction: float = 0.2,
    seed: int = 0,
    bad_annotations: str = "stop",
) -> Prepared:
    """Convert a data set with object masks to one with label maps, in folders `images` and `masks`.

    For "semantic", the pixels of an object have the number of its class, smaller objects are drawn over larger ones,
    crowds are unlabelled (255), and everything else is background (0); `classes.json` has the names. For "saliency",
    objects that cover at least a given share of the image are white, except crowds, and images without such an object
    are left out.

    Args:
        path: a data set with masks that `open_objects` reads.
        label: one of `MADE`.
        out: a new or empty folder.
        classes: use only objects of these classes; by default of all.
        least: minimum share of the image that a salient object covers.
        val_fraction: share of the validation images if the data set has no split.
        seed: seed of that split.
        bad_annotations: "stop" raises `InputError` if annotations or images are faulty, "skip" leaves them out.

    Raises:
        InputError: an option is invalid, the data set cannot be used, or `out` is not empty.
    """
    check_choice("Label", label, MADE)
    check_range("least", least, 0, 1)
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not empty: give the name of a new folder.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"There is no folder {out.absolute().parent} for {out.name}: make it, or choose another.")
    labels = ("boxes", "labels", "masks", "crowd")
    splits = open_objects(path, labels, val_fraction=val_fraction, seed=seed, bad_annotations=bad_annotations)
    maker = _Maker(label, splits[0].class_names, classes, least)
    with TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}-") as beside:
        made = Path(beside, "set")
        counts = [
            maker.write(images, made, split, skip=bad_annotations == BAD_ANNOTATIONS[1])
            for split, images in zip(("train", "val"), splits, strict=True)
        ]
        if not all(counts):
            wanted = f" of at least {least:g} of the image" if label == "saliency" else ""
            raise InputError(
                f"{path} has no images for {'training' if not counts[0] else 'validation'} with objects{wanted}: "
                "choose other classes, or a smaller `--least`."
            )
        if label == "semantic":
            (made / "classes.json").write_text(json.dumps(list(maker.names), indent=1) + "\n", encoding="utf-8")
        made.rename(out)
    names = maker.names if label == "semantic" else ("salient",)
    return Prepared(counts[0], counts[1], names, sum(map(len, splits)) - sum(counts))


class _Maker:
    """Creates the label maps of one label; `names` are the classes of their pixels."""

    def __init__(self, label: str, class_names: Sequence[str], classes: Sequence[str], least: float) -> None:
        for name in classes:
            check_choice("Class", name, class_names)
        wanted = list(dict.fromkeys(classes)) or list(class_names)
        self.label, self.least = label, least
        self.names = ("background", *wanted)
        if label == "semantic":
            numbered(dict(enumerate(self.names)))  # raises an error for too many classes or duplicate names
        self.number_of = {label: wanted.index(name) + 1 for label, name in enumerate(class_names) if name in wanted}

    def write(self, images: ObjectImages, folder: Path, split: str, *, skip: bool) -> int:
        """Write the images and maps of a split, and return their number."""
        image_folder, map_folder = (folder / kind / split for kind in ("images", "masks"))
        image_folder.mkdir(parents=True)
        map_folder.mkdir(parents=True)
        taken: set[str] = set()
        for index, path in enumerate(images.paths):
            try:
                image, target = images[index]
                upright = image_header(path)[1] == 1
            except BadImage:
                if not skip:
                    raise
                continue
            made = self._map(target["masks"].numpy(), target["labels"].tolist(), target["crowd"].tolist())
            if made is None:
                continue
            stem = Path(path).stem if Path(path).stem not in taken else f"{Path(path).stem}_{index}"
            taken.add(stem)
            if upright and path.lower().endswith(EXTENSIONS):
                shutil.copyfile(path, image_folder / f"{stem}{Path(path).suffix}")
            else:  # the masks are those of the upright image
                image.save(image_folder / f"{stem}.png")
            Image.fromarray(made).save(map_folder / f"{stem}.png")
        return len(taken)

    def _map(self, masks: NDArray[np.bool_], labels: Sequence[int], crowd: Sequence[bool]) -> NDArray[np.uint8] | None:
        """The label map `(H, W)` of an image's objects; None if the image has no salient object."""
        areas = masks.sum((1, 2))
        wanted = [row for row, label in enumerate(labels) if label in self.number_of]
        order = sorted(wanted, key=lambda row: -areas[row])
        made = np.zeros(masks.shape[1:], dtype=np.uint8)
        if self.label == "saliency":
            for row in order:
                if not crowd[row] and areas[row] >= max(1, self.least * made.size):
                    made[masks[row]] = 255
            return made if made.any() else None
        for row in sorted(order, key=lambda row: not crowd[row]):
            made[masks[row]] = UNLABELLED if crowd[row] else self.number_of[labels[row]]
        return made
