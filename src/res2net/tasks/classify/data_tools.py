"""What `res2net data check` prints and draws of images with a class each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from res2net.engine.data_tools import FALLBACK, Cell, Part, class_table
from res2net.images.decode import BadImage, image_size
from res2net.images.faults import AnnotationReport
from res2net.images.folder import ImageFiles
from res2net.images.inspection import imbalance, unread_files
from res2net.images.sources import open_source, split_names
from res2net.images.splits import DataSettings
from res2net.report import Column, Table
from res2net.report.images import as_image


class ClassesPart(Part):
    """A data set with a class for each image."""

    def __init__(self, path: Path) -> None:
        names = split_names(path)
        opened = {name: open_source(path, DataSettings(evaluate=True, split=name or None)) for name in names}
        self.source = next(iter(opened.values()))
        self.splits = {name or "images": source.val for name, source in opened.items()}
        self.about = "a data set of classes"
        self.report = AnnotationReport(path)
        for split in self.splits.values():
            for file in split.paths if isinstance(split, ImageFiles) else ():
                try:
                    image_size(file)
                except BadImage as error:
                    self.report.add("unreadable image", file, error.reason)
        self.report.unused += [sentence] if (sentence := unread_files(path)) else []
        labels = [label for split in self.splits.values() for label in getattr(split, "targets", ())]
        self.report.remark(imbalance(Counter(str(self.source.class_names[label]) for label in labels)))

    def count_tables(self, most: int | None) -> list[Table]:
        """The number of images and of classes of each split, and of images by class."""
        names = self.source.class_names
        targets = {split: Counter(getattr(images, "targets", ())) for split, images in self.splits.items()}
        counts = {
            name: Counter({split: found[label] for split, found in targets.items()}) for label, name in enumerate(names)
        }
        rows = [(split, len(images), len(names)) for split, images in self.splits.items()]
        columns = [Column(heading) for heading in ("split", "images", "classes")]
        return [Table("Images", columns, rows), class_table(counts.items(), list(self.splits), "images", most)]

    def classes_in(self, samples: Any, index: int) -> Collection[int]:
        """The class of an image."""
        return (samples.targets[index],) if hasattr(samples, "targets") else ()

    def cell(self, samples: Any, index: int) -> Cell:
        """An image above its class."""
        image, target = samples[index]
        return as_image(image), str(self.source.class_names[target["label"]])


FALLBACK.add("classes", ClassesPart)
