"""What `res2net data check` prints and draws of data sets with objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

from res2net.engine.data_tools import CHECKS, READERS, Cell, DataCheck, Part, class_table
from res2net.explain.masked import MASK_FORMATS, MaskFormat
from res2net.files import files_in, subfolders
from res2net.images.decode import EXTENSIONS, BadImage, image_header
from res2net.images.faults import AnnotationReport
from res2net.images.samples import evenly_spaced
from res2net.images.sources import open_source
from res2net.images.splits import role_of
from res2net.report import Column, Table
from res2net.task.result import Result
from res2net.tasks.objects.formats import OBJECT_FORMATS, Annotations, ObjectImages, find_formats
from res2net.tasks.objects.formats.masks import MaskFiles
from res2net.tasks.objects.formats.open import read_objects
from res2net.tasks.objects.result import Objects
from res2net.tasks.objects.segments import PanopticSegments

SMALL, LARGE = 32**2, 96**2
"""COCO's thresholds of areas in square pixels: objects below the first are small, from the second on large."""
MASKS = 200
"""Panoptic masks of a split whose pixels a check looks at."""
RARE = ("crowds", "difficult objects", "labelled keypoints", "classes of stuff")
"""What is only listed where there is any."""


class ObjectsPart(Part):
    """A data set with objects in one of `OBJECT_FORMATS`."""

    endings = (*EXTENSIONS, ".json", ".xml", ".txt", ".yaml", ".yml", ".names", ".data")
    counted = "objects"

    def __init__(self, path: Path, name: str) -> None:
        known = OBJECT_FORMATS[name]
        self.about = known.about
        self.report = AnnotationReport(path)
        self.splits = {name or "all": split for name, split in known.read(path, None, self.report, None).items()}
        for split in self.splits.values():
            _check_sizes(split.paths, split, self.report)
            if isinstance(split.masks, MaskFiles):
                _check_sizes(split.masks.paths, split, self.report)
            if split.stuff is not None:
                _check_segments(split, self.report)
        _check_contents(self.splits, self.report)
        self.report.unused += _unlisted(self.splits)

    def count_tables(self, most: int | None) -> list[Table]:
        """What each split contains, and the number of objects by class."""
        counts = [counts_of(split) for split in self.splits.values()]
        shown = [what for what in counts[0] if what not in RARE or any(one[what] for one in counts)]
        columns = [Column("what"), *(Column(split) for split in self.splits)]
        table = Table(self.about, columns, [(what, *(one[what] for one in counts)) for what in shown])
        # Two classes can have one name, and splits can differ in their classes.
        by_class: dict[tuple[int, str], Counter[str]] = {}
        for split, found in self.splits.items():
            for label, (name, count) in enumerate(zip(found.class_names, objects_by_class(found), strict=True)):
                by_class.setdefault((label, name), Counter())[split] = count
        named = [(name, found) for (_, name), found in by_class.items()]
        return [table, class_table(named, list(self.splits), "objects", most)]

    def class_counts(self) -> Counter[str]:
        """The number of objects of each class; of those with one name together."""
        total: Counter[str] = Counter()
        for found in self.splits.values():
            for name, count in zip(found.class_names, objects_by_class(found), strict=True):
                total[name] += count
        return total

    def shown(self, split: Annotations) -> tuple[ObjectImages, Sequence[int]]:
        """The images with objects, or all if there are none."""
        images = ObjectImages(split, split.available())
        return images, [index for index in range(len(images)) if images.rows(index)] or range(len(images))

    def classes_in(self, samples: ObjectImages, index: int) -> Collection[int]:
        """The classes of the objects in an image."""
        rows = samples.rows(index)
        return set(samples.annotations.labels[rows.start : rows.stop].tolist())

    def cell(self, samples: ObjectImages, index: int) -> Cell:
        """An image with its objects."""
        image, target = samples[index]
        (height, width), count = samples.size(index), len(samples.rows(index))
        objects = f"{count} {'object' if count == 1 else 'objects'}"
        caption = f"{Path(samples.paths[index]).name}\n{width} x {height}, {objects}"
        if "semantic" in target:
            truth: Result = PanopticSegments.from_target(target, samples.class_names, samples.stuff_names)
        else:
            truth = Objects.from_target(target, samples.class_names, samples.keypoints)
        return truth.draw(image), caption


def counts_of(annotations: Annotations) -> dict[str, int]:
    """What a split contains; sizes are those of `area`, as in COCO."""
    area, points = annotations.area, annotations.points
    small, large = int((area < SMALL).sum()), int((area >= LARGE).sum())
    return {
        "images": len(annotations.paths),
        "images without objects": int((np.diff(annotations.starts) == 0).sum()),
        "objects": len(area),
        "small (area below 32 x 32)": small,
        "medium": len(area) - small - large,
        "large (area from 96 x 96)": large,
        "classes that occur": sum(count > 0 for count in objects_by_class(annotations)),
        "crowds": int(annotations.crowd.sum()),
        "difficult objects": int(annotations.difficult.sum()),
        "labelled keypoints": 0 if points is None else int((points[..., 2] > 0).sum()),
        "classes of stuff": len(annotations.stuff_names),
    }


