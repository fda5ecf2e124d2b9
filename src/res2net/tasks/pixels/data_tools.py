"""What `res2net data` does with data sets that have a label for each pixel: check them, and make them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import matplotlib as mpl
import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image

from res2net.engine.data_tools import (
    CHECKS,
    CONVERSIONS,
    READERS,
    Cell,
    Conversion,
    DataCheck,
    Part,
    class_table,
)
from res2net.engine.options import BadAnnotations
from res2net.errors import InputError, check_choice, check_range
from res2net.explain.masked import MASK_FORMATS, MaskFormat
from res2net.images.decode import EXTENSIONS, BadImage, image_header
from res2net.images.faults import AnnotationReport
from res2net.images.samples import UNLABELLED
from res2net.images.sources import open_source
from res2net.images.splits import DataSettings, choose_splits
from res2net.report import Column, Table
from res2net.report.images import image_table
from res2net.report.objects import draw_segments
from res2net.tasks.objects.formats import ObjectImages, open_objects
from res2net.tasks.pixels.formats.classes import numbered
from res2net.tasks.pixels.formats.images import PixelImages, PixelSurvey, good_images
from res2net.tasks.pixels.formats.open import (
    PIXEL_FORMATS,
    find_pixel_formats,
    likely_pixel_formats,
    read_pixels,
    remark_on,
    without_common,
)


class PixelsPart(Part):
    """A data set in one of `PIXEL_FORMATS`, of which every file is read."""

    endings = (*EXTENSIONS, ".npy", ".json", ".txt", ".csv", ".xml", ".mat")
    counted = "pixels"

    def __init__(self, path: Path, name: str) -> None:
        self.about = PIXEL_FORMATS[name].about
        self.report = AnnotationReport(path)
        splits = {split or "all": files for split, files in PIXEL_FORMATS[name].read(path).items()}
        with suppress(InputError):  # names that do not state which splits are used
            used = choose_splits(splits, DataSettings(), path).names
            splits |= without_common({split: splits[split] for split in used}, self.report)
        self.surveys = {split: PixelSurvey() for split in splits}
        self.splits = {}
        for split, files in splits.items():
            self.report.merge(files.report)
            good = good_images(files, self.report, self.surveys[split])
            self.splits[split] = PixelImages(files, good)
        remark_on(list(splits.values()), list(self.surveys.values()), self.report)

    def count_tables(self, most: int | None) -> list[Table]:
        """The number of images and of labelled pixels of each split, and of pixels by class."""
        samples = next(iter(self.splits.values()))
        counts = [counts_of(survey, is_depth=samples.label == "depth") for survey in self.surveys.values()]
        columns = [Column("what"), *(Column(split) for split in self.splits)]
        table = Table(self.about, columns, [(what, *(one[what] for one in counts)) for what in counts[0]])
        by_class = self._by_class()
        return [table, class_table(by_class.items(), list(self.splits), "pixels", most)] if by_class else [table]

    def _by_class(self) -> dict[str, Counter[str]]:
        """The number of pixels of each class in each split; empty for depth."""
        samples = next(iter(self.splits.values()))
        by_class: dict[str, Counter[str]] = {}
        if samples.label == "depth":
            return by_class
        names = [*(["not salient"] if samples.label == "saliency" else []), *samples.class_names]
        for split, survey in self.surveys.items():
            for name, count in zip(names, survey.classes.tolist(), strict=False):
                by_class.setdefault(name, Counter())[split] = count
        return by_class

    @property
    def needs_classes(self) -> bool:  # type: ignore[override]
        """Whether the maps are of classes."""
        return next(iter(self.splits.values())).label == "semantic"

    def class_counts(self) -> Counter[str]:
        """The number of pixels of each class; none for masks and depth."""
        return Counter({name: found.total() for name, found in self._by_class().items()} if self.needs_classes else {})

    def classes_in(self, samples: PixelImages, index: int) -> Collection[int]:
        """The classes that occur in the map of an image."""
        map_path = samples.files.pairs[samples.chosen[index]][1]
        return next((one.present[map_path] for one in self.surveys.values() if map_path in one.present), ())

    def cell(self, samples: PixelImages, index: int) -> Cell:
        """An image with its labels, or beside its depth map."""
        image, target = samples[index]
        labels = target[samples.label]
        caption = f"{Path(samples.paths[index]).name}\n{image.width} x {image.height}"
        if samples.label == "depth":
            farthest = max(float(labels.max()), 1e-9)
            colours = np.array(mpl.colormaps["viridis_r"](labels.numpy() / farthest)[..., :3] * 255)
            colours[labels.numpy() == 0] = 0
            both = image_table([[image, Image.fromarray(colours.round().astype(np.uint8))]])
            return both, f"{caption}, up to {farthest:.3g} m"
        if samples.label == "saliency":
            return draw_segments(image, [(labels, 0)], samples.class_names), caption
        present = [number for number in labels.unique().tolist() if number < len(samples.class_names)]
        return draw_segments(image, [(labels == number, number) for number in present], samples.class_names), caption


def counts_of(survey: PixelSurvey, *, is_depth: bool) -> dict[str, str | int]:
    """What a split contains."""
    known = int(survey.classes.sum())
    counts: dict[str, str | int] = {"images": survey.read, "without a labelled pixel": survey.empty}
    if not is_depth:
        counts["of one class only"] = survey.single
    counts |= {"labelled pixels": known, "pixels without a label": survey.unlabelled}
    if not is_depth:
        return counts | {"classes that occur": int((survey.classes > 0).sum())}
    metres = {"nearest": survey.nearest, "mean": survey.metres / max(known, 1), "farthest": survey.farthest}
    return counts | {f"{what}, m": f"{value:.3g}" if known else "" for what, value in metres.items()}


@dataclass(frozen=True)
class PrepareArguments:
    """A data set, and the label maps to make from it."""

    source: tyro.conf.Positional[str]
    """A data set with object masks: a folder or file."""
    to: Literal["semantic", "saliency"]
    """Make label maps of the classes and the background, or masks of large objects of any class."""
    out: Annotated[str, "FOLDER"]
    """The folder to write; it must not exist yet."""
    classes: Annotated[tuple[str, ...], "NAME ..."] = ()
    """Use objects of these classes only, and make all others background; by default all classes."""
    min_share: float = 0.03
    """Minimum share of the image that a salient object covers."""
    val_fraction: float = 0.2
    """Share of the data kept for validation where the data set has no split."""
    seed: int = 0
    """Seed of that split."""
    bad_annotations: BadAnnotations = "stop"
    """At wrong annotations and broken images, stop, or skip them."""


def prepare(chosen: PrepareArguments) -> str:
    """Convert object masks to label maps in folders `images` and `masks`, and return a sentence about them.

    For "semantic", the pixels of an object have the number of its class, smaller objects are drawn over larger ones,
    crowds are unlabelled (255), and everything else is background (0); `classes.json` has the names. For "saliency",
    objects that cover at least a given share of the image are white, except crowds, and images without such an object
    are left out.

    Raises:
        InputError: an option is invalid, the data set cannot be used, or `out` is not empty.
    """
    check_range("min share", chosen.min_share, 0, 1)
    out = Path(chosen.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not empty: give the name of a new folder.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"There is no folder {out.absolute().parent} for {out.name}: make it, or choose another.")
    settings = DataSettings(chosen.val_fraction, chosen.seed, bad_annotations=chosen.bad_annotations)
    *splits, _ = open_objects(chosen.source, ("boxes", "labels", "masks", "crowd"), settings)
    maker = _Maker(chosen, splits[0].class_names)
    with TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}-") as beside:
        made = Path(beside, "set")
        train, val = (maker.write(images, made, split) for split, images in zip(("train", "val"), splits, strict=True))
        if not train or not val:
            wanted = f" of at least {chosen.min_share:g} of the image" if chosen.to == "saliency" else ""
            raise InputError(
                f"{chosen.source} has no images for {'training' if not train else 'validation'} with objects{wanted}: "
                "choose other classes, or a smaller `--min-share`."
            )
        if chosen.to == "semantic":
            (made / "classes.json").write_text(json.dumps(maker.names, indent=1) + "\n", encoding="utf-8")
        made.rename(out)
    sentence = f"{out} has {train} images for training and {val} for validation"
    if chosen.to == "semantic":
        sentence += f", and {len(maker.names)} classes of pixels"
    if left_out := sum(map(len, splits)) - train - val:
        sentence += f"; {left_out} were left out"
    return f"{sentence}."


class _Maker:
    """Makes label maps; `names` are the classes of their pixels."""

    def __init__(self, chosen: PrepareArguments, class_names: Sequence[str]) -> None:
        for name in chosen.classes:
            check_choice("Class", name, class_names)
        wanted = list(dict.fromkeys(chosen.classes)) or list(class_names)
        self.chosen = chosen
        self.names = ["background", *wanted]
        if chosen.to == "semantic":
            numbered(dict(enumerate(self.names)))  # raises an error for too many classes or duplicate names
        self.number_of = {label: wanted.index(name) + 1 for label, name in enumerate(class_names) if name in wanted}

    def write(self, images: ObjectImages, folder: Path, split: str) -> int:
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
                if self.chosen.bad_annotations == "stop":
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
        if self.chosen.to == "saliency":
            for row in order:
                if not crowd[row] and areas[row] >= max(1, self.chosen.min_share * made.size):
                    made[masks[row]] = 255
            return made if made.any() else None
        for row in sorted(order, key=lambda row: not crowd[row]):
            made[masks[row]] = UNLABELLED if crowd[row] else self.number_of[labels[row]]
        return made


TASKS_OF = {"semantic": "segment", "saliency": "saliency", "depth": "depth"}
"""The task that reads maps of a label."""

READERS.add("pixels", lambda path: [TASKS_OF[PIXEL_FORMATS[name].label] for name in likely_pixel_formats(path)])
MASK_FORMATS.add(
    "pixels",
    MaskFormat(
        lambda path: [name for name in find_pixel_formats(path) if PIXEL_FORMATS[name].label == "semantic"],
        partial(open_source, labels=("semantic",), reader=read_pixels),
    ),
)
CHECKS.add(
    "pixels",
    DataCheck(
        lambda path: [PixelsPart(path, name) for name in likely_pixel_formats(path)],
        f"data set with a label for each pixel ({', '.join(known.about for known in PIXEL_FORMATS.values())})",
    ),
)
CONVERSIONS.add(
    "prepare",
    Conversion(
        PrepareArguments,
        """Make a data set with a label for each pixel out of one with masks of objects, such as COCO or Penn-Fudan:
`res2net data prepare PATH --to semantic --out FOLDER`.""",
        prepare,
    ),
)
