"""What `res2net data check` prints and draws of images with roads."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from res2net.engine.data_tools import CHECKS, READERS, Cell, DataCheck, Part
from res2net.images.decode import BadImage
from res2net.images.faults import AnnotationReport
from res2net.images.splits import folders_of_splits
from res2net.report import Column, Table
from res2net.tasks.roads.folder import FOLDERS, RoadFiles, checked_files, files_of, find_road_splits, is_roads
from res2net.tasks.roads.result import RoadResult


class RoadsPart(Part):
    """Images with graphs of roads, all of which are read."""

    about = "images with graphs of roads"

    def __init__(self, path: Path) -> None:
        self.report = AnnotationReport(path)
        self.splits: dict[str, RoadFiles] = {}
        self.rows: dict[str, dict[str, str | int]] = {}
        self.with_roads: set[Path] = set()
        for name, folders in find_road_splits(path, self.report).items():
            files = checked_files(files_of(folders, self.report), self.report)
            split = name or "all"
            self.splits[split], self.rows[split] = self._counted(files)
        if not self.with_roads:
            self.report.add("no objects", path, "there is not one road in it")

    def _counted(self, files: RoadFiles) -> tuple[RoadFiles, dict[str, str | int]]:
        """The images without faults, and what the split contains."""
        good, sides, lengths, junctions = [], [], [], 0
        for index, path in enumerate(files.paths):
            try:
                image, target = files[index]
            except BadImage as error:
                self.report.add("unreadable image", error.path or path, error.reason)
                continue
            graph = target["graph"].clipped(*image.size)
            good.append(index)
            sides.append(image.size)
            lengths.append(float(graph.lengths.sum()))
            junctions += len(graph.junctions)
            if lengths[-1]:
                self.with_roads.add(path)
        found: dict[str, str | int] = {"images": len(good), "images without roads": sum(not one for one in lengths)}
        found |= {"junctions": junctions, "length of roads, pixels": round(sum(lengths))}
        for name, choose in (("smallest", np.min), ("largest", np.max)):
            size = choose(np.array(sides), axis=0).tolist() if sides else []
            found[f"{name} image"] = " x ".join(map(str, size))
        return files.subset(good), found

    def count_tables(self, most: int | None) -> list[Table]:
        """What each split contains."""
        columns = [Column("what"), *(Column(split) for split in self.splits)]
        names = next(iter(self.rows.values()))
        return [Table(self.about, columns, [(name, *(rows[name] for rows in self.rows.values())) for name in names])]

    def classes_in(self, samples: RoadFiles, index: int) -> Collection[int]:
        """0 for an image with roads."""
        return [0] if samples.paths[index] in self.with_roads else []

    def cell(self, samples: RoadFiles, index: int) -> Cell:
        """An image with its roads."""
        image, target = samples[index]
        mask = target.get("mask", np.zeros((image.height, image.width), bool))
        roads = RoadResult(target["graph"].clipped(*image.size), mask.astype(np.float32))
        return roads.draw(image), f"{samples.paths[index].name}\n{image.width} x {image.height}"


def has_graphs(path: Path) -> bool:
    """Whether a folder is one of images with graphs; masks alone are data sets of pixels, too."""
    return path.is_dir() and bool(folders_of_splits(path, FOLDERS, lambda parts: is_roads(parts) and "graphs" in parts))


READERS.add("roads", lambda path: ["roads"] if has_graphs(path) else [])
CHECKS.add(
    "roads",
    DataCheck(lambda path: [RoadsPart(path)] if has_graphs(path) else [], "folder of images and graphs of roads"),
)
