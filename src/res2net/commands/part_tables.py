"""What the parts of `res2net data check` share: tables, and which images are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from PIL import Image

from res2net.report import Column, Table
from res2net.tasks.objects.formats import AnnotationReport

__all__ = ["Cell", "class_table", "fault_table", "spread"]

Cell = tuple[Image.Image, str]
"""An image with its labels drawn on it, and a caption."""


def spread(places: Sequence[int], count: int) -> list[int]:
    """So many of the places, at equal distances."""
    count = min(count, len(places))
    return [places[number * len(places) // count] for number in range(count)]


def class_table(counts: dict[str, Counter[str]], splits: Sequence[str], what: str, most: int | None) -> Table:
    """How many objects or images each class has, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1].total())
    rows: list[tuple[str | int, ...]] = [(name, *(found[split] for split in splits)) for name, found in ordered[:most]]
    left = len(ordered) - len(rows)
    title = f"{what.capitalize()} by class" + (f", without the {left} rarest" if left else "")
    return Table(title, [Column("class"), *(Column(split) for split in splits)], rows)


def fault_table(report: AnnotationReport) -> Table:
    """Each kind of fault, how many there are, and the first ones."""
    rows = [(kind, count, "; ".join(map(str, report.examples[kind]))) for kind, count in report.counts.most_common()]
    return Table("What is wrong", [Column("fault"), Column("count"), Column("first")], rows)
