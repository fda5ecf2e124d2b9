"""The checks and conversions of `res2net data`, which the folders of tasks register in their `data_tools.py`."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from res2net.console import Console
from res2net.errors import InputError
from res2net.files import assumed_encodings, encodings_note
from res2net.images.decode import EXTENSIONS, BadImage
from res2net.images.faults import AnnotationReport
from res2net.images.inspection import ImageFile, imbalance, inspect_images, unread_files
from res2net.images.splits import used_splits
from res2net.registry import Registry, modules_of_tasks
from res2net.report import Column, Table
from res2net.report.progress import track

Cell = tuple[Image.Image, str]
"""An image with its labels drawn on it, with a caption."""


class Part:
    """A data set, or the part of it that is in one format, after reading all of its annotations."""

    about: str
    """The readable name of the format."""
    report: AnnotationReport
    splits: Mapping[str, Any]
    """The splits by name."""
    endings: Sequence[str] = EXTENSIONS
    """Endings of the files that are read, in lower case."""
    counted: str = "images"
    """What has classes and is counted by them, one of `IMBALANCE`."""
    needs_classes: bool = False
    """Whether nothing can be learned from a single class."""

    @property
    def faults(self) -> int:
        """The number of faults."""
        return self.report.total

    @property
    def notes(self) -> Sequence[str]:
        """What was assumed, and which files are not used, a sentence each; they are no faults."""
        names = list(self.splits)
        used = [used_splits(names, self.report.path)] if len(names) > 1 else []
        return list(dict.fromkeys([*used, *self.report.remarks, *self.report.unused]))

    def report_empty(self) -> None:
        """Report the splits without a sample, which a run refuses, unless other faults are the reason."""
        if self.faults:
            return
        for name, samples in self.splits.items():
            if not len(getattr(samples, "paths", samples)):
                self.report.add("missing labels", self.report.path, f"the split {name} has nothing that can be used")

    def report_classes(self) -> None:
        """Report that all has one class, and mention classes of very different sizes."""
        counts = +self.class_counts()
        if len(counts) == 1:
            (name,) = counts
            only = f"all {self.counted} are of the class {name!r}"
            if self.needs_classes:
                self.report.add("one class only", self.report.path, f"{only}, and a training needs two")
            else:
                self.report.remark(f"{only[0].upper()}{only[1:]}.")
        self.report.remark(imbalance(counts, self.counted))

    def class_counts(self) -> Counter[str]:
        """The number of what is counted of each class in all splits; empty where there are no classes."""
        return Counter()

    def inspect(self, console: Console, *, full: bool = False) -> None:
        """Look into the image files for broken and repeated ones; see `inspect_images`."""
        files = []
        for split, samples in self.splits.items():
            paths = [str(path) for path in getattr(samples, "paths", ())]
            labels: Sequence[Any] | None = getattr(samples, "targets", None)
            names = getattr(samples, "class_names", ())
            classes: list[str] = []
            if labels is not None and all(isinstance(label, int) for label in labels):
                classes = [names[label] if label < len(names) else str(label) for label in labels]
            files += [ImageFile(path, split, classes[index] if classes else None) for index, path in enumerate(paths)]
        inspect_images(files, self.report, partial(track, console=console), full=full)

    def tables(self, most: int | None) -> list[Table]:
        """Tables of counts, of classes (at most `most`, the most frequent ones) and of faults."""
        tables = self.count_tables(most)
        if not self.faults:
            return tables
        examples, counts = self.report.examples, self.report.counts
        rows = [(kind, count, "; ".join(map(str, examples[kind]))) for kind, count in counts.most_common()]
        return [*tables, Table("What is wrong", [Column("fault"), Column("count"), Column("first")], rows)]

    def images(self, count: int) -> list[Cell]:
        """Images spread evenly over the data set, those with objects first, and of each class one if there is room."""
        cells: list[Cell] = []
        for split in self.splits.values():
            samples, indices = self.shown(split)
            most = min(-(-count // len(self.splits)), len(indices))
            for index in spread({index: self.classes_in(samples, index) for index in indices}, most):
                with contextlib.suppress(BadImage):  # it is among the faults, or only its header could be read
                    cells.append(self.cell(samples, index))
        return cells[:count]

    def count_tables(self, most: int | None) -> list[Table]:
        """The tables of counts and of classes."""
        raise NotImplementedError

    def shown(self, split: Any) -> tuple[Any, Sequence[int]]:
        """The samples of a split, and the indices of those to show."""
        return split, range(len(split))

    def classes_in(self, samples: Any, index: int) -> Collection[int]:
        """The classes of a sample, for a selection that shows all; by default none are known."""
        return ()

    def cell(self, samples: Any, index: int) -> Cell:
        """Draw a sample; `BadImage` if it cannot be read."""
        raise NotImplementedError


def spread(classes: Mapping[int, Collection[int]], count: int) -> list[int]:
    """Choose at most `count` indices, of each class one, the rarest first, and the others spread evenly; sorted."""
    rarity = Counter(label for found in classes.values() for label in found)
    chosen: dict[int, None] = {}
    shown: set[int] = set()
    for label, _ in sorted(rarity.items(), key=lambda item: item[1]):
        if label not in shown and len(chosen) < count:
            index = max((index for index in classes if label in classes[index]), key=lambda one: len(set(classes[one])))
            chosen[index] = None
            shown |= set(classes[index])
    left = [index for index in classes if index not in chosen]
    more = min(count - len(chosen), len(left))
    return sorted([*chosen, *(left[number * len(left) // more] for number in range(more))])


@dataclass(frozen=True)
class DataCheck:
    """Recognises the formats of one family of data sets."""

    find: Callable[[Path], Sequence[Part]]
    """A function that reads the parts of a path in these formats; it returns an empty list if there are none."""
    formats: str
    """The readable names of the formats, for the message about an unknown format."""


@dataclass(frozen=True)
class Conversion:
    """Converts a data set to another one: `res2net data NAME`."""

    Arguments: type[Any]
    """A dataclass of its options."""
    about: str
    """What it does, for `--help`."""
    run: Callable[[Any], str]
    """A function that takes the options, writes the data set, and returns a sentence that describes it."""


TOOLS = partial(modules_of_tasks, "data_tools.py")
CHECKS: Registry[DataCheck] = Registry("Kind of data set", modules=TOOLS)
"""Checks by family of tasks."""
FALLBACK: Registry[Callable[[Path], Part]] = Registry("Kind of data set", modules=TOOLS)
"""Functions that read a path that none of `CHECKS` recognises, or raise `InputError`."""
READERS: Registry[Callable[[Path], Sequence[str]]] = Registry("Kind of data set", modules=TOOLS)
"""Functions that name the tasks that read the data at a path, by the names of its files and folders."""
CONVERSIONS: Registry[Conversion] = Registry("Conversion", modules=TOOLS)
"""Conversions by their name after `res2net data`."""


def tasks_reading(source: str) -> list[str]:
    """The tasks that read a data set, by the names of its files and folders; none if it does not exist."""
    path = Path(source)
    found: list[str] = []
    for _, reads in sorted(READERS.items()) if path.exists() else ():
        with contextlib.suppress(InputError):
            found += reads(path)
    return found


def open_parts(source: str) -> list[Part]:
    """Recognise a data set and read all of it; raises `InputError` if it is in no known format."""
    path = Path(source)
    if not path.exists():
        raise InputError(f"There is no file or folder {source!r}: give the path of a data set.")
    checks = [check for _, check in sorted(CHECKS.items())]  # not in the order in which tasks were imported
    with assumed_encodings() as assumed:
        parts = [part for check in checks for part in check.find(path)]
    if parts:
        parts[0].report.remark(*encodings_note(assumed))
        for part in parts:
            part.report_empty()
            part.report_classes()
        unread = unread_files(path, [ending for part in parts for ending in part.endings])
        parts[0].report.unused += [unread] if unread else []
        return parts
    try:
        parts = [read(path) for read in FALLBACK.values()]
    except InputError as error:
        known = ", a ".join(check.formats for check in checks)
        raise InputError(f"{source} is neither a {known} nor a data set of classes: {error}") from error
    for part in parts:
        part.report_classes()
    return parts


def class_table(
    counts: Iterable[tuple[str, Counter[str]]], splits: Sequence[str], what: str, most: int | None
) -> Table:
    """A table of the number of objects or images of each class, most frequent first; several can have one name."""
    ordered = sorted(counts, key=lambda item: -item[1].total())
    rows: list[tuple[str | int, ...]] = [(name, *(found[split] for split in splits)) for name, found in ordered[:most]]
    left = len(ordered) - len(rows)
    title = f"{what.capitalize()} by class" + (f", without the {left} rarest" if left else "")
    return Table(title, [Column("class"), *(Column(split) for split in splits)], rows)
