"""What `res2net data check` tells of a data set: a part for each format that it has, with tables and images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Protocol

from res2net.commands.part_tables import Cell, class_table, fault_table, spread
from res2net.commands.pixel_parts import PixelsPart
from res2net.errors import InputError
from res2net.images import BadImage, ImageFiles, open_source
from res2net.images.decode import image_size
from res2net.report import Column, Table
from res2net.report.images import as_image
from res2net.task.result import Result
from res2net.tasks.objects.formats import OBJECT_FORMATS, AnnotationReport, ObjectImages, find_formats, read_splits
from res2net.tasks.objects.formats.survey import check_images, survey
from res2net.tasks.objects.panoptic.result import PanopticSegments
from res2net.tasks.objects.result import Objects
from res2net.tasks.pixels.formats import PIXEL_FORMATS
from res2net.tasks.pixels.formats.open import likely_pixel_formats

__all__ = ["Part", "open_parts"]


class Part(Protocol):
    """One format of a data set."""

    about: str

    @property
    def faults(self) -> int:
        """The number of faults."""
        ...

    def tables(self, most: int | None) -> list[Table]:
        """Counts, classes and faults; of classes at most so many, the most frequent."""
        ...

    def images(self, count: int) -> list[Cell]:
        """Images from all over the data set, those with objects first."""
        ...


def open_parts(source: str) -> list[Part]:
    """Recognise a data set and read all of it.

    Raises:
        InputError: it is in no known format.
    """
    path = Path(source)
    if not path.exists():
        raise InputError(f"There is no file or folder {source!r}: give the path of a data set.")
    parts: list[Part] = [ObjectsPart(path, name) for name in find_formats(path)]
    parts += [PixelsPart(path, name) for name in likely_pixel_formats(path)]
    if parts:
        return parts
    try:
        return [ClassesPart(source)]
    except InputError as error:
        known = ", ".join(known.about for known in OBJECT_FORMATS.values())
        maps = ", ".join(known.about for known in PIXEL_FORMATS.values())
        raise InputError(
            f"{source} is no data set with objects ({known}), none with a label for each pixel ({maps}), nor one of "
            f"classes, for this reason: {error}"
        ) from error


class ObjectsPart:
    """A data set with objects in one of `OBJECT_FORMATS`."""

    def __init__(self, path: Path, name: str) -> None:
        self.about = OBJECT_FORMATS[name].about
        self.report = AnnotationReport(path)
        splits = read_splits(path, name, None, self.report)
        self.splits = dict(zip(("all",) if len(splits) == 1 else ("train", "val"), splits, strict=True))
        for split in splits:
            check_images(split, self.report)

    @property
    def faults(self) -> int:
        """The number of faults."""
        return self.report.total

    def tables(self, most: int | None) -> list[Table]:
        """As of `Part`."""
        tables = [self._counts(), self._classes(most)]
        return [*tables, fault_table(self.report)] if self.faults else tables

    def _counts(self) -> Table:
        found = [survey(split) for split in self.splits.values()]
        rows: list[tuple[str, list[int]]] = [
            ("images", [one.images for one in found]),
            ("images without objects", [one.empty for one in found]),
            ("objects", [one.objects for one in found]),
            ("small (area below 32 x 32)", [one.small for one in found]),
            ("medium", [one.medium for one in found]),
            ("large (area from 96 x 96)", [one.large for one in found]),
            ("classes that occur", [sum(count > 0 for count in one.classes) for one in found]),
        ]
        rare = [
            ("crowds", [one.crowds for one in found]),
            ("difficult objects", [one.difficult for one in found]),
            ("labelled key points", [one.labelled_points or 0 for one in found]),
            ("classes of stuff", [len(split.stuff_names) for split in self.splits.values()]),
        ]
        rows += [row for row in rare if any(row[1])]
        columns = [Column("what"), *(Column(split) for split in self.splits)]
        return Table(self.about, columns, [(what, *counts) for what, counts in rows])

    def _classes(self, most: int | None) -> Table:
        counts: dict[str, Counter[str]] = {}
        for split, found in self.splits.items():
            for name, count in zip(found.class_names, survey(found).classes, strict=True):
                counts.setdefault(name, Counter())[split] = count
        return class_table(counts, list(self.splits), "objects", most)

    def images(self, count: int) -> list[Cell]:
        """As of `Part`."""
        each = -(-count // len(self.splits))
        cells: list[Cell] = []
        for split in self.splits.values():
            images = ObjectImages(split, split.available())
            full = [index for index in range(len(images)) if images.rows(index)]
            for index in spread(full or list(range(len(images))), each):
                try:
                    cells.append(self._drawn(images, index))
                except BadImage:
                    continue  # it is among the faults
        return cells[:count]

    def _drawn(self, images: ObjectImages, index: int) -> Cell:
        image, target = images[index]
        caption = f"{Path(images.paths[index]).name}\n{self._caption(images, index)}"
        if "semantic" in target:
            truth: Result = PanopticSegments.from_target(target, images.class_names, images.stuff_names)
        else:
            truth = Objects.from_target(target, images.class_names, images.keypoints)
        return truth.draw(image), caption

    def _caption(self, images: ObjectImages, index: int) -> str:
        (height, width), objects = images.size(index), len(images.rows(index))
        return f"{width} x {height}, {objects} {'object' if objects == 1 else 'objects'}"


class ClassesPart:
    """A data set with a class for each image."""

    def __init__(self, source: str) -> None:
        self.source = open_source(Path(source))
        self.splits = {"train": self.source.train, "val": self.source.val}
        self.about = "a data set of classes"
        self.report = AnnotationReport(source)
        for split in self.splits.values():
            for path in split.paths if isinstance(split, ImageFiles) else ():
                try:
                    image_size(path)
                except BadImage as error:
                    self.report.add("unreadable image", path, error.reason)

    @property
    def faults(self) -> int:
        """The number of faults."""
        return self.report.total

    def tables(self, most: int | None) -> list[Table]:
        """As of `Part`."""
        names, counts = self.source.class_names, {}
        targets = {split: Counter(getattr(images, "targets", ())) for split, images in self.splits.items()}
        for label, name in enumerate(names):
            counts[name] = Counter({split: found[label] for split, found in targets.items()})
        rows = [(split, len(images), len(names)) for split, images in self.splits.items()]
        columns = [Column(heading) for heading in ("split", "images", "classes")]
        tables = [Table("Images", columns, rows), class_table(counts, list(self.splits), "images", most)]
        return [*tables, fault_table(self.report)] if self.faults else tables

    def images(self, count: int) -> list[Cell]:
        """As of `Part`."""
        cells: list[Cell] = []
        each = -(-count // len(self.splits))
        for images in self.splits.values():
            for index in spread(list(range(len(images))), each):
                try:
                    image, target = images[index]
                except BadImage:
                    continue  # it is among the faults
                cells.append((as_image(image), str(self.source.class_names[target["label"]])))
        return cells[:count]
