"""What `res2net data check` prints and draws of images with a class each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from res2net.engine.data_tools import FALLBACK, READERS, Cell, Part, class_table
from res2net.files import files_in, subfolders
from res2net.images.decode import EXTENSIONS, BadImage, image_size
from res2net.images.faults import AnnotationReport
from res2net.images.folder import NO_CLASSES, ImageFiles
from res2net.images.inspection import unread_files
from res2net.images.layouts import data_folder, split_folders
from res2net.images.sources import open_source, split_names
from res2net.images.splits import DataSettings
from res2net.report import Column, Table
from res2net.report.images import as_image
from res2net.tasks.classify.multi_label import is_label_table, label_splits


class ClassesPart(Part):
    """A data set with a class for each image."""

    needs_classes = True

    def __init__(self, path: Path) -> None:
        self.class_names: Sequence[str]
        if is_label_table(path):
            self.splits, notes = label_splits(path)
            self.class_names = next(iter(self.splits.values())).class_names
            self.about, unused = "a table of labels", unnamed_images(self.splits)
        else:
            names = split_names(path)
            opened = {name: open_source(path, DataSettings(evaluate=True, split=name or None)) for name in names}
            self.class_names = next(iter(opened.values())).class_names
            self.splits = {name: source.val for name, source in opened.items()}
            notes = list(dict.fromkeys(note for source in opened.values() for note in source.notes))
            self.about, unused = "a data set of classes", unread_files(path)
        self.splits = {name or "images": split for name, split in self.splits.items()}
        self.report = AnnotationReport(path)
        for note in notes:
            self.report.remark(note)
        for split in self.splits.values():
            for file in split.paths if isinstance(split, ImageFiles) else ():
                try:
                    image_size(file)
                except BadImage as error:
                    self.report.add("unreadable image", file, error.reason)
        self.report.unused += [unused] if unused else []

    def count_tables(self, most: int | None) -> list[Table]:
        """The number of images and of classes of each split, and of images by class."""
        names = self.class_names
        targets = {split: _counts(images) for split, images in self.splits.items()}
        counts = {
            name: Counter({split: found[label] for split, found in targets.items()}) for label, name in enumerate(names)
        }
        rows = [(split, len(images), len(names)) for split, images in self.splits.items()]
        columns = [Column(heading) for heading in ("split", "images", "classes")]
        return [Table("Images", columns, rows), class_table(counts.items(), list(self.splits), "images", most)]

    def class_counts(self) -> Counter[str]:
        """The number of images of each class."""
        total = sum((_counts(split) for split in self.splits.values()), Counter())
        return Counter({str(self.class_names[label]): count for label, count in total.items()})

    def classes_in(self, samples: Any, index: int) -> Collection[int]:
        """The classes of an image."""
        return _labels(samples.targets[index]) if hasattr(samples, "targets") else ()

    def cell(self, samples: Any, index: int) -> Cell:
        """An image above its class, or its classes."""
        image, target = samples[index]
        labels = _labels(samples.targets[index]) if hasattr(samples, "targets") else (int(target["label"]),)
        return as_image(image), ", ".join(str(self.class_names[label]) for label in labels) or "no label"


def unnamed_images(splits: Mapping[str, ImageFiles]) -> str:
    """A sentence on the images in the folders of a table's images that the table does not name; empty if none."""
    named = {Path(file) for split in splits.values() for file in split.paths}
    files = (file for folder in sorted({file.parent for file in named}) for file in sorted(folder.iterdir()))
    others = [file for file in files if file.suffix.lower() in EXTENSIONS and file not in named]
    return f"The table does not name {len(others):,} images beside its own, such as {others[0]}." if others else ""


def _labels(target: int | Sequence[int]) -> Sequence[int]:
    """The classes of an image with one class or any number of them."""
    return (target,) if isinstance(target, int) else target


def _counts(split: Any) -> Counter[int]:
    """The number of images of each class; of none where they are not known before they are read."""
    return Counter(label for target in getattr(split, "targets", ()) for label in _labels(target))


def has_classes(path: Path) -> bool:
    """Whether a folder, or each of its splits, has folders of images of two classes or more, and no folder of others.

    The folder of a class has images in it, and not only further folders.
    """
    if not path.is_dir():
        return False
    for folder in split_folders(data_folder(path)).values():
        classes = subfolders(folder)
        if len(classes) < 2 or {one.name.lower() for one in classes} in NO_CLASSES:
            return False
        if not all(files_in(one, EXTENSIONS) for one in classes):
            return False
    return True


READERS.add("classes", lambda path: ["classify"] if has_classes(path) else [])
FALLBACK.add("classes", ClassesPart)
