"""What `res2net data check` prints and draws of pairs of images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from res2net.engine.data_tools import CHECKS, READERS, Cell, DataCheck, Part
from res2net.files import walk
from res2net.images.decode import BadImage
from res2net.images.faults import AnnotationReport
from res2net.report import Column, Table
from res2net.report.images import image_table
from res2net.tasks.pixels.formats.codings import Turning
from res2net.tasks.translate.data import ImagePairs, checked_pairs, find_pair_splits, list_pairs


class PairsPart(Part):
    """Pairs of images in folders A and B, all of which are read."""

    about = "pairs of images"

    def __init__(self, path: Path) -> None:
        self.report = AnnotationReport(path)
        self.splits: dict[str, ImagePairs] = {}
        self.sizes: dict[str, Counter[tuple[int, int]]] = {}
        turning = Turning()
        for name, folders in find_pair_splits(path, self.report).items():
            pairs = checked_pairs(list_pairs(folders, self.report), self.report, turning)
            sizes: Counter[tuple[int, int]] = Counter()
            good = []
            for index in range(len(pairs)):
                try:
                    sizes[pairs[index][0].size] += 1
                    good.append(index)
                except BadImage as error:
                    self.report.add("unreadable image", error.path, error.reason)
            self.splits[name or "all"], self.sizes[name or "all"] = pairs.subset(good), sizes
        self.report.remark(turning.note("their partners"))

    def count_tables(self, most: int | None) -> list[Table]:
        """The number of pairs of each split, and their sizes."""
        columns = [Column("what"), *(Column(split) for split in self.splits)]
        sizes = sorted({size for found in self.sizes.values() for size in found})
        rows: list[tuple[str | int, ...]] = [("pairs", *map(len, self.splits.values()))]
        rows += [
            (f"{width} x {height}", *(found[width, height] for found in self.sizes.values()))
            for width, height in sizes[:most]
        ]
        left = len(sizes) - len(sizes[:most])
        return [Table(self.about + (f", without {left} more sizes" if left else ""), columns, rows)]

    def cell(self, samples: ImagePairs, index: int) -> Cell:
        """An image beside its partner."""
        image, target = samples[index]
        both = image_table([[image, target["image"]]])
        return both, f"{Path(samples.paths[index]).name}\n{image.width} x {image.height}"


def has_pairs(path: Path) -> bool:
    """Whether a folder has folders A and B of images of the same names; images side by side are no sign."""
    if not path.is_dir():
        return False
    for folders in find_pair_splits(path, AnnotationReport(path)).values():
        if folders is None or (second := folders[1]) is None:
            continue
        names = [{file.stem for file in map(Path, walk(folder))} for folder in (folders[0], second)]
        if len(names[0] & names[1]) * 2 > len(names[0]):
            return True
    return False


READERS.add("translate", lambda path: ["translate"] if has_pairs(path) else [])
CHECKS.add(
    "translate", DataCheck(lambda path: [PairsPart(path)] if has_pairs(path) else [], "folder of pairs of images")
)
