"""What `res2net data check` prints and draws of volumes with label maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console

from res2net.engine.data_tools import CHECKS, READERS, Cell, DataCheck, Part, class_table
from res2net.files import subfolders
from res2net.images.decode import BadImage
from res2net.images.faults import AnnotationReport
from res2net.report import Column, Table
from res2net.tasks.volumes.folders import (
    VolumeFiles,
    checked_pairs,
    classes_of,
    find_volume_splits,
)
from res2net.tasks.volumes.nifti import ENDINGS, Volume
from res2net.tasks.volumes.result import LabelVolume

SCANS = ("images", "imagestr")
"""Names of folders of scans, in lower case."""


@dataclass
class Counts:
    """Counts of one split."""

    voxels: Counter[int] = field(default_factory=Counter)
    """The number of voxels of each class."""
    background: int = 0
    """Number of label maps of background alone."""
    sizes: list[tuple[int, ...]] = field(default_factory=list)
    """Slices, height and width of each volume."""
    spacings: list[tuple[float, ...]] = field(default_factory=list)
    """Distance of voxels along these axes, mm."""
    intensities: list[tuple[float, float]] = field(default_factory=list)
    """The lowest and the highest value of each volume."""


class VolumesPart(Part):
    """A folder of volumes, of which every voxel is read."""

    about = "volumes with label maps"
    endings = (*ENDINGS, ".json")
    counted = "voxels"

    def __init__(self, path: Path) -> None:
        self.report = AnnotationReport(path)
        found = find_volume_splits(path, self.report)
        self.class_names, numbers = classes_of(path, found, self.report)
        self.splits: dict[str, VolumeFiles] = {}
        self.classes: dict[Path, Collection[int]] = {}
        self.counts: dict[str, Counts] = {}
        for name, pairs in found.items():
            files = VolumeFiles(checked_pairs(pairs, self.report), self.class_names, numbers)
            split = name or "all"
            self.counts[split] = Counts()
            self.splits[split] = files.subset(self._good(files, self.counts[split]))
        if self.splits and not any(set(counts.voxels) - {0} for counts in self.counts.values()):
            self.report.add("no objects", path, "all label maps are background alone")

    def _good(self, files: VolumeFiles, counts: Counts) -> list[int]:
        """The volumes without faults, which are counted."""
        good = []
        for index, (scan, labels) in enumerate(files.files):
            try:
                volume, target = files[index]
            except BadImage as error:
                kind = "bad mask" if error.path == str(labels) else "unreadable image"
                self.report.add(kind, error.path or scan, error.reason)
                continue
            good.append(index)
            voxels = target["label_map"].flatten().bincount().tolist()
            present = frozenset(number for number, count in enumerate(voxels) if count)
            counts.voxels.update({number: count for number, count in enumerate(voxels) if count})
            counts.background += present == {0}
            self.classes[scan] = present
            counts.sizes.append(volume.shape)
            counts.spacings.append(volume.spacing)
            counts.intensities.append((float(volume.voxels.min()), float(volume.voxels.max())))
        return good

    def inspect(self, console: Console, *, full: bool = False) -> None:
        """Do nothing more: every voxel was read, and volumes are no images."""

    def count_tables(self, most: int | None) -> list[Table]:
        """The number of volumes, their sizes and spacings, and the voxels of each class."""
        rows = [_rows(counts) for counts in self.counts.values()]
        columns = [Column("what"), *(Column(split) for split in self.splits)]
        table = Table(
            self.about, columns, [(what, *(one.get(what, "") for one in rows)) for what in max(rows, key=len)]
        )
        by_class = [
            (name, Counter({split: counts.voxels[number] for split, counts in self.counts.items()}))
            for number, name in enumerate(self.class_names)
        ]
        return [table, class_table(by_class, list(self.splits), "voxels", most)]

    def class_counts(self) -> Counter[str]:
        """The number of voxels of each class but the background."""
        total = sum((counts.voxels for counts in self.counts.values()), Counter[int]())
        return Counter({self.class_names[number]: count for number, count in total.items() if number})

    def classes_in(self, samples: VolumeFiles, index: int) -> Collection[int]:
        """The classes of a volume."""
        return self.classes[samples.paths[index]]

    def cell(self, samples: VolumeFiles, index: int) -> Cell:
        """Three slices of a volume with its classes."""
        volume, target = samples[index]
        some = volume.voxels.flatten()[:: max(1, volume.voxels.numel() // 100_000)]
        low, high = np.quantile(some.numpy(), (0.005, 0.995))
        window = (float(low), float(high) if high > low else float(low) + 1)
        truth = LabelVolume(target["label_map"], volume.without_voxels(), samples.class_names, window)
        return truth.panel(volume, truth), f"{samples.paths[index].name}\n{_about(volume)}"


def _about(volume: Volume) -> str:
    return f"{_times(volume.shape)} voxels of {_times(volume.spacing)} mm"


def _times(values: tuple[float, ...]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)


def _rows(counts: Counts) -> dict[str, str | int]:
    """What a split contains; sizes and spacings are of slices, rows and columns."""
    found: dict[str, str | int] = {
        "volumes": len(counts.sizes),
        "of background alone": counts.background,
        "classes that occur": len(set(counts.voxels) - {0}),
    }
    for what, values in (("voxels", counts.sizes), ("spacing, mm", counts.spacings)):
        for name, choose in (("smallest", np.min), ("median", np.median), ("largest", np.max)):
            found[f"{name} {what}"] = _times(tuple(choose(np.array(values), axis=0).tolist())) if values else ""
    if counts.intensities:
        low, high = np.array(counts.intensities).T
        found |= {"lowest intensity": f"{low.min():.4g}", "highest intensity": f"{high.max():.4g}"}
    return found


def has_volumes(path: Path) -> bool:
    """Whether a folder, or folders in it, have the names of scans and labels, and NIfTI files."""
    if not path.is_dir():
        return False
    folders = [path, *subfolders(path)]
    return any(
        file.name.lower().endswith(ENDINGS)
        for folder in folders
        for part in subfolders(folder)
        if part.name.lower() in SCANS
        for inside in (part, *subfolders(part))
        for file in inside.iterdir()
    )


READERS.add("volumes", lambda path: ["volumes"] if has_volumes(path) else [])
CHECKS.add(
    "volumes", DataCheck(lambda path: [VolumesPart(path)] if has_volumes(path) else [], "folder of volumes (NIfTI)")
)
