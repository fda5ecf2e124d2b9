"""The part of `res2net data check` for data sets with a label for each pixel."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image

from res2net.commands.part_tables import Cell, class_table, fault_table, spread
from res2net.images import BadImage
from res2net.report import Column, Table
from res2net.report.objects import draw_segments
from res2net.tasks.objects.formats import AnnotationReport
from res2net.tasks.pixels.formats import PIXEL_FORMATS, PixelImages, read_pixel_splits
from res2net.tasks.pixels.formats.survey import PixelSurvey, good_images

__all__ = ["PixelsPart"]

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
