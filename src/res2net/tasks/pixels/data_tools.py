"""What `res2net data` does with data sets that have a label for each pixel: check them, and make them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import matplotlib as mpl
import numpy as np
import tyro
from PIL import Image

from res2net.engine.choices import BadAnnotations
from res2net.engine.data_tools import (
    CHECKS,
    CONVERSIONS,
    Cell,
    Conversion,
    DataCheck,
    class_table,
    fault_table,
    spread,
)
from res2net.images.decode import BadImage
from res2net.images.faults import AnnotationReport
from res2net.report import Column, Table
from res2net.report.objects import draw_segments
from res2net.tasks.pixels.formats import PIXEL_FORMATS, PixelImages, read_pixel_splits
from res2net.tasks.pixels.formats.open import likely_pixel_formats
from res2net.tasks.pixels.formats.prepare import prepare_pixels
from res2net.tasks.pixels.formats.survey import PixelSurvey, good_images

__all__ = ["PixelsPart", "PrepareArguments", "prepare"]

NEAR_TO_FAR = "viridis_r"


class PixelsPart:
    """A data set in one of `PIXEL_FORMATS`, of which every file is read."""

    def __init__(self, path: Path, name: str) -> None:
        self.about = PIXEL_FORMATS[name].about
        self.report = AnnotationReport(path)
        splits = read_pixel_splits(path, name, self.report)
        self.surveys = {split: PixelSurvey() for split in (("all",) if len(splits) == 1 else ("train", "val"))}
        self.splits = {
            split: PixelImages(files, good_images(files, self.report, survey))
            for files, (split, survey) in zip(splits, self.surveys.items(), strict=True)
        }

    @property
    def faults(self) -> int:
        """The number of faults."""
        return self.report.total

    def tables(self, most: int | None) -> list[Table]:
        """As of `Part`."""
        tables = [self._counts()]
        if self._label() != "depth":
            counts: dict[str, Counter[str]] = {}
            for split, survey in self.surveys.items():
                for name, count in zip(self._classes(), survey.classes.tolist(), strict=False):
                    counts.setdefault(name, Counter())[split] = count
            tables.append(class_table(counts, list(self.splits), "pixels", most))
        return [*tables, fault_table(self.report)] if self.faults else tables

    def _label(self) -> str:
        return next(iter(self.splits.values())).label

    def _classes(self) -> list[str]:
        names = list(next(iter(self.splits.values())).class_names)
        return ["not salient", *names] if self._label() == "saliency" else names

    def _counts(self) -> Table:
        surveys = list(self.surveys.values())
        rows: list[tuple[str, list[str | int]]] = [
            ("images", [survey.read for survey in surveys]),
            ("without a labelled pixel", [survey.empty for survey in surveys]),
            ("labelled pixels", [int(survey.classes.sum()) for survey in surveys]),
            ("pixels without a label", [survey.unlabelled for survey in surveys]),
        ]
        if self._label() == "depth":
            found = [(survey.nearest, survey.farthest, survey.metres, int(survey.classes.sum())) for survey in surveys]
            rows.append(("nearest, m", [f"{nearest:.3g}" if known else "" for nearest, _, _, known in found]))
            rows.append(("mean, m", [f"{metres / known:.3g}" if known else "" for _, _, metres, known in found]))
            rows.append(("farthest, m", [f"{farthest:.3g}" if known else "" for _, farthest, _, known in found]))
        else:
            rows.insert(2, ("of one class only", [survey.single for survey in surveys]))
            rows.append(("classes that occur", [int((survey.classes > 0).sum()) for survey in surveys]))
        columns = [Column("what"), *(Column(split) for split in self.splits)]
        return Table(self.about, columns, [(what, *counts) for what, counts in rows])

    def images(self, count: int) -> list[Cell]:
        """As of `Part`."""
        cells: list[Cell] = []
        for images in self.splits.values():
            for index in spread(list(range(len(images))), -(-count // len(self.splits))):
                try:
                    cells.append(self._drawn(images, index))
                except BadImage:
                    continue  # an image that is cut off, of which the header could be read
        return cells[:count]

    def _drawn(self, images: PixelImages, index: int) -> Cell:
        image, target = images[index]
        labels = target[images.label]
        caption = f"{Path(images.paths[index]).name}\n{image.width} x {image.height}"
        if images.label == "depth":
            farthest = max(float(labels.max()), 1e-9)
            colours = np.array(mpl.colormaps[NEAR_TO_FAR](labels.numpy() / farthest)[..., :3] * 255)
            colours[labels.numpy() == 0] = 0
            both = Image.new("RGB", (2 * image.width, image.height))
            both.paste(image)
            both.paste(Image.fromarray(colours.round().astype(np.uint8)), (image.width, 0))
            return both, f"{caption}, up to {farthest:.3g} m"
        if images.label == "saliency":
            return draw_segments(image, [(labels, 0)], images.class_names), caption
        present = [number for number in labels.unique().tolist() if number < len(images.class_names)]
        return draw_segments(image, [(labels == number, number) for number in present], images.class_names), caption


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
    least: float = 0.03
    """Minimum share of the image that a salient object covers."""
    val_fraction: float = 0.2
    """Share of the data kept for validation where the data set has no split."""
    seed: int = 0
    """Seed of that split."""
    bad_annotations: BadAnnotations = "stop"
    """At wrong annotations and broken images, stop, or skip them."""


def prepare(chosen: PrepareArguments) -> str:
    """Write the data set and return a sentence about it."""
    made = prepare_pixels(
        chosen.source,
        chosen.to,
        chosen.out,
        classes=chosen.classes,
        least=chosen.least,
        val_fraction=chosen.val_fraction,
        seed=chosen.seed,
        bad_annotations=chosen.bad_annotations,
    )
    sentence = f"{chosen.out} has {made.train} images for training and {made.val} for validation"
    if chosen.to == "semantic":
        sentence += f", and {len(made.class_names)} classes of pixels"
    if made.left_out:
        sentence += f"; {made.left_out} were left out"
    return f"{sentence}."


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