def objects_by_class(annotations: Annotations) -> list[int]:
    """The number of objects of each class."""
    counts: list[int] = np.bincount(annotations.labels, minlength=len(annotations.class_names)).tolist()
    return counts


def _check_contents(splits: Mapping[str, Annotations], report: AnnotationReport) -> None:
    """Report splits that cannot be used: without an object, or with other classes than the first."""
    empty = [split for split, found in splits.items() if not len(found.labels) and found.stuff is None]
    for split in empty:
        if len(empty) == len(splits) or role_of(split) == "train":
            report.add("no objects", splits[split].name, "there is not one object in it")
        else:
            report.remark(f"There is not one object in {splits[split].name}, so that it cannot be evaluated.")
    for one, other in combinations(splits, 2):
        if {role_of(one), role_of(other)} == {"train", "val"} and "trainval" not in (one.lower(), other.lower()):
            for path in sorted(set(splits[one].paths) & set(splits[other].paths)):
                report.add("image of both splits", path, f"it is in {one} and in {other}")
    first = next(iter(splits.values()), None)
    for found in splits.values():
        if first is not None and list(found.class_names) != list(first.class_names):
            report.add("unknown class", found.name, f"its classes differ from those of {first.name}, or their order")


def _unlisted(splits: Mapping[str, Annotations]) -> list[str]:
    """Sentences on images that lie in the folders of the splits and are in none of them."""
    used = {path for found in splits.values() for path in found.paths}
    masks = {path for found in splits.values() if isinstance(found.masks, MaskFiles) for path in found.masks.paths}
    folders = {Path(path).parent for path in used}
    for folder in tuple(folders):
        if role_of(folder.name):
            folders |= set(subfolders(folder.parent))
        elif role_of(folder.parent.name):
            folders |= {other / folder.name for other in subfolders(folder.parent.parent)}
    sentences = []
    for folder in sorted(filter(Path.is_dir, folders)):
        there = list(map(str, files_in(folder, EXTENSIONS)))
        if left := sorted(set(there) - used - masks):
            sentences.append(f"{len(left)} of {len(there)} images in {folder} are in no split, such as {left[0]}.")
    return sentences


def _check_sizes(paths: Sequence[str], annotations: Annotations, report: AnnotationReport) -> None:
    """Check the size of every file by its header; faults go to the report."""
    for path, (height, width) in zip(paths, annotations.sizes.tolist(), strict=True):
        try:
            found, orientation = image_header(path)
        except BadImage as error:
            report.add("unreadable image", path, error.reason)
            continue
        if (height, width) not in (found, found[::-1] if orientation >= 5 else found):
            reason = f"it has {found[1]} x {found[0]} pixels, and its annotations are for {width} x {height}"
            report.add("wrong size", path, reason)


def _check_segments(annotations: Annotations, report: AnnotationReport) -> None:
    """Check in some panoptic masks that every pixel is of a segment or black; faults go to the report."""
    stuff, things = annotations.stuff, annotations.masks
    assert stuff is not None
    assert isinstance(things, MaskFiles)
    for index in evenly_spaced(len(annotations.paths), MASKS):
        rows = slice(annotations.starts[index], annotations.starts[index + 1])
        known = [0, *things.numbers[rows], *stuff.numbers[stuff.starts[index] : stuff.starts[index + 1]]]
        height, width = annotations.sizes[index].tolist()
        try:
            strange = ~np.isin(things.ids(index, (height, width)), known)
        except BadImage:  # it is reported by its header
            continue
        if strange.any():
            share = f"{strange.mean():.1%} of its pixels have numbers of no segment"
            report.add("bad mask", things.paths[index], f"{share}, as smoothed edges make them")


TASKS_OF = {"coco_keypoints": ["keypoints"], "coco_panoptic": ["panoptic"]}
"""The tasks that read some formats; the others are read by detection."""

READERS.add(
    "objects",
    lambda path: list(dict.fromkeys(task for name in find_formats(path) for task in TASKS_OF.get(name, ["detect"]))),
)
MASK_FORMATS.add(
    "objects",
    MaskFormat(
        lambda path: [name for name in find_formats(path) if "masks" in OBJECT_FORMATS[name].labels],
        partial(open_source, labels=("boxes", "labels", "masks"), reader=read_objects),
    ),
)
CHECKS.add(
    "objects",
    DataCheck(
        lambda path: [ObjectsPart(path, name) for name in find_formats(path)],
        f"data set with objects ({', '.join(known.about for known in OBJECT_FORMATS.values())})",
    ),
)
