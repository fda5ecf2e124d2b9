"""What `res2net data check` prints and draws of data sets with objects."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from res2net.engine.data_tools import CHECKS, Cell, DataCheck, class_table, fault_table, spread
from res2net.images.decode import BadImage
from res2net.images.faults import AnnotationReport
from res2net.report import Column, Table
from res2net.task.result import Result
from res2net.tasks.objects.formats import OBJECT_FORMATS, ObjectImages, find_formats, read_splits
from res2net.tasks.objects.formats.survey import check_images, survey
from res2net.tasks.objects.result import Objects
from res2net.tasks.objects.segments import PanopticSegments

__all__ = ["ObjectsPart"]


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


CHECKS.add(
    "objects",
    DataCheck(
        lambda path: [ObjectsPart(path, name) for name in find_formats(path)],
        f"data set with objects ({', '.join(known.about for known in OBJECT_FORMATS.values())})",
    ),
)
